/**
 * One instance of derived values as they are, on virtual time: the real verbs, read path, L1, bus
 * and watches over a line to the model of Redis and, where values persist, to that of L3. Around
 * them what `instance.ts`, `deriving.ts` and `guarded.ts` do, and a seam for each rule that a
 * weakened build leaves out.
 */
import type { DerivedEngine } from '../../../src/calls.ts';
import { Bus } from '../../../src/coherence/bus.ts';
import { Copies, type NearTier, type Proof } from '../../../src/coherence/copies.ts';
import { HeardTags } from '../../../src/coherence/tags.ts';
import { Watches } from '../../../src/coherence/watches.ts';
import { within } from '../../../src/deadline.ts';
import { Derived } from '../../../src/derived.ts';
import type { DerivedOptions } from '../../../src/derived-options.ts';
import { ClosedError, TierError } from '../../../src/errors.ts';
import { invalidate } from '../../../src/invalidate.ts';
import { Metrics } from '../../../src/metrics/metrics.ts';
import { idOf, type Scope } from '../../../src/model/key.ts';
import { isScopeTag, scopeTagId } from '../../../src/model/tags.ts';
import { VersionClock } from '../../../src/model/version.ts';
import { DerivedStore, type DerivedStoreParts } from '../../../src/read/derived-store.ts';
import { DerivedTiers, type DerivedTiersParts } from '../../../src/read/derived-tiers.ts';
import type { Kept, LoadContext } from '../../../src/read/load.ts';
import { Obtain } from '../../../src/read/obtain.ts';
import { Namespace } from '../../../src/space.ts';
import type { DurableDerived, SharedDerived } from '../../../src/tiers/derived.ts';
import { MemoryTier } from '../../../src/tiers/memory.ts';
import { type DurableHost, type RedisHost, RedisLine } from '../core/servers.ts';
import type { VirtualTime } from '../core/virtual-time.ts';
import { type Asker, GAP_MS } from './oracle.ts';
import type { Source } from './source.ts';
import { isBatched, POLICY, scopeOf, tagsOf, type Value } from './values.ts';

/** What a weakened build does otherwise. */
export interface Weakness {
  readonly near?: (near: NearTier) => NearTier;
  readonly copies?: (near: NearTier, proof: Proof) => Copies;
  /** What the bus tells, and what the tiers and L1's copies are compared with. */
  readonly tags?: () => HeardTags;
  /** What a flight's answers are compared with. */
  readonly flightTags?: (tags: HeardTags) => HeardTags;
  readonly tiers?: (parts: DerivedTiersParts) => DerivedTiers;
  readonly store?: (parts: DerivedStoreParts) => DerivedStore;
  readonly shared?: (shared: SharedDerived) => SharedDerived;
  readonly redis?: ConstructorParameters<typeof RedisHost>[0];
  /** It serves, and believes, what it has while it does not hear the bus. */
  readonly isAlwaysInformed?: boolean;
  /** It keeps what it has when it has not heard the bus. */
  readonly isGapIgnored?: boolean;
  readonly durable?: (durable: DurableDerived) => DurableDerived;
}

export interface InstanceParts {
  readonly name: string;
  readonly time: VirtualTime;
  readonly host: RedisHost;
  readonly l3: DurableHost | undefined;
  readonly source: Source;
  readonly skewMs: number;
  /** There is no L2: L1 and the loader are all there is. */
  readonly isAlone: boolean;
  readonly weakness: Weakness;
}

const TIMEOUT_MS = 50;
const PATIENCE_MS = 1000;
const FAILURES = 3;
const RESET_MS = 500;
const ROUND_MS = 1000;
const DEADLINE_MS = 5000;

export class DerivedInstance {
  readonly name: string;
  readonly line: RedisLine;
  readonly copies: Copies;
  readonly watches: Watches = new Watches();
  readonly obtain: Obtain;
  /** Keys that are loaded one by one. */
  readonly single: Derived<string, Value>;
  /** Keys that are loaded together. */
  readonly batched: Derived<string, Value>;
  readonly engine: DerivedEngine;
  readonly #parts: InstanceParts;
  readonly #near: MemoryTier;
  readonly #bus: Bus;
  isAlive = true;
  #state: 'CLOSED' | 'OPEN' | 'HALF_OPEN' = 'OPEN';
  #failures = 0;
  #cancelRound = () => {};
  #cancelTrial = () => {};

