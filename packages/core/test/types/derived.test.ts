import { expectTypeOf, it } from 'vitest';
import {
  createCache,
  type DeepReadonly,
  type Derived,
  type LoadContext,
  memory,
} from '../../src/index.ts';

interface Profile {
  readonly name: string;
}

const crm = { byPhone: async (_phone: string): Promise<Profile> => ({ name: 'Ada' }) };

it('the loader says what keys and values are, with a context or without one', async () => {
  await using cache = createCache({ l1: memory() });
  const plain = cache.derived('plain', { load: (phone: string) => crm.byPhone(phone) });
  expectTypeOf(plain).toEqualTypeOf<Derived<string, Profile>>();
  const aborting = cache.derived('aborting', {
    load: (phone: string, ctx) => {
      ctx.signal.throwIfAborted();
      return crm.byPhone(phone);
    },
  });
  expectTypeOf(aborting).toEqualTypeOf<Derived<string, Profile>>();
  const keeping = cache.derived('keeping', {
    load: async (phone: string, ctx: LoadContext<Profile>) =>
      ctx.stale?.name === 'Ada' ? ctx.keep() : crm.byPhone(phone),
    tags: (phone, profile) => [phone, profile.name],
  });
  expectTypeOf(keeping).toEqualTypeOf<Derived<string, Profile>>();
});

it('what may not be there is said by the type', async () => {
  await using cache = createCache({ l1: memory() });
  const profiles = cache.derived('profiles', {
    load: async (phone: number): Promise<Profile | undefined> =>
      phone === 0 ? undefined : { name: 'Ada' },
  });
  const found = await profiles.get(1);
  expectTypeOf(found).toEqualTypeOf<DeepReadonly<Profile> | undefined>();
});

it('a cache without loaders names its types', async () => {
  await using cache = createCache({ l1: memory() });
  const any = cache.derived<{ readonly id: number }, string>('any');
  expectTypeOf(any.getOrSet).parameter(0).toEqualTypeOf<{ readonly id: number }>();
  expectTypeOf(await any.getOrSet({ id: 1 }, () => 'one')).toEqualTypeOf<string>();
});
