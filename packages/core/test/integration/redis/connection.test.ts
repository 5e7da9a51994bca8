/** Dead, frozen, emptied, replaced: what the connections do about it. */
import { type RedisServer, startRedis } from '@cache/testing';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConfigError, TierError } from '../../../src/errors.ts';
import { address } from '../../../src/model/key.ts';
import type { RedisTierOptions } from '../../../src/tiers/redis/redis.ts';
import { logOf, type Opened, openTier, until, writeOf } from './support.ts';

const VALUE = address('v', 'a');
const OTHER = address('v', 'b');
const LOG = address('log', 'a');

let server: RedisServer;
const open: Opened[] = [];

beforeEach(async () => {
  server = await startRedis();
});

afterEach(async () => {
  await Promise.all(open.splice(0).map(({ tier }) => tier.close()));
  await server.close();
});

function opened(options: Partial<RedisTierOptions> = {}): Opened {
  const one = openTier(server.url, options);
  open.push(one);
  return one;
}

async function connected(options: Partial<RedisTierOptions> = {}): Promise<Opened> {
  const one = opened(options);
  await one.tier.connect();
  return one;
}

async function metaOf({ tier }: Opened): Promise<{ epoch: number; cut: number }> {
  const [read] = await tier.read([VALUE]);
  if (read === undefined) throw new Error('one read for one key');
  return read.meta;
}

