/**
 * The receiving side of the bus: a connection of its own, subscribed to one channel. What is
 * published while it is down is lost, so that whoever keeps copies has to drop them each time
 * it comes back (`onSubscribed`).
 */
import type { Clock } from '../../clock.ts';
import { BUS_CHANNEL } from './keys.ts';
import { Link } from './link.ts';
import type { Session } from './session.ts';

export interface BusOptions {
  readonly open: () => Session;
  readonly clock: Clock;
  readonly onMessage: (message: string) => void;
  /** The subscription stands, for the first time or again. */
  readonly onSubscribed: () => void;
}

export class BusSubscriber {
  readonly #link: Link;

  constructor(options: BusOptions) {
    this.#link = new Link({
      clock: options.clock,
      open: options.open,
      prepare: async (session) => {
        session.onMessage(options.onMessage);
        await session.subscribe(BUS_CHANNEL);
      },
      onUp: options.onSubscribed,
      onDown: () => {},
    });
  }

  /** Subscribes; again and again until it succeeds, or is closed. */
  start(): void {
    void this.#link.connect().catch(() => {});
  }

  reconnect(): void {
    this.#link.reconnect();
  }

  close(): Promise<void> {
    return this.#link.close();
  }
}
