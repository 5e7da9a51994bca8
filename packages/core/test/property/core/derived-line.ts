/** Derived values over a line to the model of Redis, which has one shard here. */
import { TierError } from '../../../src/errors.ts';
import type { SharedDerived } from '../../../src/tiers/derived.ts';
import type { DerivedModel } from '../../model/derived-model.ts';

/** Runs a command for each, under the epoch that the line knows. */
export type RunOnLine = <T, R>(
  batch: readonly T[],
  command: (epoch: number, one: T, now: number) => R,
) => Promise<R[]>;

export function derivedOver(model: DerivedModel, run: RunOnLine): SharedDerived {
  const once = async <R>(command: (epochs: readonly number[], now: number) => R): Promise<R> => {
    const [reply] = await run([0], (epoch, _, now) => command([epoch], now));
    if (reply === undefined) throw new TierError('no answer', 'refused', { outcome: 'unknown' });
    return reply;
  };
  return {
    take: (all) => run(all, (epoch, take, now) => model.take(epoch, take, now)),
    fill: (all) => run(all, (epoch, fill, now) => model.fill(epoch, fill, now)),
    place: (all) => run(all, (epoch, place, now) => model.place(epoch, place, now)),
    remove: (all) => run(all, (epoch, removal) => model.remove(epoch, removal)),
    extend: (all) => run(all, (epoch, lease, now) => model.extend(epoch, lease, now)),
    letGo: async (all) => {
      await run(all, (epoch, lease, now) => model.letGo(epoch, lease, now));
    },
    invalidate: (tags) => once((epochs, now) => model.invalidate(epochs, tags, now)),
    erase: (scope) => once((epochs, now) => model.erase(epochs, scope, now)),
    members: (scope) => once((_, now) => model.members(scope, now)),
  };
}
