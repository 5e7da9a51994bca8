import { afterAll, beforeAll, expect, it } from 'vitest';
import { item, json, type L3, log, startL3, value } from './l3.ts';

let l3: L3;
beforeAll(async () => {
  l3 = await startL3(`
    alter table public.cache_entries add constraint no_poison check (key <> 'poison');
    alter table public.cache_log_items add constraint no_poison check (id <> 'poison');
    create function public.refuse() returns trigger language plpgsql as $$
      begin raise exception 'not on my watch'; end $$;
    create trigger refuse before insert on public.cache_entries
      for each row when (new.key = 'watched') execute function public.refuse();`);
  await l3.tier.connect(16);
}, 60_000);
afterAll(async () => {
  await l3[Symbol.asyncDispose]();
});

it('G7: a value that L3 refuses is alone with it; its neighbours are written and its bytes are kept', async () => {
  const scope = { kind: 'call', id: 'c' };
  const poison = value('poison', 5, {
    intent: 9,
    payload: json('{"a":"\\u0000"}'),
    scope,
    tags: ['t'],
  });
  const writes = [value('before', 1), poison, value('watched', 1), value('after', 1)];
  const send = () => l3.tier.apply(writes.map((write) => ({ write, mark: true })));
  expect(await send()).toEqual([
    { status: 'applied' },
    { status: 'refused', reason: '23514 no_poison' },
    { status: 'refused', reason: 'P0001' },
    { status: 'applied' },
  ]);
  expect((await send()).map((reply) => reply.status)).toEqual([
    'applied',
    'refused',
    'refused',
    'applied',
  ]);
  const read = await l3.tier.read(writes.map((write) => write.address));
  expect(read.map((row) => row?.address.key)).toEqual(['before', undefined, undefined, 'after']);
  const marks = await l3.tier.marks(100);
  expect(marks.map((mark) => mark.address.key)).toEqual(['after', 'before', 'after', 'before']);
  expect(await l3.tier.deadLetters()).toBe(2);
  const [letter] = await l3.rows('cache_dead_letters', 'id');
  expect(letter).toMatchObject({
    namespace: 'values',
    key: 'poison',
    kind: 'value',
    version: 5,
    intent: 9,
    codec: 'json',
    payload: '{"a":"\\u0000"}',
    scope_kind: 'call',
    scope_id: 'c',
    tags: '["t"]',
    attempts: 2,
  });
  expect(letter?.reason).toContain('no_poison');
});

it('G7: of several items one is at fault: sent alone it is a letter of its own, and the others are stored', async () => {
  const neighbour = log('healthy', [item('a', 1)]);
  const broken = log('broken', [item('poison', 10), item('b', 11)]);
  const before = await l3.tier.deadLetters();
  const together = [broken, neighbour].map((write) => ({ write, mark: true }));
  const replies = await l3.tier.insert(together);
  expect(replies.map((reply) => reply.status)).toEqual(['refused', 'applied']);
  expect(await l3.tier.deadLetters()).toBe(before);
  const [poison, b] = broken.items.map((one) => log('broken', [one]));
  if (poison === undefined || b === undefined) throw new Error('there are two items');
  for (const attempt of [1, 2]) {
    const alone = [poison, b].map((write) => ({ write, mark: true }));
    const statuses = (await l3.tier.insert(alone)).map((reply) => reply.status);
    expect([attempt, ...statuses]).toEqual([attempt, 'refused', 'applied']);
  }
  expect(await l3.tier.deadLetters()).toBe(before + 1);
  const letter = (await l3.rows('cache_dead_letters', 'id')).find((row) => row.kind === 'log');
  expect(letter).toMatchObject({ key: 'broken', version: 10, codec: 'json', attempts: 2 });
  expect(letter?.payload).toBe('[["poison", "10", "json", "\\"poison\\""]]');
});

it('G7: what its writer is refused is kept for nobody', async () => {
  const before = await l3.tier.deadLetters();
  const write = value('poison', 50);
  const replies = [
    ...(await l3.tier.apply([{ write, mark: true, keep: false }])),
    ...(await l3.tier.insert([{ write: log('l', [item('poison', 60)]), mark: true, keep: false }])),
    await l3.tier.compareAndSet(write, undefined),
  ];
  expect(replies.map((reply) => reply.status)).toEqual(['refused', 'refused', 'refused']);
  expect(await l3.tier.deadLetters()).toBe(before);
});

it.each([
  ['bytes that are no text', [0x22, 0xff, 0x22]],
  ['a raw U+0000', [0x22, 0x00, 0x22]],
  ['no JSON', [0x7b]],
])('G7: JSON that is %s is refused alone, its bytes kept', async (title, content) => {
  const whole = Uint8Array.from(content);
  const bad = value(`bad ${title}`, 1, { payload: { codec: 'json', bytes: whole } });
  const replies = await l3.tier.apply([
    { write: bad, mark: false },
    { write: value(`good ${title}`, 1), mark: false },
  ]);
  expect(replies.map((reply) => reply.status)).toEqual(['refused', 'applied']);
  const letter = (await l3.rows('cache_dead_letters', 'id')).find(
    (row) => row.key === `bad ${title}`,
  );
  const kept = Buffer.from(String(letter?.payload), letter?.codec === 'json' ? 'utf8' : 'base64');
  expect(Buffer.compare(kept, whole)).toBe(0);
});

it('a newer write of the key resolves its letter', async () => {
  const before = await l3.tier.deadLetters();
  const { address } = value('mended', 1);
  await l3.tier.apply([{ write: value('mended', 1, { payload: json('{') }), mark: false }]);
  expect(await l3.tier.deadLetters()).toBe(before + 1);
  await l3.tier.apply([{ write: value('mended', 2), mark: false }]);
  expect((await l3.tier.read([address]))[0]?.version).toBe(2);
  expect(await l3.tier.deadLetters()).toBe(before);
});
