/** Which shards each node of a Cluster has, and how that is asked for. */
import type { Clock } from '../../clock.ts';
import { TierError } from '../../errors.ts';
import type { ClusterSource, HostAndPort } from './endpoint.ts';
import { toTierError } from './failures.ts';
import { Session } from './session.ts';
import { type Claim, claimsIn } from './slots.ts';

/** One node, and the shards that are on it. */
export interface Route extends HostAndPort {
  readonly shards: readonly number[];
}

export interface Routes {
  /** By `host:port`. */
  readonly nodes: ReadonlyMap<string, Route>;
  /** Every shard is on some node. */
  readonly isWhole: boolean;
}

export function nameOf({ host, port }: HostAndPort): string {
  return `${host}:${port}`;
}

/** `owners`: of each shard, by its number. */
export function routesOf(owners: readonly (HostAndPort | undefined)[]): Routes {
  const nodes = new Map<string, HostAndPort & { shards: number[] }>();
  for (const [shard, owner] of owners.entries()) {
    if (owner === undefined) continue;
    const there = nodes.get(nameOf(owner));
    if (there === undefined) nodes.set(nameOf(owner), { ...owner, shards: [shard] });
    else there.shards.push(shard);
  }
  return { nodes, isWhole: owners.every((owner) => owner !== undefined) };
}

/** How long nodes may take to say what they know; those that did not are not waited for. */
const VIEW_MS = 400;
/** The same with a connection that has to be made first. */
const FIRST_VIEW_MS = 800;

/** A node that is connected to, and where it is. */
export interface Witness {
  readonly session: Session;
  readonly address: HostAndPort;
}

/**
 * What nodes say about who has which slots: those that are connected, or where none of them
 * answers, the seeds and every node that was known before. Rejects where nobody says anything.
 */
export async function ask(
  source: ClusterSource,
  clock: Clock,
  witnesses: readonly Witness[],
  known: readonly HostAndPort[],
): Promise<readonly (readonly Claim[])[]> {
  const said = await within(clock, VIEW_MS, witnesses, ({ session, address }, signal) =>
    viewOf(session, address, source.isByName, signal),
  );
  if (said.views.length > 0) return said.views;
  const nowhere = { host: '', port: 0 };
  const openers = [
    ...source.seeds().map((seed) => ({ ...seed, address: seed.address ?? nowhere })),
    ...known.map((address) => ({ open: () => source.node(address), address })),
  ];
  const heard = await within(clock, FIRST_VIEW_MS, openers, async ({ open, address }, signal) => {
    const session = new Session(open(), 'sharded');
    const stop = () => session.close(new TierError('asked for too long', 'timeout'));
    signal.addEventListener('abort', stop, { once: true });
    try {
      await session.open();
      return await viewOf(session, address, source.isByName, signal);
    } finally {
      stop();
    }
  });
  if (heard.views.length > 0) return heard.views;
  throw (
    heard.error ??
    new TierError('no node of the Redis Cluster is known', 'unreachable', { outcome: 'none' })
  );
}

async function viewOf(
  session: Session,
  address: HostAndPort,
  isByName: boolean,
  signal: AbortSignal,
): Promise<readonly Claim[]> {
  const [text] = await session.send([['CLUSTER', ['NODES']]], signal);
  if (text instanceof Error) throw toTierError(text);
  return claimsIn(String(text), address, isByName);
}

/** Asks all at once; what was not answered within `ms` is left out. */
async function within<T>(
  clock: Clock,
  ms: number,
  all: readonly T[],
  view: (one: T, signal: AbortSignal) => Promise<readonly Claim[]>,
): Promise<{ readonly views: readonly (readonly Claim[])[]; readonly error: unknown }> {
  if (all.length === 0) return { views: [], error: undefined };
  const controller = new AbortController();
  const cancel = clock.after(ms, () => controller.abort(new Error(`no answer within ${ms} ms`)));
  const asked = await Promise.allSettled(all.map((one) => view(one, controller.signal)));
  cancel();
  const views = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = asked.find((one) => one.status === 'rejected');
  return { views, error: failed?.reason };
}
