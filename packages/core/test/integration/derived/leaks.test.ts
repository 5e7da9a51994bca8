/**
 * G6: what fails, hangs, is aborted or is invalidated leaves nothing behind. The parts are put
 * together here as a cache does it, so that what they hold can be counted.
 */
import { getEventListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type RedisServer, startRedis } from '@cache/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Derived } from '../../../src/derived.ts';
import { type DerivedOptions, resolveDerived } from '../../../src/derived-options.ts';
import { makeDeriving, stopDeriving } from '../../../src/deriving.ts';
import { EventHub } from '../../../src/events.ts';
import { Instance, NO_DURABLE } from '../../../src/instance.ts';
import { invalidate } from '../../../src/invalidate.ts';
import { Metrics } from '../../../src/metrics/metrics.ts';
import { memory, redis, resolveOptions } from '../../../src/options.ts';
import { makePacking } from '../../../src/parts.ts';
import { Namespace } from '../../../src/space.ts';
import { until } from '../support.ts';
import { CountingClock } from './held-clock.ts';

const CALLS = 100_000;
const AT_ONCE = 1000;
/** A closure left behind by each call is over 40 MB; between two collections 15 MB come and go. */
const GROWTH_BYTES = 32 * 1024 * 1024;

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(async () => {
  await server.close();
});

/** A cache in its parts, with one namespace. */
async function assembled(load: DerivedOptions<string, string>['load']) {
  const clock = new CountingClock();
  const metrics = new Metrics(clock);
  const l2 = redis({ url: server.url, timeout: '10s', breaker: { failures: 1000 } });
  const resolved = resolveOptions({ l1: memory({ max: 1000 }), l2, clock, deadline: '30s' });
  const input = {
    options: resolved,
    packing: makePacking(resolved, metrics),
    events: new EventHub(),
    metrics,
    instance: 'one',
    isClosed: () => false,
  };
  const instance = new Instance(input, NO_DURABLE);
  const engine = makeDeriving(input, instance, undefined);
  instance.start();
  await instance.opening.ready();
  const options: DerivedOptions<string, string> = {
    load,
    ttl: 1,
    grace: '1h',
    jitter: 0,
    earlyRefresh: 0,
    hard: '15ms',
    soft: '5ms',
    tags: (key) => [`of ${key}`],
  };
  const policy = resolveDerived('values', options, {
    l1Ms: 1000,
    l2Ms: 1000,
    hasShared: false,
    hasDurable: false,
  });
  const namespace = new Namespace('values', 'value', {}, metrics.namespace('values'));
  const values = new Derived<string, string>({ engine, namespace, policy }, options);
  return {
    clock,
    metrics,
    values,
    engine,
    instance,
    forgetTag: (tag: string) => invalidate(engine, undefined, [tag]),
    async [Symbol.asyncDispose]() {
      await stopDeriving(engine);
      await instance.close();
    },
  };
}

type Kind = 'fails' | 'hangs' | 'aborted' | 'late' | 'stale' | 'invalidated' | 'looks';
const KINDS = ['fails', 'hangs', 'aborted', 'late', 'stale', 'invalidated', 'looks'] as const;

/** By the first word of the key. */
function load(key: string): string | Promise<string> {
  const [kind, first] = key.split(' ', 2);
  if (kind === 'invalidated' || first === 'first') return key;
  if (kind === 'hangs' || kind === 'aborted') return new Promise<string>(() => {});
  if (kind === 'late') return new Promise((resolve) => setImmediate(resolve, key));
  throw new Error('the source is away');
}

function heapUsed(): number {
  if (typeof collect !== 'function') throw new Error('no garbage collector');
  for (let turn = 0; turn < 3; turn += 1) collect();
  return process.memoryUsage().heapUsed;
}

it('G6: nothing leaks after 100,000 calls that fail, hang, are aborted, late, stale or invalidated', async () => {
  let isFirst = true;
  await using at = await assembled((key) => (isFirst ? key : load(key)));
  const { values, engine, instance, clock, forgetTag } = at;
  const longLived = new AbortController();
  const { signal } = longLived;
  const outcomes: Record<string, number> = {};
  const stale = Array.from({ length: 20 }, (_, n) => `stale ${n}`);
  await Promise.all(stale.map((key) => values.get(key)));
  isFirst = false;

  async function call(kind: Kind, nth: number): Promise<void> {
    const own = new AbortController();
    const key = kind === 'stale' ? (stale[nth % stale.length] ?? '') : `${kind} ${nth}`;
    const work =
      kind === 'looks'
        ? values.peek(key, { signal: own.signal, deadline: '30s' })
        : values.get(key, {
            signal: kind === 'aborted' ? AbortSignal.any([signal, own.signal]) : signal,
            ...(kind === 'late' && { deadline: 1 }),
          });
    if (kind === 'aborted' || kind === 'looks') setImmediate(() => own.abort());
    const outcome = await work.then(
      () => 'answered',
      (error: unknown) => (error instanceof Error ? error.name : 'something else'),
    );
    const name = `${kind}: ${outcome}`;
    outcomes[name] = (outcomes[name] ?? 0) + 1;
  }

  async function rounds(from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += AT_ONCE) {
      const calls = Array.from({ length: AT_ONCE }, (_, index) => {
        const nth = at + index;
        return call(KINDS[nth % KINDS.length] ?? 'fails', nth);
      });
      const invalidated = at + KINDS.indexOf('invalidated');
      await Promise.all([...calls, forgetTag(`of invalidated ${invalidated}`)]);
    }
  }

  async function idle(): Promise<void> {
    await until(() => engine.obtain.inFlight === 0, 'no load is under way');
    await until(() => instance.copies.inFlight === 0, 'no fence is held');
  }

  await rounds(0, CALLS / 5);
  await idle();
  const before = heapUsed();
  await rounds(CALLS / 5, CALLS);
  await idle();
  const grown = heapUsed() - before;

  // The calls did what they are for.
  const each = Math.floor(CALLS / KINDS.length);
  expect(outcomes['fails: LoadError']).toBeGreaterThanOrEqual(each);
  expect(outcomes['hangs: TimeoutError']).toBeGreaterThanOrEqual(each);
  expect(outcomes['aborted: AbortError']).toBeGreaterThanOrEqual(each);
  expect(outcomes['stale: answered']).toBeGreaterThanOrEqual(each);
  expect(outcomes['invalidated: answered']).toBeGreaterThanOrEqual(each);
  expect(outcomes['late: TimeoutError']).toBeGreaterThan(0);
  expect(outcomes['looks: AbortError']).toBeGreaterThan(0);

  expect(engine.obtain.inFlight, 'loads under way').toBe(0);
  expect(instance.copies.inFlight, 'fences').toBe(0);
  expect(instance.watches.size, 'watched keys').toBe(0);
  expect(getEventListeners(signal, 'abort'), 'listeners').toEqual([]);
  expect(instance.tags.size).toBeLessThanOrEqual(CALLS / AT_ONCE + 1);
  // A heartbeat, a round, and nothing of a call's. At a moment one of the two may be at work.
  expect(clock.pending, 'timers').toBeLessThanOrEqual(4);
  expect(grown, 'bytes of heap').toBeLessThan(GROWTH_BYTES);
}, 120_000);
