/** Waiting for a condition that somebody else brings about: looked at again and again, bounded. */
import { setTimeout as delay } from 'node:timers/promises';

const LOOK_EVERY_MS = 20;
const PATIENCE_MS = 20_000;

/** Resolves when `expectation` no longer throws; its last error is the failure. */
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
