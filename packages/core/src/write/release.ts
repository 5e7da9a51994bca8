/**
 * What L2 has to be told about rows that L3 answered for. Only what L2 confirms is let go of in
 * the outbox (`done`); the rest is the caller's to mark.
 */
import { type AddressId, addressOfId } from '../model/key.ts';
import type { Stamp } from '../model/version.ts';
import type { SharedSettle, SharedTier } from '../tiers/tier.ts';

/** What L2 has to be told, and what the outbox forgets when it was. */
export type Release =
  | { readonly tell: 'settle'; readonly settle: SharedSettle; readonly done: () => void }
  | {
      readonly tell: 'drop';
      readonly id: AddressId;
      readonly newer: Stamp;
      readonly done: () => void;
    }
  | {
      /** A log of which L3 has other items than L2. Told last. */
      readonly tell: 'repair';
      readonly id: AddressId;
      readonly version: number;
      readonly done: () => void;
    }
  | {
      readonly tell: 'purge';
      readonly id: AddressId;
      readonly version: number;
      readonly done: () => void;
    };

/** The key that a release is about. */
export function idOf(release: Release): AddressId {
  return release.tell === 'settle' ? release.settle.address.id : release.id;
}

/** What L2 did not confirm. */
async function unconfirmedBy<R extends Release>(
  releases: readonly R[],
  tell: () => Promise<readonly string[]>,
): Promise<readonly R[]> {
  if (releases.length === 0) return [];
  try {
    const replies = await tell();
    return releases.filter((_, index) => replies[index] !== 'done');
  } catch {
    return releases;
  }
}

/** Tells L2 what L3 has, and the outbox what L2 confirmed; returns what it did not confirm. */
export async function tell(
  releases: readonly Release[],
  shared: Pick<SharedTier, 'settle' | 'drop' | 'purge' | 'repair'>,
): Promise<readonly Release[]> {
  const settles = releases.flatMap((release) => (release.tell === 'settle' ? [release] : []));
  const drops = releases.flatMap((release) => (release.tell === 'drop' ? [release] : []));
  const purges = releases.flatMap((release) => (release.tell === 'purge' ? [release] : []));
  const left: (readonly Release[])[] = await Promise.all([
    unconfirmedBy(settles, () => shared.settle(settles.map(({ settle }) => settle))),
    unconfirmedBy(drops, () =>
      shared.drop(drops.map(({ id, newer }) => ({ address: addressOfId(id), newer }))),
    ),
    unconfirmedBy(purges, () =>
      shared.purge(purges.map(({ id, version }) => ({ address: addressOfId(id), version }))),
    ),
  ]);
  const repairs = releases.flatMap((release) => (release.tell === 'repair' ? [release] : []));
  const targets = repairs.map(({ id, version }) => ({
    address: addressOfId(id),
    kind: 'log' as const,
    stamp: { version, intent: 0 },
  }));
  const torn = await unconfirmedBy(repairs, () => shared.repair(targets));
  // Of a log whose repair failed nothing is let go of: the mark that follows is made of it.
  const tornIds = new Set(torn.map(idOf));
  const unconfirmed = new Set<Release>(left.flat());
  for (const release of releases) if (tornIds.has(idOf(release))) unconfirmed.add(release);
  for (const release of releases) if (!unconfirmed.has(release)) release.done();
  return [...unconfirmed];
}
