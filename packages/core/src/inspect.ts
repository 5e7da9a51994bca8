/** `cache.inspect`: which tiers hold a key, for an operator. Asks every tier; changes nothing. */
import type { Assembly } from './assembly.ts';
import type { DerivedEngine } from './calls.ts';
import { CodecError, SchemaError } from './errors.ts';
import { isEncrypted, isLive, type Known, versionOf } from './model/known.ts';
import type { Namespace } from './space.ts';
import type { DerivedHeld } from './tiers/derived.ts';
import type { SharedEntry } from './tiers/tier.ts';

/** What one tier holds of a key. */
export interface HeldCopy {
  readonly version: number;
  /** Bytes as the codec wrote them; of a log, of all items. */
  readonly bytes: number;
  readonly codec: string | undefined;
  /** Of a log. */
  readonly items: number | undefined;
  /** ISO 8601; absent where the record lives for ever. */
  readonly expiresAt: string | undefined;
  readonly deleted: boolean;
  /** L2 only: L3 lacks something of it. */
  readonly pending: boolean | undefined;
  /** Of a derived value: how long it is fresh, and how long it lives, in milliseconds from now. */
  readonly freshMs?: number | undefined;
  readonly lifeMs?: number | undefined;
  readonly value?: unknown;
}

/** `undefined`: nothing there. `'unavailable'`: it could not say. */
export type TierInspection = HeldCopy | 'unavailable' | 'unreadable' | undefined;

export interface Inspection {
  readonly namespace: string;
  readonly key: string;
  readonly kind: 'value' | 'log' | 'derived';
  readonly l1: { readonly version: number; readonly bytes: number } | undefined;
  readonly outbox: TierInspection;
  readonly l2: TierInspection;
  readonly l3: TierInspection;
}

export async function inspect(
  assembly: Assembly,
  namespace: Namespace,
  key: string,
  withValue: boolean,
): Promise<Inspection> {
  const { engine } = assembly;
  const address = namespace.address(key);
  const describe = (known: Known | undefined, pending?: boolean): TierInspection =>
    known === undefined ? undefined : describeKnown(assembly, namespace, known, pending, withValue);
  // None of these is left without its catch while another one is waited for.
  const outbox = (async () => describe(engine.outbox.floor(address.id)))().catch(whyNot);
  const copy = assembly.instance.copies.get(address.id);
  const l2 = engine.shared
    ?.read([address])
    .then(([read]): TierInspection => ofEntry(read?.entry, describe))
    .catch(whyNot);
  const row =
    namespace.kind === 'value'
      ? engine.durable.read([address]).then(([found]): Known | undefined => found)
      : engine.durable
          .readLogs([address])
          .then(([found]): Known | undefined => found && { kind: 'log', ...found });
  const l3 = row.then((known) => describe(known)).catch(whyNot);
  return {
    namespace: namespace.name,
    key,
    kind: namespace.kind,
    l1: copy === undefined ? undefined : { version: copy.version, bytes: copy.bytes },
    outbox: await outbox,
    l2: await l2,
    l3: await l3,
  };
}

/** The same for a derived value, by the text that its key has in the tiers. */
export async function inspectDerived(
  { copies, shared, durable, clock }: DerivedEngine,
  namespace: Namespace,
  key: string,
  withValue: boolean,
): Promise<Inspection> {
  const address = namespace.address(key);
  const describe = (held: DerivedHeld | undefined): TierInspection =>
    held && describeDerived(namespace, held, withValue);
  const copy = copies.get(address.id);
  const look = { address, mode: 'look', token: clock.random53(), leaseMs: 0 } as const;
  const l2 = shared
    ?.take([look])
    .then(([reply]): TierInspection => {
      if (reply === undefined || reply.status === 'epoch') return 'unavailable';
      return reply.unreadable ? 'unreadable' : describe(reply.held);
    })
    .catch(whyNot);
  const l3 = durable
    ?.read([address])
    .then(({ held }) => describe(held[0]))
    .catch(whyNot);
  return {
    namespace: namespace.name,
    key,
    kind: 'derived',
    l1: copy === undefined ? undefined : { version: copy.version, bytes: copy.bytes },
    outbox: undefined,
    l2: await l2,
    l3: await l3,
  };
}

/** A value was asked for that does not decode, or the tier could not say. */
function whyNot(error: unknown): TierInspection {
  const isUnreadable = error instanceof CodecError || error instanceof SchemaError;
  return isUnreadable ? 'unreadable' : 'unavailable';
}

function describeDerived(
  namespace: Namespace,
  { entry, freshMs, lifeMs }: DerivedHeld,
  withValue: boolean,
): HeldCopy {
  const { payload, version } = entry;
  const isReadable = payload !== undefined && payload.codec !== 'encrypted';
  return {
    version,
    bytes: payload?.bytes.byteLength ?? 0,
    codec: payload?.codec,
    items: undefined,
    expiresAt: undefined,
    deleted: false,
    pending: undefined,
    freshMs,
    lifeMs,
    ...(withValue && isReadable ? { value: namespace.decode(payload) } : {}),
  };
}

function ofEntry(
  entry: SharedEntry | undefined,
  describe: (known: Known, pending: boolean) => TierInspection,
): TierInspection {
  if (entry === undefined) return undefined;
  if (entry.kind === 'unreadable') return 'unreadable';
  if (entry.kind === 'value') return describe(entry.write, entry.pending);
  const { address, items, erasedTo, scope } = entry;
  return describe({ kind: 'log', address, items, erasedTo, scope }, entry.pending);
}

function describeKnown(
  assembly: Assembly,
  namespace: Namespace,
  known: Known,
  pending: boolean | undefined,
  withValue: boolean,
): HeldCopy {
  const isValue = known.kind === 'value';
  const live = isLive(known, assembly.engine.clock.now());
  const bytes = isValue
    ? (known.payload?.bytes.byteLength ?? 0)
    : known.items.reduce((sum, item) => sum + item.payload.bytes.byteLength, 0);
  return {
    version: versionOf(known),
    bytes,
    codec: isValue ? known.payload?.codec : known.items[0]?.payload.codec,
    items: isValue ? undefined : known.items.length,
    expiresAt: isValue && known.expiresAt > 0 ? new Date(known.expiresAt).toISOString() : undefined,
    deleted: isValue ? known.payload === undefined : known.items.length === 0 && known.erasedTo > 0,
    pending,
    ...(withValue && live && !isEncrypted(known) ? { value: namespace.space().decode(known) } : {}),
  };
}
