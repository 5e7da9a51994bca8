import { until } from '@cache/testing';
import { expect, it } from 'vitest';
import { systemClock } from '../../../../src/clock.ts';
import { TierError } from '../../../../src/errors.ts';
import { Link } from '../../../../src/tiers/redis/link.ts';

it('a session that can not even be made is tried again', async () => {
  let attempts = 0;
  const link = new Link({
    clock: systemClock,
    open: () => {
      attempts += 1;
      throw new TierError('nobody is known', 'unreachable', { outcome: 'none' });
    },
    prepare: async () => {},
    onUp: () => {},
    onDown: () => {},
  });
  await expect(link.connect()).rejects.toMatchObject({ reason: 'unreachable' });
  await until(() => attempts > 2, 'a third attempt');
  await link.close();
});
