/** Dead letters in L3: looked at, sent again, dropped, and resolved by what happens to their keys. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { LogWrite, ValueWrite } from '../../../src/model/entry.ts';
import type { KeptLetter } from '../../../src/tiers/letters.ts';
import { item, json, type L3, log, startL3, value } from './l3.ts';

let l3: L3;
beforeAll(async () => {
  // What holds while `rules` has a row: the cause of a refusal that somebody can mend.
  l3 = await startL3(`
    create table public.rules (id integer primary key);
    grant all on public.rules to service_role;
    create function public.judge() returns trigger language plpgsql as $$
      begin
        if exists (select from public.rules) and to_json(new)::text like '%poison%' then
          raise exception 'not on my watch';
        end if;
        return new;
      end $$;
    create trigger judge before insert or update on public.cache_entries
      for each row execute function public.judge();
    create trigger judge before insert or update on public.cache_log_items
      for each row execute function public.judge();
    create trigger judge_deletion before update on public.cache_logs
      for each row when (new.erased_to > old.erased_to and new.key like '%poison%')
      execute function public.judge();
    create function public.rule(on_off boolean) returns void language sql as $$
      delete from public.rules where true;
      insert into public.rules select 1 where on_off;
    $$;`);
  await l3.tier.connect(16);
}, 60_000);
afterAll(async () => {
  await l3[Symbol.asyncDispose]();
});

const rule = (isOn: boolean): Promise<unknown> => l3.rpc('rule', { on_off: isOn });
const send = async (write: ValueWrite | LogWrite): Promise<string | undefined> =>
  write.kind === 'value'
    ? (await l3.tier.apply([{ write, mark: false }]))[0]?.status
    : (await l3.tier.insert([{ write, mark: false }]))[0]?.status;
const all = (): Promise<readonly KeptLetter[]> =>
  l3.tier.letters.list({ newestFirst: false, limit: 1000 });

/** Refused while the rule holds, which it does afterwards too. */
async function refused(write: ValueWrite | LogWrite): Promise<KeptLetter> {
  await rule(true);
  expect(await send(write)).toBe('refused');
  const letter = (await all()).findLast(({ address }) => address.id === write.address.id);
  if (letter === undefined) throw new Error('there is no letter');
  return letter;
}

it('a page of letters is without payloads, in either order, of one namespace or of all', async () => {
  const scope = { kind: 'call', id: 'c' };
  const first = await refused(value('p1', 7, { payload: json('"poison"'), scope }));
  const second = await refused(value('p2', 8, { payload: json('"poison"'), namespace: 'other' }));
  const third = await refused(log('p3', [item('poison', 9)]));
  expect(await all()).toEqual([first, second, third]);
  const list = (o: Partial<Parameters<typeof l3.tier.letters.list>[0]>) =>
    l3.tier.letters.list({ newestFirst: false, limit: 10, ...o });
  expect(await list({ limit: 2 })).toEqual([first, second]);
  expect(await list({ limit: 2, after: second.id })).toEqual([third]);
  expect(await list({ newestFirst: true, limit: 2 })).toEqual([third, second]);
  expect(await list({ newestFirst: true, limit: 2, after: second.id })).toEqual([first]);
  expect(await list({ namespace: 'other' })).toEqual([second]);
  expect(first).toMatchObject({
    kind: 'value',
    version: 7,
    items: [],
    codec: 'json',
    bytes: 8,
    isKept: true,
    reason: 'P0001 not on my watch',
    attempts: 1,
    scope,
    payload: undefined,
  });
  expect(third).toMatchObject({ kind: 'log', version: 9, items: ['poison'], codec: 'json' });
  expect(await l3.tier.letters.get(first.id)).toEqual({ ...first, payload: '"poison"' });
  expect(await l3.tier.letters.get(999_999)).toBeUndefined();
});

it('G7: a letter that is retried is stored with its own stamp once the cause is mended, and is gone', async () => {
  const write = value('retried', 20, { payload: json('"poison"'), intent: 9, tags: ['t'] });
  const { id } = await refused(write);
  expect((await l3.tier.letters.retry(id)).status).toBe('refused');
  expect(await l3.tier.letters.get(id)).toMatchObject({ attempts: 2 });
  await rule(false);
  const answer = await l3.tier.letters.retry(id);
  expect(answer).toMatchObject({ status: 'applied', address: { id: write.address.id } });
  expect((await l3.tier.read([write.address]))[0]).toMatchObject({
    version: 20,
    intent: 9,
    tags: ['t'],
  });
  expect(await l3.tier.letters.get(id)).toBeUndefined();
  expect(await l3.tier.letters.retry(id)).toEqual({ status: 'unknown', address: undefined });
});

it('G4: a retry never overwrites what is newer, and brings no erased scope back', async () => {
  const scope = { kind: 'call', id: 'erased-later' };
  const late = await refused(value('late', 30, { payload: json('"poison"') }));
  const scoped = await refused(value('scoped', 31, { payload: json('"poison"'), scope }));
  await rule(false);
  await send(value('late', 40));
  expect(await l3.tier.letters.get(late.id)).toBeUndefined();
  expect((await l3.tier.letters.retry(late.id)).status).toBe('unknown');
  await l3.tier.erase(scope, 100);
  expect((await l3.tier.letters.retry(scoped.id)).status).toBe('unknown');
  expect(await l3.tier.read([value('scoped', 1).address])).toEqual([undefined]);
});

