/**
 * The read path: L1, L2, L3, never below the outbox, and copies back up; and what is checked of
 * every answer at once: an instance never shows anything older than it acknowledged or, where
 * L2 is always the authority, than it showed before.
 */
import type { LogWrite } from '../../src/model/entry.ts';
import type { Address } from '../../src/model/key.ts';
import { type Known, unite, versionOf } from '../../src/model/known.ts';
import type { SharedBackfill, SharedEntry, SharedRead } from '../../src/tiers/tier.ts';
import { short } from './history.ts';
import type { Instance, Promised } from './instance.ts';
import { LOST, type Maybe } from './network.ts';
import type { Task } from './world.ts';

export interface Answer {
  readonly known: Known | undefined;
  readonly tier: 'l1' | 'l2' | 'l3' | 'outbox';
  /** From a log that was created while L3 was away: it may lack older items (documented). */
  readonly unproven: boolean;
}

/** `undefined`: no tier could say. */
export function* read(
  p: Instance,
  address: Address,
  kind: 'value' | 'log',
): Task<Answer | undefined> {
  const promised = snapshot(p.acknowledged.get(address.id));
  const shown = snapshot(p.seen.get(address.id));
  const answer = yield* find(p, address, kind);
  p.say(() => `reads ${address.key} from ${answer?.tier ?? 'nowhere'}: ${textOf(answer?.known)}`);
  if (answer === undefined) return undefined;
  check(p, address, kind, answer, promised, 'acknowledged');
  if (isMonotonic(p)) check(p, address, kind, answer, shown, 'seen');
  remember(p, address, answer.known);
  return answer;
}

function* find(p: Instance, address: Address, kind: 'value' | 'log'): Task<Answer | undefined> {
  const { copies, world } = p;
  const before = p.floor(address);
  const ticket = copies.enter(address.id);
  try {
    const copy = copies.get(address.id);
    if (copy !== undefined) {
      const known = p.knownOf(copy);
      return { known: unite(known, before), tier: 'l1', unproven: p.isUnproven(copy) };
    }
    const shared = yield* askShared(p, address);
    const entry = shared === LOST ? undefined : shared.entry;
    const held = heldOf(entry);
    let known = held;
    let tier: Answer['tier'] = 'l2';
    let row: Known | undefined;
    if (held === undefined || !isWhole(p, entry)) {
      const answer = yield* askDurable(p, address, kind);
      if (answer === LOST) {
        const own = unite(before, p.floor(address));
        if (own === undefined || own.kind === 'log') return undefined;
        const isOvertaken = (p.seen.get(address.id)?.version ?? 0) > own.version;
        if (isOvertaken && world.rule('overtaken-outbox-never-alone')) return undefined;
        known = unite(own, held);
        tier = 'outbox';
      } else {
        row = answer.known;
        known = unite(row, held);
        tier = 'l3';
        // A slow reader: what it copies up is old by then.
        if (world.chance(0.2)) yield world.around(60);
      }
    }
    const old = world.rule('floor-read-before-and-after') ? before : undefined;
    known = unite(unite(known, old), p.floor(address));
    if (tier === 'l3' && shared !== LOST) yield* backfill(p, address, kind, row, shared);
    const unproven = entry?.kind === 'log' && entry.unproven;
    const mayKeep =
      (shared !== LOST || !world.rule('l1-only-from-l2')) &&
      (tier !== 'outbox' || !world.rule('l1-not-from-outbox-alone'));
    if (known !== undefined && mayKeep) {
      if (world.rule('l1-fence')) copies.offer(ticket, p.copyOf(known, unproven));
      else p.l1.set(address.id, p.copyOf(known, unproven));
    }
    if (known !== undefined) p.versions.observe(versionOf(known));
    return { known, tier, unproven };
  } finally {
    copies.leave(ticket);
  }
}

function* askShared(p: Instance, address: Address): Task<Maybe<SharedRead>> {
  const { redis } = p.network;
  const reply = yield* p.askShared((epoch) => redis.model.read(epoch, address, p.world.now));
  return reply === 'epoch' ? LOST : reply;
}

function* askDurable(
  p: Instance,
  address: Address,
  kind: 'value' | 'log',
): Task<Maybe<{ known: Known | undefined }>> {
  const { model } = p.network.supabase;
  if (kind === 'value') {
    const row = yield* p.askDurable(() => model.read(address));
    return row === LOST ? LOST : { known: row };
  }
  const log = yield* p.askDurable(() => model.readLog(address));
  if (log === LOST) return LOST;
  return { known: log && { kind: 'log', ...log } };
}