/** Resolves when what was asked for in this turn of the event loop is on the wire. */
function sent(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Resolves once the tier answers again. */
async function back({ tier }: Opened): Promise<void> {
  await until(
    () =>
      tier.read([VALUE]).then(
        () => true,
        () => false,
      ),
    'Redis answers',
  );
}

describe('incarnations', () => {
  test('a second instance takes the epoch and the cut that the first began', async () => {
    const [one, two] = [await connected(), await connected()];
    expect(await metaOf(two)).toEqual(await metaOf(one));
    expect([one.heard.epochs, two.heard.epochs]).toEqual([0, 0]);
  });

  test('many instances that come at once agree on one epoch', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => connected()));
    const metas = await Promise.all(all.map(metaOf));
    expect(new Set(metas.map(({ epoch }) => epoch)).size).toBe(1);
  });

  test('G4: after a restart from a dump, what was settled is a miss and what was pending is stale', async () => {
    const one = await connected();
    const { tier, heard } = one;
    const before = await metaOf(one);
    const pending = writeOf(VALUE, before.cut + 1, 1);
    const cuts = (await tier.read([OTHER, LOG])).map(({ meta }) => meta.cut);
    const version = Math.max(...cuts, before.cut) + 10;
    const settled = writeOf(OTHER, version, 1);
    await tier.put([{ write: pending }, { write: settled }]);
    await tier.append([{ write: logOf(LOG, [['i', version]]), create: undefined }]);
    await tier.settle([{ ...settled }]);
    await server.restart({ from: await server.snapshot() });
    await back(one);
    const reads = await tier.read([VALUE, OTHER, LOG]);
    const after = await metaOf(one);
    expect(after.epoch, 'a server that came back is another incarnation').not.toBe(before.epoch);
    expect(after.cut).toBeGreaterThan(version);
    expect(heard.epochs).toBe(1);
    expect(heard.connection).toEqual([true, false, true]);
    expect(reads.map(({ entry }) => entry)).toMatchObject([
      { kind: 'value', pending: true, stale: true, write: { version: pending.version } },
      undefined,
      { kind: 'log', pending: true, stale: true },
    ]);
  });

  test('G4: FLUSHALL begins a new epoch; the command that finds out has no effect, the next one works', async () => {
    const one = await connected();
    const { tier, heard } = one;
    const before = await metaOf(one);
    await server.empty();
    const write = writeOf(VALUE, before.cut + 1, 1);
    expect(await tier.put([{ write }])).toEqual([{ status: 'epoch' }]);
    expect(heard.epochs).toBe(1);
    const [read] = await tier.read([VALUE]);
    expect(read?.entry).toBeUndefined();
    expect(read?.meta.epoch).not.toBe(before.epoch);
    expect(await tier.put([{ write: { ...write, version: (read?.meta.cut ?? 0) + 1 } }])).toEqual([
      { status: 'held' },
    ]);
    expect([heard.epochs, heard.connection]).toEqual([1, [true]]);
  });

  test('a read that finds the server emptied is answered under the new epoch', async () => {
    const one = await connected();
    const before = await metaOf(one);
    await server.empty();
    const after = await metaOf(one);
    expect(after.epoch).not.toBe(before.epoch);
    expect(one.heard.epochs).toBe(1);
  });

  test('many commands that are denied at once tell of one new epoch', async () => {
    const one = await connected();
    const { cut } = await metaOf(one);
    await server.empty();
    const writes = Array.from({ length: 20 }, (_, i) => writeOf(address('v', `k${i}`), cut + 1, 1));
    const replies = await Promise.all(writes.map((write) => one.tier.put([{ write }])));
    expect(replies.flat().every(({ status }) => status === 'epoch')).toBe(true);
    await back(one);
    expect(one.heard.epochs).toBe(1);
  });

  test('a new epoch starts above what L3 holds and above the own clock', async () => {
    const floor = 2 ** 52;
    const one = await connected({ floor: () => Promise.resolve(floor) });
    expect(await metaOf(one)).toMatchObject({ cut: floor });
    await server.empty();
    const last = 2 ** 52 + 12345;
    const two = await connected({ lastVersion: () => last });
    expect(await metaOf(two)).toMatchObject({ cut: last });
  });

  test('G4: while L3 can not say what it holds, nothing passes; then the handshake succeeds by itself', async () => {
    let isAway = true;
    const one = opened({
      floor: () =>
        isAway ? Promise.reject(new TierError('away', 'unreachable')) : Promise.resolve(0),
    });
    await expect(one.tier.connect()).rejects.toMatchObject({ reason: 'unreachable' });
    await expect(one.tier.probe()).rejects.toBeInstanceOf(TierError);
    await expect(one.tier.read([VALUE])).rejects.toBeInstanceOf(TierError);
    isAway = false;
    await back(one);
    expect(one.heard.connection).toEqual([true]);
  });

  test('an epoch that is lost while L3 is away is begun when it is back, by the trial of the breaker', async () => {
    let isAway = false;
    const one = await connected({
      floor: () =>
        isAway ? Promise.reject(new TierError('away', 'unreachable')) : Promise.resolve(0),
    });
    const { cut } = await metaOf(one);
    isAway = true;
    await server.empty();
    expect(await one.tier.put([{ write: writeOf(VALUE, cut + 1, 1) }])).toEqual([
      { status: 'epoch' },
    ]);
    await expect(one.tier.read([VALUE])).rejects.toBeInstanceOf(TierError);
    isAway = false;
    await one.tier.probe();
    await expect(one.tier.read([VALUE])).resolves.toHaveLength(1);
  });
});

