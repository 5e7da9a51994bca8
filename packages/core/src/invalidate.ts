/** `cache.invalidateTags`: what bears a tag is old, in every tier and every instance. */
import type { DerivedEngine, Engine } from './calls.ts';
import { TierError, UnavailableError } from './errors.ts';
import { tagId } from './model/tags.ts';

/** What {@link Cache.invalidateTags} did. */
export interface InvalidationReport {
  /** Records whose cached copies were forgotten. Derived values are not counted: nobody looks at them. */
  readonly forgotten: number;
}

/**
 * L3 before L2, so that nobody fills L2 from there once it was told. A tier that can't be reached
 * does not keep the others from being told; then it rejects.
 */
export async function invalidate(
  { tags: heard, patient: shared, durable }: DerivedEngine,
  engine: Engine | undefined,
  tags: readonly string[],
): Promise<InvalidationReport> {
  const ids = tags.map(tagId);
  const hear = () => {
    for (const id of ids) heard.hear(id);
  };
  const failures: unknown[] = [];
  const attempt = async <T>(work: Promise<T> | undefined): Promise<T | undefined> => {
    try {
      return await work;
    } catch (error) {
      if (!(error instanceof TierError || error instanceof UnavailableError)) throw error;
      failures.push(error);
      return undefined;
    }
  };
  hear();
  const [records] = await Promise.all([
    attempt(engine?.durable.tagged(tags)),
    attempt(durable?.invalidate(ids)),
  ]);
  const tellShared = async () => {
    // Under a new epoch all that was there before is void, but copies elsewhere are not yet.
    for (let left = 2; left > 0; left -= 1) if ((await shared?.invalidate(ids)) !== 'epoch') return;
    throw new TierError('Redis went on changing under an invalidation', 'refused');
  };
  await Promise.all([attempt(tellShared()), attempt(engine?.forget(records ?? []))]);
  // Once more: what was read between the first and L2's word may be old.
  hear();
  if (failures.length === 0) return { forgotten: records?.length ?? 0 };
  throw new UnavailableError('a tier could not be told of an invalidation', {
    cause: failures[0],
    outcome: 'unknown',
  });
}
