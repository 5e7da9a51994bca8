/**
 * Rows that can't even be sent: a gateway before Supabase refuses bodies over a size, or swallows
 * them. They are found, their neighbours are written, and nothing waits for them for ever.
 */
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { errorOf, type Instance, Stage, turn, until } from '../support.ts';

const LIMIT_BYTES = 200_000;

/** Before Supabase: passes what is small enough. What is larger is answered 413, or not at all. */
class Gateway implements AsyncDisposable {
  readonly #server: Server;
  mode: 'refuse' | 'swallow' | 'pass' = 'refuse';
  largest = 0;
  url = '';

  constructor(targetPort: number) {
    this.#server = createServer((incoming, answer) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('end', () => {
        const body = Buffer.concat(chunks);
        if (body.length > LIMIT_BYTES && this.mode !== 'pass') {
          if (this.mode === 'refuse') answer.writeHead(413).end('too large');
          return;
        }
        this.largest = Math.max(this.largest, body.length);
        const { method, url: path, headers } = incoming;
        const onward = request(
          { port: targetPort, host: '127.0.0.1', method, path, headers },
          (back) => {
            answer.writeHead(back.statusCode ?? 500, back.headers);
            back.pipe(answer);
          },
        );
        onward.on('error', () => answer.destroy());
        onward.end(body);
      });
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const at = this.#server.address();
    if (at === null || typeof at === 'string') throw new Error('the gateway does not listen');
    this.url = `http://127.0.0.1:${at.port}`;
    return this.url;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

let stage: Stage;
let gateway: Gateway;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage[Symbol.asyncDispose]());
afterEach(async () => {
  await stage.closeInstances();
  await gateway[Symbol.asyncDispose]();
});

async function behindGateway(timeout: number): Promise<Instance> {
  gateway = new Gateway(stage.stack.supabase.port);
  const url = await gateway.listen();
  return stage.ready({
    l2: { timeout: 10_000 },
    l3: { url, timeout },
    sync: { interval: '1h' },
    deadline: '1m',
  });
}

const text = (bytes: number): string => 'x'.repeat(bytes);

it('G7: a row over what a gateway takes is a letter, its neighbours are written, and it is sent once it fits', async () => {
  const one = await behindGateway(4000);
  const records = one.cache.records<string>('texts');
  const keys = Array.from({ length: 9 }, () => stage.key());
  const large = stage.key('large');
  await Promise.all([
    ...keys.map((key) => records.set(key, key)),
    records.set(large, text(LIMIT_BYTES + 1)),
  ]);
  const report = await one.cache.sync();
  expect(report).toMatchObject({ failed: 1, remaining: 1 });
  for (const key of keys) expect(await stage.row(key, 'texts')).toMatchObject({ value: key });
  const [letter] = await one.cache.deadLetters.list({ namespace: 'texts' });
  expect(letter).toMatchObject({ key: large, isKept: false, bytes: LIMIT_BYTES + 3 });
  expect(letter?.reason).toContain('413');
  await one.said('dead-letter', ({ why }) => why === 'refused');
  expect(await records.get(large)).toHaveLength(LIMIT_BYTES + 1);
  expect(await one.cache.deadLetters.retry(letter?.id ?? 0)).toBe('refused');
  gateway.mode = 'pass';
  expect(await one.cache.deadLetters.retry(letter?.id ?? 0)).toBe('applied');
  expect(await stage.row(large, 'texts')).toMatchObject({ value: text(LIMIT_BYTES + 1) });
  expect(await stage.pending()).toBe(0);
  expect(await one.cache.deadLetters.list({ namespace: 'texts' })).toEqual([]);
});

it('G7: a row that is never answered for is given up after three attempts, and dropped for good', async () => {
  const one = await behindGateway(500);
  gateway.mode = 'swallow';
  const records = one.cache.records<string>('texts');
  const [small, large] = [stage.key('small'), stage.key('large')];
  await records.set(small, 'small');
  await records.set(large, text(LIMIT_BYTES + 1));
  await until(async () => {
    await one.cache.sync();
    return (await one.cache.deadLetters.list({ namespace: 'texts' })).length === 1;
  }, 'a letter of the row that is never answered for');
  expect(await stage.row(small, 'texts')).toMatchObject({ value: 'small' });
  const [letter] = await one.cache.deadLetters.list({ namespace: 'texts' });
  expect(letter).toMatchObject({ key: large, isKept: false });
  expect(await one.cache.deadLetters.drop(letter?.id ?? 0)).toBe(true);
  gateway.mode = 'pass';
  await one.cache.sync();
  expect(await records.get(large)).toBeUndefined();
  expect(await stage.row(large, 'texts')).toBeUndefined();
  expect(await stage.pending()).toBe(0);
});