it('G7: an item of a log is retried and dropped alone', async () => {
  const [a, b] = [item('poison a', 41), item('poison b', 42)];
  const one = await refused(log('items', [a]));
  const two = await refused(log('items', [b]));
  await rule(false);
  expect((await l3.tier.letters.retry(one.id)).status).toBe('applied');
  expect((await l3.tier.letters.drop(two.id)).status).toBe('dropped');
  const whole = log('items', [a, b, item('c', 43)]);
  const [reply] = await l3.tier.insert([{ write: whole, mark: false }]);
  expect(reply).toMatchObject({ status: 'applied', dropped: ['poison b'] });
  const [kept] = await l3.tier.readLogs([whole.address]);
  expect(kept?.items.map(({ id }) => id)).toEqual(['poison a', 'c']);
  // The same words under a new version are another item.
  expect(await send(log('items', [item('poison b', 44)]))).toBe('applied');
});

it('two items of one version, of two instances, are two letters', async () => {
  const one = await refused(log('twins', [item('poison 1', 50)]));
  const two = await refused(log('twins', [item('poison 2', 50)]));
  expect([one.items, two.items]).toEqual([['poison 1'], ['poison 2']]);
});

it('G7: what was dropped is answered as erased wherever it comes from, and nothing else of its key is', async () => {
  const write = value('dropped', 60, { payload: json('"poison"'), intent: 3 });
  const { id } = await refused(write);
  const before = (await l3.tier.marks(1000)).length;
  expect(await l3.tier.letters.drop(id)).toMatchObject({ status: 'dropped' });
  expect((await l3.tier.marks(1000)).length).toBe(before + 1);
  expect((await l3.tier.letters.drop(id)).status).toBe('unknown');
  // Refused still, and mended: it stays dropped.
  for (const isOn of [true, false]) {
    await rule(isOn);
    expect(await send(write)).toBe('erased');
  }
  expect(await l3.tier.letters.get(id)).toBeUndefined();
  expect(await l3.tier.read([write.address])).toEqual([undefined]);
  expect(await send(value('dropped', 60, { intent: 4 }))).toBe('applied');
  expect(await send(value('dropped', 61))).toBe('applied');
});

it('the deletion of a log can be retried, and not dropped', async () => {
  await rule(false);
  await send(log('poisoned log', [item('x', 70)]));
  const deletion = log('poisoned log', [], { erasedTo: 71 });
  const { id } = await refused(deletion);
  expect((await l3.tier.letters.drop(id)).status).toBe('deletion');
  await rule(false);
  expect((await l3.tier.letters.retry(id)).status).toBe('applied');
  expect(await l3.tier.readLogs([deletion.address])).toMatchObject([{ erasedTo: 71, items: [] }]);
  expect(await l3.tier.letters.get(id)).toBeUndefined();
});

it('G7: a row that could not be sent is a letter without its payload, until it arrives or is dropped', async () => {
  await rule(false);
  const write = value('large', 80, { payload: json('"much"'), intent: 5 });
  const one = { write, reason: 'not sent: too large' };
  expect(await l3.tier.letters.keepUnsent(one)).toBe('refused');
  expect(await l3.tier.letters.keepUnsent(one)).toBe('refused');
  const letter = (await all()).find(({ address }) => address.id === write.address.id);
  expect(letter).toMatchObject({ isKept: false, bytes: 6, attempts: 2, reason: one.reason });
  expect((await l3.tier.letters.retry(letter?.id ?? 0)).status).toBe('unsent');
  expect(await send(write)).toBe('applied');
  expect(await l3.tier.letters.get(letter?.id ?? 0)).toBeUndefined();

  const { address, scope } = log('large', []);
  const large = { write: { address, scope, item: item('i', 81) }, reason: 'not sent: too large' };
  expect(await l3.tier.letters.keepUnsent(large)).toBe('refused');
  const other = (await all()).find((it) => it.address.id === address.id);
  expect(other).toMatchObject({ kind: 'log', items: ['i'], isKept: false, version: 81 });
  await l3.tier.letters.drop(other?.id ?? 0);
  expect(await l3.tier.letters.keepUnsent(large)).toBe('dropped');
});

it('G8: a scope that was erased has no letters, and takes none', async () => {
  const scope = { kind: 'call', id: 'gone' };
  const write = value('of a scope', 90, { payload: json('"poison"'), scope });
  const { id } = await refused(write);
  expect(await l3.tier.erase(scope, 100)).toMatchObject({ deadLetters: 1 });
  expect(await l3.tier.letters.get(id)).toBeUndefined();
  expect(await send(write)).toBe('erased');
  expect(await l3.tier.letters.keepUnsent({ write, reason: 'too large' })).toBe('erased');
});
