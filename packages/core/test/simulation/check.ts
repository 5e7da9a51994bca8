/**
 * What must be true when everything is up and nothing moves any more: no acknowledged write is
 * lost, doubled or out of order, and L1, L2 and L3 say the same.
 */
import { compareItems } from '../../src/model/entry.ts';
import type { Address } from '../../src/model/key.ts';
import { compareStamps } from '../../src/model/version.ts';
import type { SharedEntry } from '../../src/tiers/tier.ts';
import type { Stage } from './faults.ts';
import { type Acknowledged, type Proposal, short } from './history.ts';

export function checkEnd(stage: Stage): void {
  for (const acknowledged of stage.history.acknowledged) {
    if (acknowledged.verb === 'append') checkItem(stage, acknowledged);
    else if (acknowledged.verb === 'delete-log') checkDeletion(stage, acknowledged);
    else checkValue(stage, acknowledged);
  }
  checkOrder(stage);
  for (const address of stage.addresses) {
    if (isLog(address)) checkLog(stage, address);
    else checkLineage(stage, address);
    checkShared(stage, address);
    checkCopies(stage, address);
  }
}

/** The namespace says the kind. */
export function isLog(address: Address): boolean {
  return address.namespace === 'l';
}

function describe(write: Acknowledged): string {
  const { verb, instance, address, version, itemId, held } = write;
  return `P${instance} ${verb} ${address.key} ${itemId ?? ''} ${short(version)} by ${held}`;
}

function checkValue({ history, network }: Stage, write: Acknowledged): void {
  const row = network.supabase.model.read(write.address);
  if (row === undefined || compareStamps(row, write) < 0) {
    const l3 = row ? short(row.version) : 'nothing';
    history.violate('lost set', () => `${describe(write)}, L3 has ${l3}`);
    return;
  }
  if (write.verb !== 'update') return;
  const lineage = lineageOf(history.proposals, row.intent);
  const token = history.proposals.get(write.intent)?.token;
  const root = lineage.at(-1);
  const isReplaced =
    root !== undefined && root.base === undefined && compareStamps(root, write) > 0;
  if (!isReplaced && !lineage.some((step) => step.token === token)) {
    history.violate('lost update', () => describe(write));
  }
}

/** A write, what it was computed from, and so on down to one that was computed from nothing. */
function lineageOf(proposals: ReadonlyMap<number, Proposal>, intent: number): readonly Proposal[] {
  const lineage: Proposal[] = [];
  let step = proposals.get(intent);
  while (step !== undefined) {
    lineage.push(step);
    step = step.base === undefined ? undefined : proposals.get(step.base);
  }
  return lineage;
}

function checkLineage({ history, network }: Stage, address: Address): void {
  const row = network.supabase.model.read(address);
  const tokens = lineageOf(history.proposals, row?.intent ?? 0).map((step) => step.token);
  if (new Set(tokens).size < tokens.length) {
    history.violate('doubled update', () => `${address.key}: ${tokens.join(' ')}`);
  }
}

function checkItem({ history, network }: Stage, write: Acknowledged): void {
  const log = network.supabase.model.readLog(write.address);
  const item = log?.items.find(({ id }) => id === write.itemId);
  const erasedTo = log?.erasedTo ?? 0;
  const isWandering = history.wandering.has(write.itemId ?? '');
  if (history.saidAnew.has(write.itemId ?? '') && write.version <= erasedTo) return;
  if (item === undefined) {
    if (write.version <= erasedTo || (isWandering && erasedTo > 0)) return;
    history.violate('lost item', () => describe(write));
  } else if (item.version !== write.version && !isWandering) {
    // What is there was said before the deletion, which is lost as well.
    const isOlder = history.saidAnew.has(item.id) && item.version < write.version;
    history.violate(
      isOlder ? 'lost item' : 'version of item',
      () => `${describe(write)}, L3 has ${short(item.version)}`,
    );
  }
}

function checkDeletion({ history, network }: Stage, write: Acknowledged): void {
  const erasedTo = network.supabase.model.readLog(write.address)?.erasedTo ?? 0;
  if (erasedTo < write.version) {
    history.violate('lost deletion', () => `${describe(write)}, L3 has ${short(erasedTo)}`);
  }
}

