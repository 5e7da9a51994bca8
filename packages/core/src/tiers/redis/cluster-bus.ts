/**
 * The receiving side of the bus in a Cluster: a subscription at every node that has shards, to the
 * channels of these. A message published to all nodes would pass from node to node, where it may be
 * lost without a word; what a node tells its own subscribers, it tells in the step that causes it.
 *
 * A heartbeat proves that a node tells what it should, if it was heard at that node. So it is
 * passed on when it has been heard at all of them, and not before; and never while a shard is
 * nowhere, or a node can't be heard.
 */
import type { Clock } from '../../clock.ts';
import type { ClusterSource } from './endpoint.ts';
import { busChannel } from './keys.ts';
import { Link } from './link.ts';
import type { Routes } from './routes.ts';
import { Session } from './session.ts';

export interface ClusterBusOptions {
  readonly source: ClusterSource;
  readonly clock: Clock;
  readonly onMessage: (message: string) => void;
  /** A subscription stands, for the first time or again. */
  readonly onSubscribed: () => void;
}

interface Line {
  readonly shards: string;
  readonly link: Link;
}

/** Heartbeats of a fleet that are on their way at once: at most so many are remembered. */
const MAX_BEATS = 4096;

export class ClusterBus {
  readonly #options: ClusterBusOptions;
  readonly #closing = new Set<Promise<void>>();
  /** At which nodes a heartbeat has been heard. */
  readonly #beats = new Map<string, Set<string>>();
  #lines = new Map<string, Line>();
  #isWhole = false;
  #closed = false;

  constructor(options: ClusterBusOptions) {
    this.#options = options;
  }

  /** Waits for the routes. */
  start(): void {}

  follow({ nodes, isWhole }: Routes): void {
    if (this.#closed) return;
    this.#isWhole = isWhole;
    const before = this.#lines;
    this.#lines = new Map();
    for (const [name, route] of nodes) {
      const there = before.get(name);
      const shards = String(route.shards);
      if (there?.shards === shards) {
        this.#lines.set(name, there);
        before.delete(name);
        continue;
      }
      const link = new Link({
        clock: this.#options.clock,
        open: () => new Session(this.#options.source.node(route), 'sharded'),
        prepare: async (session) => {
          session.onMessage((message) => this.#hear(name, link, message));
          await session.subscribe(...route.shards.map(busChannel));
        },
        onUp: this.#options.onSubscribed,
        onDown: () => {},
      });
      this.#lines.set(name, { shards, link });
      void link.connect().catch(() => {});
    }
    for (const { link } of before.values()) {
      const closing = link.close().finally(() => this.#closing.delete(closing));
      this.#closing.add(closing);
    }
  }

  reconnect(): void {
    for (const { link } of this.#lines.values()) link.reconnect();
  }

  async close(): Promise<void> {
    this.#closed = true;
    const links = [...this.#lines.values()].map(({ link }) => link.close());
    await Promise.all([...links, ...this.#closing]);
  }

  #hear(name: string, link: Link, message: string): void {
    // A line that was replaced may say its last words.
    if (this.#lines.get(name)?.link !== link) return;
    if (message.startsWith('h ') && !this.#isProven(name, message)) return;
    this.#options.onMessage(message);
  }

  #isProven(name: string, message: string): boolean {
    const heard = this.#beats.get(message) ?? new Set();
    heard.add(name);
    this.#beats.set(message, heard);
    if (!this.#isWhole || ![...this.#lines.keys()].every((line) => heard.has(line))) {
      const [oldest] = this.#beats.keys();
      if (this.#beats.size > MAX_BEATS && oldest !== undefined) this.#beats.delete(oldest);
      return false;
    }
    this.#beats.delete(message);
    return true;
  }
}