  constructor(parts: InstanceParts) {
    this.#parts = parts;
    const { name, time, host, l3, source, skewMs, isAlone, weakness } = parts;
    this.name = name;
    const clock = time.clock(skewMs, () => this.isAlive);
    const versions = new VersionClock(clock);
    const observe = (version: number) => void versions.observe(version);
    this.#near = new MemoryTier({ max: 50, maxBytes: 1e6, ttlMs: POLICY.nearMs }, clock);
    const near = weakness.near?.(this.#near) ?? this.#near;
    const proof = { isAlive: () => this.isInformed };
    this.copies = weakness.copies?.(near, proof) ?? new Copies(near, proof);
    const tags =
      weakness.tags?.() ??
      new HeardTags(undefined, (tag) => {
        if (isScopeTag(tag)) this.#near.deleteBearing(tag);
      });
    const { copies, watches } = this;
    const forgetAll = () => {
      if (weakness.isGapIgnored === true) return;
      copies.empty();
      watches.empty();
    };
    this.line = new RedisLine({
      time,
      host,
      versions,
      floor: () => Promise.resolve(0),
      onEpoch: forgetAll,
      onConnection: (up) => (up ? this.#bus.subscribed() : this.#bus.disconnected()),
      onKey: (id, { version, intent }) => this.#bus.hear(`k ${version} v${intent} ${id}`),
      onMessage: (message) => this.#bus.hear(message),
    });
    this.#bus = new Bus({
      clock,
      instance: name,
      gapMs: GAP_MS,
      line: this.line.fleet,
      onKey: (id, stamp, kind) => {
        if (stamp.version > 0) observe(stamp.version);
        copies.heard(id, stamp, kind);
        watches.heard(id, stamp.version === 0);
      },
      onFree: (id) => watches.heard(id, false),
      onTag: (tag) => tags.hear(tag),
      onGap: forgetAll,
      onAlive: () => {},
      onReceived: () => {},
      onPublished: () => {},
      onPeer: () => {},
      onQuestion: () => Promise.resolve({ flushed: 0, refused: 0, failed: 0 }),
    });
    const view = (timeoutMs: number) => {
      if (isAlone) return undefined;
      const guarded = this.#view(this.line.derived, timeoutMs);
      return weakness.shared?.(guarded) ?? guarded;
    };
    const shared = view(TIMEOUT_MS);
    const patient = view(PATIENCE_MS);
    const tales = TALES;
    const propose = (above?: number) => versions.proposeStamp(above);
    const durable = l3 && (weakness.durable?.(l3.tier.derived) ?? l3.tier.derived);
    const tierParts: DerivedTiersParts = {
      clock,
      copies,
      tags,
      watches,
      shared,
      patient,
      durable,
      tales,
      observe,
    };
    const tiers = weakness.tiers?.(tierParts) ?? new DerivedTiers(tierParts);
    const storeParts: DerivedStoreParts = {
      clock,
      copies,
      tags,
      shared: patient,
      durable,
      tales,
      proposeStamp: propose,
    };
    this.obtain = new Obtain({
      clock,
      tiers,
      store: weakness.store?.(storeParts) ?? new DerivedStore(storeParts),
      tags: weakness.flightTags?.(tags) ?? tags,
      tales,
      hasOthers: shared !== undefined,
      isInformed: () => this.isInformed,
      unheardMs: () => GAP_MS,
    });
    this.engine = {
      clock,
      deadlineMs: DEADLINE_MS,
      copies,
      tags,
      tiers,
      obtain: this.obtain,
      shared,
      patient,
      durable,
      tales,
      propose,
      check: () => {},
      sampleL1: () => false,
      observeL1: () => {},
    };
    const common = { tags: tagsOf, scope: scopeOf };
    this.single = this.#open('single', {
      ...common,
      load: (key, context: LoadContext<Value>) => this.load(key, context),
    });
    this.batched = this.#open('batched', {
      ...common,
      loadMany: (keys, { stale }) =>
        this.#whileAlive(() => source.loadMany(keys, stale, this.asker)),
    });
    this.#bus.start();
    this.#trialLater(0);
    this.#roundLater();
  }

  #open(name: string, options: DerivedOptions<string, Value>): Derived<string, Value> {
    const metrics = new Metrics(this.engine.clock);
    const namespace = new Namespace(name, 'value', {}, metrics.namespace(name));
    const persist = this.#parts.l3 !== undefined;
    const policy = { ...POLICY, persist };
    return new Derived({ engine: this.engine, namespace, policy }, options);
  }

  /** A process that was killed loads nothing. */
  #whileAlive<T>(run: () => Promise<T>): Promise<T> {
    return this.isAlive ? run() : new Promise(() => {});
  }

  load(key: string, context: LoadContext<Value>): Promise<Value | Kept> {
    return this.#whileAlive(() => this.#parts.source.load(key, context, this.asker));
  }

  get asker(): Asker {
    return { instance: this.name, heardSince: this.line.heardSince };
  }

  get isInformed(): boolean {
    const { isAlone, weakness } = this.#parts;
    return isAlone || weakness.isAlwaysInformed === true || this.#bus.alive;
  }

  get isHealthy(): boolean {
    return this.#state === 'CLOSED' && this.#bus.alive;
  }

  /** What is left where nothing is under way any more. */
  get left(): Readonly<Record<string, number>> {
    return {
      flights: this.obtain.inFlight,
      fences: this.copies.inFlight,
      watches: this.watches.size,
    };
  }

  /** The namespace of a key. */
  space(key: string): Derived<string, Value> {
    return isBatched(key) ? this.batched : this.single;
  }

  async invalidateTags(tags: readonly string[]): Promise<void> {
    await invalidate(this.engine, undefined, tags);
  }

  /** What erasing a scope does to derived values. `false`: a tier did not confirm. */
  async erase(scope: Scope): Promise<boolean> {
    const { tags, patient, propose } = this.engine;
    const { l3 } = this.#parts;
    await l3?.tier.erase(scope, propose().version);
    const tag = scopeTagId(scope);
    tags.hear(tag);
    try {
      for (let left = 2; left > 0; left -= 1) {
        if (patient === undefined || (await patient.erase(scope)) !== 'epoch') return true;
      }
      return false;
    } finally {
      tags.hear(tag);
    }
  }

  /** L1 needs the room. */
  evict(key: string): void {
    this.#near.delete(idOf(this.space(key).name, key));
  }

  /** SIGKILL. */
  crash(): void {
    this.isAlive = false;
    this.line.end();
  }

  async close(): Promise<void> {
    await this.obtain.close(new ClosedError('closed'));
    this.#bus.stop();
    this.#cancelRound();
    this.#cancelTrial();
    this.line.end();
  }

  // ------------------------------------------------------------ the breaker, and the round

  #view(tier: SharedDerived, timeoutMs: number): SharedDerived {
    const call = <A extends unknown[], R>(command: (...args: A) => Promise<R>) => {
      return async (...args: A): Promise<R> => {
        if (this.#state !== 'CLOSED') {
          throw new TierError('the breaker is open', 'unreachable', { outcome: 'none' });
        }
        const late = () => new TierError('no answer', 'timeout', { outcome: 'unknown' });
        try {
          const answer = await within(command(...args), timeoutMs, late, this.engine.clock);
          this.#failures = 0;
          return answer;
        } catch (error) {
          this.#failures += 1;
          if (this.#failures >= FAILURES && this.#state === 'CLOSED') this.#openBreaker();
          throw error;
        }
      };
    };
    return {
      take: call(tier.take),
      fill: call(tier.fill),
      place: call(tier.place),
      remove: call(tier.remove),
      extend: call(tier.extend),
      letGo: call(tier.letGo),
      invalidate: call(tier.invalidate),
      erase: call(tier.erase),
      members: call(tier.members),
    };
  }

  #openBreaker(): void {
    this.#state = 'OPEN';
    this.line.lose();
    this.#trialLater(RESET_MS);
  }

  #trialLater(ms: number): void {
    const { clock } = this.engine;
    this.#cancelTrial = clock.after(ms, () => {
      this.#state = 'HALF_OPEN';
      const late = () => new TierError('no answer', 'timeout', { outcome: 'unknown' });
      within(this.line.shake(), PATIENCE_MS, late, clock).then(
        () => {
          this.#failures = 0;
          this.#state = 'CLOSED';
        },
        () => this.#openBreaker(),
      );
    });
  }

  /** Notices a Redis that was emptied, also where nobody asks for anything. */
  #roundLater(): void {
    this.#cancelRound = this.engine.clock.after(ROUND_MS, () => {
      if (this.#state === 'CLOSED') this.line.check().catch(() => {});
      this.#roundLater();
    });
  }
}

const TALES: DerivedEngine['tales'] = {
  tier: () => {},
  loaded: () => {},
  lease: () => {},
  stale: () => {},
  discarded: () => {},
  unreadable: () => {},
  full: () => {},
};
