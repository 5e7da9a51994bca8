import { createClient } from '@supabase/supabase-js';
import { Cluster, Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { redis, resolveOptions, supabase } from '../../src/options.ts';

test('clients that the caller owns fit the options as they are, without a cast', () => {
  const own = new Redis({ lazyConnect: true });
  const project = createClient('http://localhost:1', 'secret');
  const resolved = resolveOptions({
    l2: redis({ client: own }),
    l3: supabase({ client: project }),
  });
  expect(resolved.l2?.source).toEqual({ client: own });
  expect(resolved.l3?.source).toEqual({ client: project });
  own.disconnect();
});

test('a Cluster that the caller owns fits as it is, without a cast', () => {
  const own = new Cluster([{ host: 'localhost', port: 1 }], { lazyConnect: true });
  const { l2 } = resolveOptions({ l2: redis({ client: own }) });
  expect(l2?.source).toEqual({ client: own });
  own.disconnect();
});
