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

/** Runs `done` for what L2 confirmed and returns the rest. */
async function confirmedBy<R extends Release>(
  releases: readonly R[],
  tell: () => Promise<readonly string[]>,
): Promise<readonly R[]> {
  if (releases.length === 0) return [];
  let replies: readonly string[];
  try {
    replies = await tell();
  } catch {
    return releases;
  }
  return releases.filter((release, index) => {
    if (replies[index] !== 'done') return true;
    release.done();
    return false;
  });
}

/** Tells L2 what L3 has, and the outbox what L2 confirmed; returns what it did not confirm. */
export async function tell(
  releases: readonly Release[],
  shared: SharedTier,
): Promise<readonly Release[]> {
  const settles = releases.flatMap((release) => (release.tell === 'settle' ? [release] : []));
  const drops = releases.flatMap((release) => (release.tell === 'drop' ? [release] : []));
  const purges = releases.flatMap((release) => (release.tell === 'purge' ? [release] : []));
  const told: (readonly Release[])[] = await Promise.all([
    confirmedBy(settles, () => shared.settle(settles.map(({ settle }) => settle))),
    confirmedBy(drops, () =>
      shared.drop(drops.map(({ id, newer }) => ({ address: addressOfId(id), newer }))),
    ),
    confirmedBy(purges, () =>
      shared.purge(purges.map(({ id, version }) => ({ address: addressOfId(id), version }))),
    ),
  ]);
  const repairs = releases.flatMap((release) => (release.tell === 'repair' ? [release] : []));
  const targets = repairs.map(({ id, version }) => ({
    address: addressOfId(id),
    kind: 'log' as const,
    stamp: { version, intent: 0 },
  }));
  told.push(await confirmedBy(repairs, () => shared.repair(targets)));
  return told.flat();
}
