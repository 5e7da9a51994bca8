/** Waiting for what somebody else brings about: looked at again and again, bounded. */
import { setTimeout as delay } from 'node:timers/promises';

const LOOK_EVERY_MS = 5;
const PATIENCE_MS = 30_000;

/**
 * Resolves once `condition` holds.
 * @param what - names it in the error of a wait that was in vain
 * @param patienceMs - milliseconds; default 30 s
 * @throws Error where it does not hold in time
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  patienceMs: number = PATIENCE_MS,
): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`never: ${what}`);
    await delay(LOOK_EVERY_MS);
  }
}

/**
 * Resolves with what `expectation` gives once it no longer throws.
 * @param patienceMs - milliseconds; default 30 s
 * @throws its last error where it throws until the end
 */
export async function eventually<T>(
  expectation: () => T | Promise<T>,
  patienceMs: number = PATIENCE_MS,
): Promise<T> {
  const end = performance.now() + patienceMs;
  for (;;) {
    try {
      return await expectation();
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    await delay(LOOK_EVERY_MS);
  }
}