/** Writes that did not overlap are in the order in which they happened. */
function checkOrder({ history, network }: Stage): void {
  for (const later of history.acknowledged) {
    for (const earlier of history.acknowledged) {
      if (earlier.ackedAt >= later.startedAt || earlier.address !== later.address) continue;
      const between = [earlier.ackedAt, later.ackedAt] as const;
      const what = (): string => `${describe(earlier)}, then ${describe(later)}`;
      if (isLog(later.address)) {
        const both = [earlier, later];
        if (!both.every((it) => it.verb === 'append' && it.held === 'l2' && it.itemId)) continue;
        if (both.some((it) => history.wandering.has(it.itemId ?? ''))) continue;
        if (earlier.version > later.version) history.violate('order of log', what, between);
        continue;
      }
      if (later.verb === 'update' && earlier.instance === later.instance) {
        const base = history.proposals.get(later.intent)?.base ?? 0;
        const version = history.proposals.get(base)?.version ?? 0;
        if (version < earlier.version) history.violate('ignored write', what);
      }
      if (earlier.version <= later.version) continue;
      if (earlier.instance === later.instance) history.violate('order of own writes', what);
      else if (earlier.held === 'l2' && later.held === 'l2')
        history.violate('order at L2', what, between);
    }
  }
  for (const seen of history.seenLogs) {
    const items = network.supabase.model.readLog(seen.address)?.items ?? [];
    const places = new Map(items.map((item, index) => [item.id, index]));
    let last = -1;
    for (const id of seen.ids) {
      const isElsewhere = history.wandering.has(id) || history.saidAnew.has(id);
      const place = isElsewhere ? undefined : places.get(id);
      if (place === undefined) continue;
      if (place < last) {
        const final = items.map((item) => item.id).join(' ');
        history.violate(
          'order of log',
          () => `P${seen.instance} saw ${seen.ids.join(' ')}, now ${final}`,
        );
        break;
      }
      last = place;
    }
  }
}

function checkLog({ history, network }: Stage, address: Address): void {
  const items = network.supabase.model.readLog(address)?.items ?? [];
  const tokens = items.map((item) => history.tokens.get(item.id) ?? 0);
  if (new Set(tokens).size < tokens.length) {
    history.violate('doubled item', () => `${address.key}: ${items.map(({ id }) => id).join(' ')}`);
  }
}

function checkShared(stage: Stage, address: Address): void {
  const { network, history, world } = stage;
  const { model } = network.redis;
  const epoch = model.epochOf(model.runId);
  if (epoch === undefined) return;
  const shared = model.read(epoch, address, world.now);
  if (shared === 'epoch' || shared.entry === undefined) return;
  const difference = differenceOf(stage, address, shared.entry);
  if (difference !== undefined)
    history.violate('diverged L2', () => `${address.key}: ${difference}`);
}

function differenceOf(
  { network }: Stage,
  address: Address,
  entry: SharedEntry,
): string | undefined {
  if (entry.kind === 'unreadable') return entry.reason;
  if (entry.kind === 'value') {
    const row = network.supabase.model.read(address);
    if (row !== undefined && compareStamps(row, entry.write) === 0) return undefined;
    return `L2 has ${short(entry.write.version)}, L3 ${row ? short(row.version) : 'nothing'}`;
  }
  const log = network.supabase.model.readLog(address);
  const theirs = named(log?.items ?? []);
  // A partial log is united with L3's: what L3 has erased is not shown.
  const alive = entry.items.filter((item) => !entry.partial || item.version > (log?.erasedTo ?? 0));
  const ours = named(alive);
  const isSame = entry.partial
    ? ours.every((item) => theirs.includes(item))
    : ours.join() === theirs.join();
  if (isSame) return undefined;
  return `L2 has ${ours.join(' ')}${entry.partial ? ' and more' : ''}, L3 ${theirs.join(' ')}`;
}

function named(items: readonly { readonly id: string; readonly version: number }[]): string[] {
  return items.map((item) => `${item.id}@${short(item.version)}`);
}

function checkCopies({ instances, network, history }: Stage, address: Address): void {
  for (const instance of instances) {
    const copy = instance.copies.get(address.id);
    const known = copy && instance.knownOf(copy);
    if (known === undefined) continue;
    if (known.kind === 'value') {
      const row = network.supabase.model.read(address);
      if (row !== undefined && compareStamps(row, known) === 0) continue;
      const detail = (): string => `P${instance.id} ${address.key} ${short(known.version)}`;
      history.violate(
        'diverged L1',
        () => `${detail()}, L3 ${row ? short(row.version) : 'nothing'}`,
      );
      continue;
    }
    const ours = named([...known.items].sort(compareItems)).join(' ');
    const theirs = named(network.supabase.model.readLog(address)?.items ?? []).join(' ');
    if (ours === theirs) continue;
    history.violate('diverged L1', () => `P${instance.id} ${address.key} ${ours}, L3 ${theirs}`);
  }
}
