/** How derived values are put together around an {@link Instance}, and what is told of them. */
import type { DerivedEngine } from './calls.ts';
import { ClosedError } from './errors.ts';
import type { Instance } from './instance.ts';
import type { AssemblyInput } from './parts.ts';
import { DerivedStore } from './read/derived-store.ts';
import { type DerivedTales, DerivedTiers } from './read/derived-tiers.ts';
import { Obtain } from './read/obtain.ts';
import type { DurableDerived } from './tiers/derived.ts';

/** What a message of the bus may take: with one, nobody would learn sooner that a load is old. */
const MESSAGE_MS = 50;

export function makeDeriving(
  input: AssemblyInput,
  instance: Instance,
  durable: DurableDerived | undefined,
): DerivedEngine {
  const { options, metrics } = input;
  const { clock } = options;
  const { copies, tags, watches, versions } = instance;
  const shared = instance.shared?.guard.derived;
  const patient = instance.shared?.guard.derivedBackground;
  const tales = talesOf(input, instance);
  const propose = (above?: number) => versions.proposeStamp(above);
  const tiers = new DerivedTiers({
    clock,
    copies,
    tags,
    watches,
    shared,
    patient,
    durable,
    tales,
    observe: (version) => instance.observe(version),
  });
  const store = new DerivedStore({
    clock,
    copies,
    tags,
    shared: patient,
    durable,
    tales,
    proposeStamp: propose,
  });
  const obtain = new Obtain({
    clock,
    tiers,
    store,
    tags,
    tales,
    hasOthers: shared !== undefined,
    isInformed: () => instance.isInformed,
    // Where L2 answers, it knows what is old; where it doesn't, one load has to do for many.
    unheardMs: () =>
      instance.shared?.guard.state === 'CLOSED' ? MESSAGE_MS : options.bus.gapTtlMs,
  });
  metrics.connect({ derived: () => ({ inFlight: obtain.inFlight }) });
  return {
    clock,
    deadlineMs: options.deadlineMs,
    copies,
    tags,
    tiers,
    obtain,
    shared,
    patient,
    durable,
    tales,
    propose,
    check: () => instance.opening.check(),
    sampleL1: () => metrics.sampleL1(),
    observeL1: (ms) => metrics.observe('l1', 'read', ms),
  };
}

/** Loads under way are aborted; who waits for them is told that the cache is closed. */
export function stopDeriving({ obtain }: DerivedEngine): Promise<void> {
  return obtain.close(new ClosedError('the cache was closed while a value was being loaded'));
}

function talesOf({ events, metrics }: AssemblyInput, instance: Instance): DerivedTales {
  return {
    tier: ({ name }, tier, result) => {
      metrics.namespace(name)[tier][result] += 1;
    },
    loaded({ name }, outcome, ms) {
      metrics.load(name, outcome, ms);
      if (outcome !== 'failed' && outcome !== 'timeout') return;
      if (!instance.isTimely(`load-failed ${name}`)) return;
      events.emit({ type: 'load-failed', namespace: name, reason: outcome });
    },
    lease({ name }, what) {
      metrics.derivedOf(name).leases[what] += 1;
      if (what === 'lost') events.emit({ type: 'lease-lost', namespace: name });
    },
    stale({ name }, reason) {
      metrics.derivedOf(name).stale[reason] += 1;
    },
    discarded({ name }, why) {
      metrics.derivedOf(name).discarded[why] += 1;
    },
    unreadable({ name }, tier, why) {
      if (why === 'schema') {
        metrics.derivedOf(name).mismatches += 1;
        if (!instance.isTimely(`schema-mismatch ${name}`)) return;
        events.emit({ type: 'schema-mismatch', namespace: name, tier });
        return;
      }
      metrics.unreadable.settled += 1;
      const reason = 'a derived value that does not decode';
      events.emit({ type: 'unreadable', tier, namespace: name, pending: false, reason });
    },
    full(limit) {
      metrics.overloaded['in-flight'] += 1;
      if (instance.isTimely('in-flight')) {
        events.emit({ type: 'overloaded', bound: 'in-flight', limit });
      }
    },
  };
}
