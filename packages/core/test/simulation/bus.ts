/**
 * Redis' pub/sub: what a script publishes reaches, in order, whoever is subscribed and
 * connected when it arrives. What is lost with a connection is lost without a word.
 */
import type { BusMessage } from '../model/shared-server.ts';
import type { World } from './world.ts';

const DELAY_MS = 5;

/** A subscriber's end of its connection. */
export interface Listener {
  readonly isAlive: boolean;
  readonly isSubscribed: boolean;
  /** Another number after each subscription. */
  readonly subscription: number;
  hear(message: BusMessage): void;
}

export class Bus {
  readonly #world: World;
  readonly #listeners: () => readonly Listener[];
  readonly #lastArrival = new WeakMap<Listener, number>();

  constructor(world: World, listeners: () => readonly Listener[]) {
    this.#world = world;
    this.#listeners = listeners;
  }

  publish(message: BusMessage): void {
    for (const listener of this.#listeners()) this.deliver(listener, () => listener.hear(message));
  }

  deliver(listener: Listener, arrive: () => void): void {
    if (!listener.isAlive || !listener.isSubscribed) return;
    const world = this.#world;
    const { subscription } = listener;
    const arrival = Math.max(
      this.#lastArrival.get(listener) ?? 0,
      world.now + world.around(DELAY_MS),
    );
    this.#lastArrival.set(listener, arrival);
    world.at(arrival - world.now, () => {
      const isConnected = listener.isSubscribed && listener.subscription === subscription;
      if (listener.isAlive && isConnected) arrive();
    });
  }
}