describe('a server that does not answer', () => {
  test('G5: a command in flight is rejected when the connection breaks, and none waits for the next', async () => {
    const { tier } = await connected();
    server.freeze();
    const waiting = tier.read([VALUE]);
    waiting.catch(() => {});
    await sent();
    await server.kill();
    await expect(waiting).rejects.toMatchObject({ reason: 'unreachable' });
    await until(
      () =>
        tier.read([VALUE]).then(
          () => false,
          (error: unknown) => error instanceof TierError && error.outcome === 'none',
        ),
      'rejected without waiting',
    );
  });

  test('G5: dropping the connection to a frozen server ends every wait on it at once', async () => {
    const one = await connected();
    const { tier } = one;
    const { cut } = await metaOf(one);
    server.freeze();
    const calls = [
      tier.read([VALUE]),
      tier.put([{ write: writeOf(VALUE, cut + 1, 1) }]),
      tier.probe(),
    ];
    await sent();
    tier.reconnect();
    const results = await Promise.allSettled(calls);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    server.thaw();
    await back(one);
    await expect(tier.probe()).resolves.toBeUndefined();
  });

  test('G4: a write that was given up and executes late is the same write, and a newer one stays', async () => {
    const one = await connected();
    const { tier } = one;
    const { cut } = await metaOf(one);
    const given = writeOf(VALUE, cut + 1, 1);
    server.freeze();
    const lost = tier.put([{ write: given }]);
    lost.catch(() => {});
    await sent();
    tier.reconnect();
    await expect(lost).rejects.toMatchObject({ outcome: 'unknown' });
    server.thaw();
    await back(one);
    await until(async () => (await tier.read([VALUE]))[0]?.entry !== undefined, 'executed late');
    expect(await tier.put([{ write: given }])).toEqual([{ status: 'held' }]);
    expect(await tier.put([{ write: writeOf(VALUE, cut, 1) }])).toEqual([
      { status: 'too-low', floor: cut + 1 },
    ]);
  });

  test('G5: a signal ends the wait for a frozen server, not the connection', async () => {
    const { tier } = await connected();
    server.freeze();
    const controller = new AbortController();
    const waiting = tier.read([VALUE], { signal: controller.signal });
    await sent();
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toMatchObject({ reason: 'timeout', cause: new Error('enough') });
    await expect(tier.read([VALUE], { signal: controller.signal })).rejects.toMatchObject({
      reason: 'timeout',
    });
    server.thaw();
    await expect(tier.read([VALUE])).resolves.toHaveLength(1);
  });

  test('a cache that starts before Redis finds it when it comes', async () => {
    await server.kill();
    const one = opened();
    await expect(one.tier.connect()).rejects.toMatchObject({ reason: 'unreachable' });
    expect(await one.tier.info()).toMatchObject({ connected: false });
    await server.restart();
    await back(one);
    await until(() => one.heard.subscriptions === 1, 'subscribed');
  });

  test('closing settles what waits and leaves nothing behind', async () => {
    const { tier } = await connected();
    server.freeze();
    const waiting = tier.read([VALUE]);
    waiting.catch(() => {});
    await sent();
    const closing = tier.close();
    await expect(waiting).rejects.toMatchObject({ reason: 'unreachable' });
    await closing;
    await expect(tier.read([VALUE])).rejects.toBeInstanceOf(TierError);
    await expect(tier.probe()).rejects.toBeInstanceOf(TierError);
    server.thaw();
  });
});

describe('a database that the server does not have', () => {
  test.for(['/16', '/?db=99'])('is refused, and not taken for another: %s', async (path) => {
    const { tier } = opened({ url: `redis://127.0.0.1:${server.port}${path}` });
    const error = await tier.connect().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toMatch(/no database of the number.*REDIS_URL/);
  });

  test('one that it has is taken', async () => {
    const { tier } = opened({ url: `redis://127.0.0.1:${server.port}/15` });
    await tier.connect();
  });
});

describe('credentials', () => {
  async function refusal(options: Partial<RedisTierOptions>): Promise<unknown> {
    await server.close();
    server = await startRedis({ password: 'right-one' });
    const { tier } = opened({ url: `redis://127.0.0.1:${server.port}`, ...options });
    return tier.connect().catch((error: unknown) => error);
  }

  test.for([
    ['no password', undefined],
    ['a wrong password', 'wrong-one'],
  ] as const)(
    '%s is a ConfigError that names the setting and not the password',
    async ([, password]) => {
      const error = await refusal({ password });
      expect(error).toBeInstanceOf(ConfigError);
      expect(String(error)).toMatch(/password.*REDIS_PASSWORD/);
      expect(JSON.stringify(error, everything(error))).not.toMatch(/wrong-one/);
    },
  );

  test('the right one is taken from its own setting', async () => {
    expect(await refusal({ password: 'right-one' })).toBeUndefined();
  });
});

/** Every property of an error, causes included. */
function everything(error: unknown): string[] {
  const names = new Set<string>();
  for (let at = error; at instanceof Error; at = at.cause) {
    for (const name of Object.getOwnPropertyNames(at)) names.add(name);
  }
  return ['command', 'args', ...names];
}

