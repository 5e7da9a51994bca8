/**
 * The program of one instance: a cache of `@cache/core`, its verbs over HTTP, and a clock that can
 * be set wrong. Nothing here helps the cache: no retries, no catching up. What nobody ordered and
 * should end a process, ends it: an exception or a rejection that nobody caught.
 */
import { appendFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import {
  CacheError,
  type Clock,
  createCache,
  memory,
  redis,
  supabase,
  systemClock,
} from '@cache/core';
import { z } from 'zod';
import { postJson, serveJson } from './json-http.ts';
import { Lag } from './lag.ts';
import { type Answer, type Call, callSchema, workerSettingsSchema } from './protocol.ts';

const LOOKS = 6;
const LOOK_EVERY_MS = 90;

const settings = workerSettingsSchema.parse(JSON.parse(process.argv[2] ?? ''));

for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => {
    process.stdout.write(`${event}: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(70);
  });
}

let offsetMs = settings.offsetMs;
const clock: Clock = { ...systemClock, now: () => Date.now() + offsetMs };

const cache = createCache({
  l1: memory({ max: 100 }),
  l2: redis({
    url: settings.redisUrl,
    timeout: '100ms',
    breaker: { failures: 5, reset: '1s', trial: 3 },
  }),
  l3: supabase({ url: settings.supabaseUrl, key: settings.supabaseKey }),
  sync: {
    interval: `${settings.intervalMs}ms`,
    batchSize: 100,
    adoptAfter: `${2 * settings.intervalMs}ms`,
  },
  deadline: `${settings.deadlineMs}ms`,
  journal: settings.journal,
  clock,
});

interface Turn {
  readonly id: string;
  readonly text: string;
}

const scope = (key: string): readonly [string, string] => ['call', key];
const turns = cache.logs<Turn>('turns', { id: (turn) => turn.id, scope });
const calls = cache.records<{ readonly state: string }>('calls', { scope });
const states = cache.records<{ readonly n: number }>('states');
const counters = cache.records<{ readonly ids: readonly string[] }>('counters');
const sourceSchema = z.object({ n: z.int() });
const profiles = cache.derived<string, number>('profiles', {
  load: async (key) => sourceSchema.parse(await postJson(settings.sourceUrl, { key }, 2000)).n,
  ttl: '1m',
  tags: (key) => [key],
});

async function run(call: Call): Promise<unknown> {
  switch (call.op) {
    case 'begin':
      await calls.create(call.log, { state: 'ringing' });
      return await turns.create(call.log, turnOf(`${call.log}.first`));
    case 'append':
      return await turns.append(call.log, turnOf(call.id));
    case 'turns': {
      const { items, tier } = await turns.snapshot(call.log);
      return {
        ids: items.map(({ id, value }) => (isWhole(id, value) ? id : `${id} garbled`)),
        tier,
      };
    }
    case 'set':
      return await states.set(call.key, { n: call.n });
    case 'remove':
      return await states.delete(call.key);
    case 'state': {
      const found = await states.lookup(call.key);
      if (found.status === 'miss') return { tier: found.tier };
      return { n: found.value.n, version: found.version, tier: found.tier };
    }
    case 'add':
      return await counters.update(call.key, (current) => ({
        ids: [...(current?.ids ?? []), call.id],
      }));
    case 'count':
      return { ids: (await counters.get(call.key))?.ids ?? [] };
    case 'profile': {
      const { value, tier } = await profiles.lookup(call.key);
      return { n: value, tier };
    }
    case 'changed':
      return await cache.invalidateTags([call.key]);
    case 'hangup':
      return await cache.scope('call', call.log).flush();
    case 'erase':
      return await cache.scope('call', call.log).erase();
    case 'sync':
      return await cache.sync({ deadline: '10s' });
    case 'sample':
      return await sample();
    case 'clock':
      offsetMs = call.offsetMs;
      return null;
    case 'condition':
      return condition();
    default:
      return call satisfies never;
  }
}

function turnOf(id: string): Turn {
  return { id, text: `this is ${id}` };
}

function isWhole(id: string, turn: Turn): boolean {
  return turn.id === id && turn.text === `this is ${id}`;
}

function condition() {
  const { tiers, bus, sync } = cache.stats();
  const breaker = tiers.l2.breaker.state;
  return { healthy: breaker === 'CLOSED' && bus.connected, breaker, pending: sync.pending };
}

/**
 * What a process that leaks has more and more of. Handles are counted some times, and the fewest
 * count: what is on its way to a server at one moment is nothing that somebody forgot.
 */
async function sample() {
  const fewest = countHandles();
  for (let look = 1; look < LOOKS; look += 1) {
    await delay(LOOK_EVERY_MS);
    const now = countHandles();
    for (const kind of Object.keys(fewest)) {
      fewest[kind] = Math.min(fewest[kind] ?? 0, now[kind] ?? 0);
    }
  }
  globalThis.gc?.();
  return { heapBytes: process.memoryUsage().heapUsed, handles: fewest };
}

function countHandles(): Record<string, number> {
  const handles: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) handles[kind] = (handles[kind] ?? 0) + 1;
  return handles;
}

const lag = new Lag();

async function answer(_path: string, body: unknown): Promise<Answer> {
  const start = performance.now();
  const timing = () => ({ ms: performance.now() - start, lagMs: lag.since(start) });
  try {
    const result = await run(callSchema.parse(body));
    return { ok: true, result, ...timing() };
  } catch (error) {
    // Anything else than the cache's own errors is a defect, and the oracle is told so.
    const known = error instanceof CacheError;
    const message = error instanceof Error ? error.message : String(error);
    const cause = error instanceof Error ? String(error.cause) : '';
    trace({ refused: body, message, cause });
    return {
      ok: false,
      code: known ? error.code : 'UNTYPED',
      ...(known && error.outcome !== undefined ? { outcome: error.outcome } : {}),
      message,
      ...timing(),
    };
  }
}

function trace(what: object): void {
  if (settings.trace === undefined) return;
  const line = { at: new Date().toISOString().slice(11, 23), by: settings.name, ...what };
  appendFileSync(settings.trace, `${JSON.stringify(line)}\n`);
}
cache.subscribe(trace);

const server = await serveJson(answer);
await cache.ready().catch((error: unknown) => {
  // It may have to begin while something is away: calls are answered with what is there.
  process.stdout.write(`not ready: ${String(error)}\n`);
});
process.stdout.write(`listening ${server.url}\n`);
