/**
 * What the cache tells an operator: one discriminated union, and the hub that hands it out.
 *
 * Invariants: an event holds no key, value, tag, scope id or secret, only the names of
 * namespaces, tiers and nodes, counts and durations. A listener that throws or rejects harms neither
 * the cache nor the other listeners.
 *
 * Events are for changes of state and for things that someone may have to look at. What happens
 * with every request is counted in `metrics/`, never emitted.
 */

/** The states of the breaker around L2. */
export type BreakerState = 'CLOSED' | 'OPEN' | 'HALF_OPEN';

/** A bound that was reached. */
export type BoundName =
  /** `sync.maxPending`: writes go through to L3. */
  | 'outbox'
  /** `sync.maxBytes`: the same. */
  | 'outbox-bytes'
  /** Reads that wait for L3. */
  | 'bulkhead'
  /** Writes that wait for L3. */
  | 'through'
  /** Loads of derived values. */
  | 'in-flight'
  /** `journal.maxBytes`, or the disk: what only the journal could hold is rejected. */
  | 'journal';

export type CacheEvent =
  /** L2's breaker changed its state. OPEN: reads go to L3, writes go around L2. */
  | {
      readonly type: 'breaker';
      readonly to: BreakerState;
      readonly reason: string;
    }
  /**
   * One node of a Redis Cluster is bypassed, or used again, while others go on. `node` is its
   * `host:port`, or `none` for shards that nobody has.
   */
  | {
      readonly type: 'redis-node';
      readonly node: string;
      readonly state: 'away' | 'back';
      readonly reason: string;
    }
  /** L2 is another incarnation of itself (restarted, emptied, failed over): its settled copies are void. */
  | { readonly type: 'epoch'; readonly reason: string }
  /** The breaker's trial succeeded: the outbox was drained and the marks repaired before it closed. */
  | {
      readonly type: 'recovered';
      readonly drained: number;
      readonly repaired: number;
      readonly ms: number;
    }
  /** The bus could not be proven alive: L1 was emptied and is not served until it can. */
  | { readonly type: 'bus-gap'; readonly silentMs: number }
  /** The bus is proven alive again. */
  | { readonly type: 'bus-alive' }
  /** L3 stopped or started answering. */
  | { readonly type: 'l3'; readonly state: 'away' | 'back'; readonly reason: string }
  /** One batch to L3. `failed`: L3 did not answer for them; they stay pending. */
  | {
      readonly type: 'flush';
      readonly applied: number;
      readonly superseded: number;
      readonly refused: number;
      readonly erased: number;
      readonly expired: number;
      readonly failed: number;
      readonly ms: number;
    }
  /** Pending entries of another instance, or of a dead one, were flushed here. */
  | { readonly type: 'adopted'; readonly entries: number }
  /** Writes that had gone around L2 were made known to it. */
  | { readonly type: 'repaired'; readonly marks: number; readonly ms: number }
  /** L3 refuses a row for what it is: it waits for an operator. */
  | {
      readonly type: 'dead-letter';
      readonly namespace: string;
      readonly why: 'refused' | 'expired';
    }
  /** An entry of ours that this build can't decode. Pending: it is left alone. */
  | {
      readonly type: 'unreadable';
      readonly tier: 'l2' | 'l3';
      readonly namespace: string;
      readonly pending: boolean;
      readonly reason: string;
    }
  /** A version came from a clock that runs ahead of this one. */
  | { readonly type: 'clock-skew'; readonly aheadMs: number; readonly refused: boolean }
  /** A bound was reached: writes go through to L3 or wait, reads are rejected as overloaded. */
  | { readonly type: 'overloaded'; readonly bound: BoundName; readonly limit: number }
  /** A `create` that L3 could not be asked about turned out to exist: the older record was overwritten. */
  | { readonly type: 'create-overwrote'; readonly namespace: string }
  /** L2's memory is full: writes go around it until it has room. */
  | { readonly type: 'l2-full' }
  /** L2 may evict entries that only it holds: set `maxmemory-policy` to `volatile-lfu` or `noeviction`. */
  | { readonly type: 'eviction-policy'; readonly policy: string }
  /** Something in the background failed and will be tried again. `code` is the error's code. */
  | { readonly type: 'background-error'; readonly task: string; readonly code: string }
  /** A loader failed or took too long. Told once in ten seconds for each namespace. */
  | {
      readonly type: 'load-failed';
      readonly namespace: string;
      readonly reason: 'failed' | 'timeout';
    }
  /** A load went on for longer than its lease, or its key was set or removed meanwhile. */
  | { readonly type: 'lease-lost'; readonly namespace: string }
  /** A derived value in L2 or L3 does not fit the schema any more: it is loaded anew. */
  | { readonly type: 'schema-mismatch'; readonly namespace: string; readonly tier: 'l2' | 'l3' }
  /** Writes that L3 may lack were in the journal at the start: they are flushed now. */
  | { readonly type: 'journal-replayed'; readonly writes: number; readonly ms: number }
  /** Files of the journal were damaged. They are kept as `*.corrupt`; what could be read was. */
  | { readonly type: 'journal-corrupt'; readonly segments: number }
  /** The journal is at its bound, or its disk is full: it takes no write until that ends. */
  | { readonly type: 'journal-full'; readonly reason: 'bound' | 'disk'; readonly bytes: number }
  | { readonly type: 'ready'; readonly ms: number }
  /** `pending`: what is left for others to adopt. */
  | { readonly type: 'closed'; readonly pending: number };