describe('the bus', () => {
  test('G3: a write is heard by every instance, and after a lost connection the subscription says that it is new', async () => {
    const [one, two] = [await connected(), await connected()];
    await until(() => one.heard.subscriptions + two.heard.subscriptions === 2, 'both subscribed');
    const { cut } = await metaOf(one);
    await one.tier.put([{ write: writeOf(VALUE, cut + 1, 1) }]);
    const message = `k ${cut + 1} v1 ${VALUE.id}`;
    await until(() => one.heard.messages.length + two.heard.messages.length === 2, 'both heard');
    expect([one.heard.messages, two.heard.messages]).toEqual([[message], [message]]);
    await server.restart();
    await until(() => one.heard.subscriptions + two.heard.subscriptions === 4, 'both again');
    await back(two);
    await two.tier.fleet.publish('hello');
    await until(() => one.heard.messages.at(-1) === 'hello', 'heard again');
  });

  test('reconnecting drops the subscription of a frozen server too, and makes it again', async () => {
    const one = await connected();
    await until(() => one.heard.subscriptions === 1, 'subscribed');
    server.freeze();
    one.tier.reconnect();
    server.thaw();
    await until(() => one.heard.subscriptions === 2, 'subscribed again');
  });
});

describe('the fleet', () => {
  test('instances are known by their heartbeats until they leave', async () => {
    const one = await connected();
    const { fleet } = one.tier;
    await until(() => one.heard.subscriptions === 1, 'subscribed');
    await fleet.heartbeat('b', 'h b 1');
    await fleet.heartbeat('a', 'h a 1');
    const living = await fleet.instances();
    expect(living.map(({ id }) => id).sort()).toEqual(['a', 'b']);
    for (const { ageMs } of living) expect(ageMs).toBeLessThan(5000);
    await fleet.unregister('b');
    expect((await fleet.instances()).map(({ id }) => id)).toEqual(['a']);
    // Who resigns is still known, as somebody who has been silent for long; a stranger is not.
    await fleet.resign('a');
    await fleet.resign('b');
    const [resigned, ...others] = await fleet.instances();
    expect(resigned).toMatchObject({ id: 'a' });
    expect(resigned?.ageMs).toBeGreaterThan(60_000);
    expect(others).toEqual([]);
    await until(() => one.heard.messages.length === 2, 'both heartbeats');
  });

  test('a lease has one holder, who may extend it and give it back', async () => {
    const [one, two] = [await connected(), await connected()];
    expect(await one.tier.fleet.lease('repair', 'one', 60_000)).toBe(true);
    expect(await two.tier.fleet.lease('repair', 'two', 60_000)).toBe(false);
    expect(await one.tier.fleet.lease('repair', 'one', 60_000)).toBe(true);
    await two.tier.fleet.release('repair', 'two');
    expect(await two.tier.fleet.lease('repair', 'two', 60_000)).toBe(false);
    await one.tier.fleet.release('repair', 'one');
    expect(await two.tier.fleet.lease('repair', 'two', 1)).toBe(true);
    await until(() => one.tier.fleet.lease('repair', 'one', 60_000), 'the lease ran out');
  });

  test('what the server says of itself is there for warnings', async () => {
    await server.close();
    server = await startRedis({ maxmemory: '64mb', policy: 'allkeys-lru' });
    const { tier } = await connected({ url: server.url });
    expect(await tier.info()).toMatchObject({
      connected: true,
      dbSize: 2,
      maxMemoryBytes: 64 * 1024 * 1024,
      maxmemoryPolicy: 'allkeys-lru',
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    });
  });
});

test("a caller's own client is copied from, never used, and left open", async () => {
  const client = new Redis(server.url, { keyPrefix: 'theirs:', stringNumbers: true });
  const one = await connected({ url: undefined, client });
  const { cut } = await metaOf(one);
  await one.tier.put([{ write: writeOf(VALUE, cut + 1, 1) }]);
  const { addresses } = await one.tier.pending(Date.now() + 1000, 10);
  expect(addresses).toEqual([VALUE]);
  await one.tier.close();
  expect(await client.ping()).toBe('PONG');
  client.disconnect();
});