/** What L2 says of the key, whole or not. */
function heldOf(entry: SharedEntry | undefined): Known | undefined {
  if (entry?.kind === 'value') return entry.write;
  if (entry?.kind !== 'log') return undefined;
  const { address, items, erasedTo, scope } = entry;
  return { kind: 'log', address, items, erasedTo, scope };
}

function isWhole(p: Instance, entry: SharedEntry | undefined): boolean {
  if (entry === undefined || entry.kind === 'unreadable') return false;
  if (entry.stale && p.world.rule('stale-pending-never-alone')) return false;
  return entry.kind === 'value' || !entry.partial || !p.world.rule('partial-logs-united');
}

function* backfill(
  p: Instance,
  address: Address,
  kind: 'value' | 'log',
  row: Known | undefined,
  shared: SharedRead,
): Task {
  const { cut, epoch } = shared.meta;
  const { redis } = p.network;
  let fill: SharedBackfill | undefined;
  if (row?.kind === 'value') fill = { kind: 'value', write: row, cut };
  else if (row?.kind === 'log') fill = { kind: 'log', write: row, cut };
  else if (kind === 'log' && shared.entry !== undefined) {
    fill = { kind: 'log', write: emptyLog(address), cut };
  }
  if (fill === undefined) return;
  const copy = fill;
  yield* p.askShared((current) => {
    // A cut says nothing in another epoch, even where it is the same number.
    if (current !== epoch && p.world.rule('cut-quoted-with-epoch')) return 'refused';
    return redis.model.backfill(current, copy, p.world.now);
  });
}

function emptyLog(address: Address): LogWrite {
  return { kind: 'log', address, items: [], erasedTo: 0, scope: undefined };
}

// ---------------------------------------------------------------- what is checked

/** Faults that make L2 and L3 authorities side by side: then only own writes are promised. */
function isMonotonic(p: Instance): boolean {
  const { world } = p;
  const split = ['hiccup', 'late', 'cut', 'down', 'empty', 'regress'] as const;
  return !split.some((fault) => world.expects(fault));
}

function snapshot(promised: Promised | undefined): Promised | undefined {
  return promised && { version: promised.version, items: new Map(promised.items) };
}

function check(
  p: Instance,
  address: Address,
  kind: 'value' | 'log',
  answer: Answer,
  promised: Promised | undefined,
  what: 'acknowledged' | 'seen',
): void {
  if (promised === undefined) return;
  const { known, tier } = answer;
  if (kind === 'value') {
    const version = versionOf(known);
    if (version >= promised.version) return;
    const detail = (): string => `P${p.id} ${address.key} got ${short(version)} from ${tier}`;
    p.history.violate('regressed read', () => `${detail()}, ${what} ${short(promised.version)}`);
    return;
  }
  // A deletion that L3 has done need not be told: a log that was created after it begins anew.
  const deleted = p.network.supabase.model.readLog(address)?.erasedTo ?? 0;
  const erasedTo = Math.max(deleted, known?.kind === 'log' ? known.erasedTo : 0);
  const ids = new Set(known?.kind === 'log' ? known.items.map((item) => item.id) : []);
  for (const [id, version] of promised.items) {
    if (ids.has(id) || version <= erasedTo) continue;
    if (p.history.wandering.has(id) && erasedTo > 0) continue;
    const missing = (): string => `P${p.id} ${address.key} lacks ${id} from ${tier}`;
    const violation = answer.unproven ? 'unproven log' : 'regressed log';
    p.history.violate(violation, () => `${missing()}, ${what} ${short(version)}`);
    return;
  }
  const items = known?.kind === 'log' ? known.items : [];
  const undead = items.find((item) => item.version <= promised.version);
  if (undead !== undefined) {
    p.history.violate('regressed log', () => `P${p.id} ${address.key} shows deleted ${undead.id}`);
  }
}

function textOf(known: Known | undefined): string {
  if (known?.kind !== 'log') return known ? short(known.version) : 'nothing';
  const items = known.items.map((item) => `${item.id}@${short(item.version)}`);
  return `[${items.join(' ')}] erased to ${short(known.erasedTo)}`;
}

function remember(p: Instance, address: Address, known: Known | undefined): void {
  if (known === undefined) return;
  const seen = p.promise(p.seen, address);
  if (known.kind === 'value') {
    seen.version = Math.max(seen.version, known.version);
    return;
  }
  seen.version = Math.max(seen.version, known.erasedTo);
  for (const { id, version } of known.items) seen.items.set(id, version);
  p.history.seenLogs.push({ instance: p.id, address, ids: known.items.map((item) => item.id) });
}