/** Is called in the same turn as the change. Must not block; may be async. */
export type CacheListener = (event: CacheEvent) => unknown;

/** pino's shape; any logger with these four methods fits. */
export interface Logger {
  debug(details: object, message: string): void;
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

export class EventHub {
  readonly #listeners = new Set<CacheListener>();

  /** The returned function ends the subscription; calling it again does nothing. */
  subscribe(listener: CacheListener): () => void {
    // Wrapped, so that the same function subscribed twice is two subscriptions.
    const own: CacheListener = (event) => listener(event);
    this.#listeners.add(own);
    return () => {
      this.#listeners.delete(own);
    };
  }

  emit(event: CacheEvent): void {
    if (this.#listeners.size === 0) return;
    // A copy: a listener may end its own or another subscription.
    for (const listener of [...this.#listeners]) {
      try {
        const result = listener(event);
        // A rejection that nobody awaits would end the process.
        if (result instanceof Promise) result.catch(() => undefined);
      } catch {
        // Whoever listens has to look after his own errors; here they must not reach a request.
      }
    }
  }

  /** Ends all subscriptions. */
  clear(): void {
    this.#listeners.clear();
  }
}

type LogLevel = keyof Logger;

/** How loud an event is in a log. */
export function levelOf(event: CacheEvent): LogLevel {
  switch (event.type) {
    case 'flush':
      return event.refused + event.expired + event.failed > 0 ? 'warn' : 'debug';
    case 'adopted':
    case 'repaired':
    case 'recovered':
    case 'journal-replayed':
    case 'bus-alive':
    case 'ready':
    case 'closed':
      return 'info';
    case 'breaker':
      return event.to === 'OPEN' ? 'warn' : 'info';
    case 'redis-node':
      return event.state === 'away' ? 'warn' : 'info';
    case 'l3':
      return event.state === 'away' ? 'error' : 'info';
    case 'clock-skew':
      return event.refused ? 'error' : 'warn';
    case 'dead-letter':
    case 'eviction-policy':
    case 'journal-corrupt':
    case 'journal-full':
      return 'error';
    case 'epoch':
    case 'bus-gap':
    case 'unreadable':
    case 'overloaded':
    case 'create-overwrote':
    case 'l2-full':
    case 'background-error':
    case 'load-failed':
    case 'schema-mismatch':
      return 'warn';
    case 'lease-lost':
      return 'debug';
    default:
      return event satisfies never;
  }
}

/** A listener that writes every event to a logger, as `{cache: event}` with the message `cache <type>`. */
export function eventLogger(logger: Logger): CacheListener {
  return (event) => logger[levelOf(event)]({ cache: event }, `cache ${event.type}`);
}
