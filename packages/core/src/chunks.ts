/** Long lists, a piece at a time: no pipeline and no batch is longer than {@link CHUNK}. */
export const CHUNK = 500;

/** Asks for the pieces one after the other; the answers in the order of the whole. */
export async function inChunks<T, R>(
  all: readonly T[],
  ask: (some: readonly T[]) => Promise<readonly R[]>,
): Promise<readonly R[]> {
  if (all.length <= CHUNK) return ask(all);
  const answers: R[] = [];
  for (let start = 0; start < all.length; start += CHUNK) {
    for (const answer of await ask(all.slice(start, start + CHUNK))) answers.push(answer);
  }
  return answers;
}
