import { expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';

it('what is to happen in fifty days does not happen at once', async () => {
  const first = await new Promise<string>((resolve) => {
    const cancel = systemClock.after(50 * 86_400_000, () => resolve('in fifty days'));
    systemClock.after(5, () => {
      cancel();
      resolve('in five milliseconds');
    });
  });
  expect(first).toBe('in five milliseconds');
});
