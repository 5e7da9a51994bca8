/** A process is killed with writes that L3 lacks: another one brings them there. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { countFault } from '@cache/testing';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { eventually, Stage, turn, turns, until } from '../support.ts';

const WRITER = fileURLToPath(new URL('./crashing-writer.ts', import.meta.url));

let stage: Stage;
let child: ChildProcess | undefined;
beforeAll(async () => {
  stage = await Stage.start();
});
afterEach(async () => {
  if (child?.exitCode === null && child.signalCode === null) await crash();
  await stage.closeInstances();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

/** Resolves when the process has had all its writes acknowledged. */
async function writer(records: readonly string[], log: string): Promise<void> {
  const { redis, supabase } = stage.stack;
  const told = {
    redis: redis.url,
    url: supabase.url,
    key: supabase.secretKey,
    records,
    log,
    items: turns(20),
  };
  child = spawn(process.execPath, ['--conditions=@cache/source', WRITER, JSON.stringify(told)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  if (child.stdout === null) throw new Error('no output');
  for await (const line of child.stdout) if (String(line).includes('acknowledged')) return;
  throw new Error('the writer ended before its writes were acknowledged');
}

/** SIGKILL: nothing is drained. */
async function crash(): Promise<void> {
  if (child === undefined) return;
  const gone = once(child, 'exit');
  countFault('kill');
  child.kill('SIGKILL');
  await gone;
}

it('G1: what a killed process left pending is adopted by another one by itself, when its heartbeat is gone', async () => {
  const keys = Array.from({ length: 15 }, () => stage.key());
  const log = stage.key('call');
  const a = await stage.ready();
  await writer(keys, log);
  await crash();
  expect(await a.records.get(keys[3] ?? '')).toEqual({ n: 3 });
  expect(await a.logs.read(log)).toHaveLength(20);
  await a.said('adopted');
  // All of them: the one that was killed had sent nothing.
  await until(
    () => a.eventsOf('adopted').reduce((sum, { entries }) => sum + entries, 0) === 16,
    'all is adopted',
  );
  await eventually(async () => expect(await stage.pending()).toBe(0));
  for (const [n, key] of keys.entries()) {
    expect(await stage.row(key)).toMatchObject({ value: { n } });
    await stage.converges(key, [a]);
  }
  expect((await stage.items(log)).map(({ id }) => id)).toEqual(turns(20).map(({ id }) => id));
  await stage.converges(log, [a], 'turns');
});

it('G1: a sync waits for a killed process no longer than until it is known to be dead; what it left is in L3, under newer writes of others', async () => {
  const keys = Array.from({ length: 15 }, () => stage.key());
  const [first = ''] = keys;
  const log = stage.key('call');
  const a = await stage.ready();
  await writer(keys, log);
  await crash();
  await a.records.set(first, { n: 100 });
  await a.logs.append(log, turn('later'));
  expect(await a.cache.sync({ deadline: '60s' })).toMatchObject({
    failed: 0,
    remaining: 0,
    unknown: false,
  });
  expect(await stage.row(first)).toMatchObject({ value: { n: 100 } });
  for (const [n, key] of keys.entries()) {
    if (n > 0) expect(await stage.row(key)).toMatchObject({ value: { n } });
  }
  expect((await stage.items(log)).map(({ id }) => id)).toEqual([
    ...turns(20).map(({ id }) => id),
    'later',
  ]);
  expect(await stage.pending()).toBe(0);
  await stage.converges(log, [a], 'turns');
});

it('G1: pending entries older than adoptAfter are flushed although their writer lives', async () => {
  const key = stage.key();
  // Whichever of them holds the lease.
  const a = await stage.ready({ sync: { adoptAfter: 200 } });
  await stage.ready({ sync: { adoptAfter: 200 } });
  await a.records.set(key, { n: 1 });
  await eventually(async () => expect(await stage.row(key)).toMatchObject({ value: { n: 1 } }));
  await a.records.set(key, { n: 2 });
  await a.cache.sync();
  expect(await stage.row(key)).toMatchObject({ value: { n: 2 } });
  await stage.converges(key, [a]);
});

it('G1: a process is killed while Supabase is away; its writes are adopted when it is back', async () => {
  const keys = Array.from({ length: 5 }, () => stage.key());
  const log = stage.key('call');
  const way = await stage.proxyToSupabase();
  const a = await stage.ready({ l3: { timeout: 1500, url: way.url } });
  await writer(keys, log);
  way.cut();
  await crash();
  expect(await a.cache.sync({ deadline: '4s' })).toMatchObject({ adopted: 0, remaining: 6 });
  expect(await a.records.get(keys[2] ?? '')).toEqual({ n: 2 });
  way.heal();
  await eventually(async () => {
    expect(await a.cache.sync({ deadline: '4s' })).toMatchObject({ failed: 0, remaining: 0 });
  });
  for (const [n, key] of keys.entries()) {
    expect(await stage.row(key)).toMatchObject({ value: { n } });
  }
  expect(await stage.items(log)).toHaveLength(20);
});

it('G1: what an instance could not drain at its close is adopted, without waiting for adoptAfter', async () => {
  const key = stage.key();
  const way = await stage.proxyToSupabase();
  const leaving = await stage.ready({ l3: { timeout: 500, url: way.url } });
  const a = await stage.ready();
  await leaving.records.set(key, { n: 1 });
  way.cut();
  await leaving.cache.close({ deadline: '200ms' });
  expect(leaving.eventsOf('closed')).toEqual([{ type: 'closed', pending: 1 }]);
  expect(await a.records.get(key)).toEqual({ n: 1 });
  await a.said('adopted');
  expect(await stage.row(key)).toMatchObject({ value: { n: 1 } });
  await stage.converges(key, [a]);
});