it('G12: an update does not pass over a write of another instance that L3 does not answer for', async () => {
  const one = await behindGateway(500);
  gateway.mode = 'swallow';
  const two = await stage.ready({
    l2: { timeout: 10_000 },
    l3: { url: gateway.url, timeout: 500 },
    sync: { interval: '1h' },
    deadline: '1m',
  });
  const [key, write, grow] = [stage.key(), text(LIMIT_BYTES + 1), (old = '') => `${old.length}`];
  await one.cache.records<string>('texts').set(key, 'small', { durability: 'through' });
  await one.cache.records<string>('texts').set(key, write);
  const records = two.cache.records<string>('texts');
  expect(await errorOf(records.update(key, grow))).toMatchObject({
    code: 'UNAVAILABLE',
    outcome: 'none',
  });
  expect(await records.get(key)).toHaveLength(write.length);
  // Asked for the third time in vain, it is a letter, and the newest that there is.
  await errorOf(records.update(key, grow));
  expect(await records.update(key, grow)).toMatchObject({ value: `${write.length}` });
  expect(await records.get(key)).toBe(`${write.length}`);
});

it('G7: the breaker closes although a row can not be sent', async () => {
  const one = await behindGateway(4000);
  const records = one.cache.records<string>('texts');
  const large = stage.key('large');
  await records.set(large, text(LIMIT_BYTES + 1));
  await stage.stack.redis.kill();
  await until(() => one.breaker.includes('OPEN'), 'an open breaker');
  await stage.stack.redis.restart();
  await one.healthy();
  expect(await records.get(large)).toHaveLength(LIMIT_BYTES + 1);
  gateway.mode = 'pass';
  await one.cache.sync();
  expect(await stage.row(large, 'texts')).toMatchObject({ value: text(LIMIT_BYTES + 1) });
});

it('G7: a write through that a gateway refuses is rejected alone', async () => {
  const one = await behindGateway(4000);
  const records = one.cache.records<string>('texts');
  const keys = Array.from({ length: 30 }, () => stage.key());
  const large = stage.key('large');
  const write = (key: string, value: string) =>
    records.set(key, value, { durability: 'through' }).then(
      () => 'held',
      (error: unknown) => error,
    );
  const outcomes = await Promise.all([
    ...keys.map((key) => write(key, key)),
    write(large, text(LIMIT_BYTES + 1)),
  ]);
  expect(outcomes.slice(0, -1)).toEqual(keys.map(() => 'held'));
  expect(outcomes.at(-1)).toMatchObject({ code: 'TIER', reason: 'data', outcome: 'none' });
});

it('G7: a long log travels in pieces', async () => {
  const one = await behindGateway(10_000);
  gateway.mode = 'pass';
  const logs = one.cache.logs<{ readonly id: string; readonly text: string }>('long', {
    id: ({ id }) => id,
  });
  const key = stage.key('log');
  const count = 60;
  const items = Array.from({ length: count }, (_, n) => ({ id: `i${n}`, text: text(100_000) }));
  for (let at = 0; at < count; at += 20) await logs.append(key, items.slice(at, at + 20));
  expect(await one.cache.sync()).toMatchObject({ failed: 0, remaining: 0 });
  expect((await stage.items(key, 'long')).map(({ id }) => id)).toEqual(items.map(({ id }) => id));
  expect(await logs.read(key)).toHaveLength(count);
  expect(gateway.largest).toBeLessThan(2.5 * 1024 * 1024);
});

it('G7: a record of 5 MB is held, stored and read back whole', async () => {
  const one = await behindGateway(20_000);
  gateway.mode = 'pass';
  const records = one.cache.records<string>('texts');
  const key = stage.key('large');
  const value = text(5_000_000);
  expect((await records.set(key, value)).held).toEqual(['l2']);
  expect(await one.cache.sync()).toMatchObject({ failed: 0, remaining: 0 });
  await one.cache.forget('texts', key);
  expect(await records.get(key)).toHaveLength(value.length);
});

it('G1, G7: a deletion of a log is not held up by an item behind it that can not be sent, nor lost with it', async () => {
  const one = await behindGateway(4000);
  const { logs } = one;
  const key = stage.key('log');
  await logs.append(key, turn('before'));
  await one.cache.sync();
  await logs.delete(key);
  await logs.append(key, turn('large', text(LIMIT_BYTES + 1)));
  expect(await one.cache.sync()).toMatchObject({ failed: 1 });
  expect(await stage.items(key)).toEqual([]);
  const [letter] = await one.cache.deadLetters.list({ namespace: 'turns' });
  expect(await one.cache.deadLetters.drop(letter?.id ?? 0)).toBe(true);
  await until(async () => (await stage.pending()) === 0, 'nothing pending');
  expect(await logs.read(key)).toEqual([]);
  expect(await one.cache.inspect('turns', key)).toMatchObject({ l3: { deleted: true } });
});
