/** Whether Supabase holds every turn of every call that was played, once, and in order. */
import type { StoredTurns } from '../stored-turns.ts';
import type { RecordedCall } from './calls-file.ts';
import { turnId } from './player.ts';

export interface Verdict {
  readonly calls: number;
  readonly turns: number;
  /** Turns of the file that are not there. */
  readonly missing: number;
  /** Turns that are there and not in the file. */
  readonly extra: number;
  /** Calls whose turns are there in another order, or with other words. */
  readonly wrong: number;
}

export async function verify(
  stored: StoredTurns,
  calls: readonly RecordedCall[],
): Promise<Verdict> {
  const sum = { calls: calls.length, turns: 0, missing: 0, extra: 0, wrong: 0 };
  for (const call of calls) {
    const found = await stored.of(call.id);
    const ids = new Set(found.map(({ id }) => id));
    const wanted = new Set(call.turns.map((_, index) => turnId(index)));
    sum.turns += found.length;
    sum.missing += [...wanted].filter((id) => !ids.has(id)).length;
    sum.extra += found.length - [...ids].filter((id) => wanted.has(id)).length;
    const isSame = call.turns.every((turn, index) => {
      const there = found[index];
      return (
        there?.id === turnId(index) &&
        there.role === turn.role &&
        there.text === turn.text &&
        there.at === turn.at
      );
    });
    if (!isSame) sum.wrong += 1;
  }
  return sum;
}

export function isSound({ missing, extra, wrong }: Verdict): boolean {
  return missing + extra + wrong === 0;
}
