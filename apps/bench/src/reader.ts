/**
 * One process of the invalidation bench: this cache and the peer, side by side on one Redis,
 * each with the same tagged values in its memory. What a load brings is the moment of the load,
 * by the clock that all processes of a machine share, so that nobody has to be told what is new.
 *
 * A question of the parent is answered with a message; see `Question`.
 */
import { createCache, type Derived, memory, redis } from '@cache/core';
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis';
import { z } from 'zod';

export const SUBJECTS = ['@cache/core', 'bentocache'] as const;
export type Subject = (typeof SUBJECTS)[number];

const questionSchema = z.discriminatedUnion('do', [
  /** Reads these keys, until all are in memory. */
  z.object({ do: z.literal('fill'), subject: z.enum(SUBJECTS), keys: z.array(z.string()) }),
  /** Reads a key until it is given what was loaded after the moment that `invalidated` will name. */
  z.object({ do: z.literal('watch'), subject: z.enum(SUBJECTS), key: z.string() }),
  z.object({ do: z.literal('invalidate'), subject: z.enum(SUBJECTS), tag: z.string() }),
  /** To who watches: this is the moment. */
  z.object({ do: z.literal('invalidated'), at: z.number() }),
]);
export type Question = z.infer<typeof questionSchema>;

export const replySchema = z.union([
  z.object({ did: z.enum(['ready', 'filled', 'watching']) }),
  z.object({ did: z.literal('invalidated'), at: z.number(), tookMs: z.number() }),
  /** `late`: by how much each of its timers came too late meanwhile. */
  z.object({ did: z.literal('seen'), afterMs: z.number(), late: z.array(z.number()) }),
]);
export type Reply = z.infer<typeof replySchema>;

export const TAGS = 10;
export const ENTRIES = 1000;

/** Between two reads. */
const REST_MS = 1;

export function tagOf(key: string): string {
  return `tag ${Number(key.slice(1)) % TAGS}`;
}

if (process.send !== undefined && process.argv[2] !== undefined) await serve(process.argv[2]);

/** What both are asked for. */
interface Values {
  get(key: string): Promise<number>;
  invalidate(tag: string): Promise<unknown>;
}

async function serve(url: string): Promise<void> {
  const subjects = { '@cache/core': await own(url), bentocache: peer(url) };
  let moment: number | undefined;
  process.on('disconnect', () => process.exit(0));
  process.on('message', (message) => {
    const question = questionSchema.parse(message);
    if (question.do === 'invalidated') moment = question.at;
    else void answer(question);
  });
  say({ did: 'ready' });

  async function answer(question: Exclude<Question, { do: 'invalidated' }>): Promise<void> {
    const values = subjects[question.subject];
    switch (question.do) {
      case 'fill':
        await Promise.all(question.keys.map((key) => values.get(key)));
        return say({ did: 'filled' });
      case 'invalidate': {
        const at = now();
        await values.invalidate(question.tag);
        return say({ did: 'invalidated', at, tookMs: now() - at });
      }
      case 'watch':
        return await watch(values, question.key);
      default:
        return question satisfies never;
    }
  }

  /** One read a millisecond: readers that never rest would keep Redis from its work. */
  async function watch(values: Values, key: string): Promise<void> {
    moment = undefined;
    await values.get(key);
    say({ did: 'watching' });
    /** What was given out, and since when. */
    const seen: { readonly loadedAt: number; readonly at: number }[] = [];
    const late: number[] = [];
    for (;;) {
      const loadedAt = await values.get(key);
      if (seen.at(-1)?.loadedAt !== loadedAt) seen.push({ loadedAt, at: now() });
      const since = moment;
      const first = since === undefined ? undefined : seen.find((one) => one.loadedAt >= since);
      if (first !== undefined && since !== undefined) {
        return say({ did: 'seen', afterMs: first.at - since, late });
      }
      const due = now() + REST_MS;
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
      late.push(now() - due);
    }
  }
}

async function own(url: string): Promise<Values> {
  const cache = createCache({
    l1: memory({ max: 2 * ENTRIES }),
    l2: redis({ url, timeout: '5s' }),
    deadline: '30s',
  });
  await cache.ready();
  const values: Derived<string, number> = cache.derived('values', {
    load: now,
    ttl: '1h',
    tags: (key) => [tagOf(key)],
  });
  return {
    get: (key) => values.get(key),
    invalidate: (tag) => cache.invalidateTags([tag]),
  };
}

function peer(url: string): Values {
  const { hostname, port } = new URL(url);
  const connection = { host: hostname, port: Number(port) };
  const cache = new BentoCache({
    default: 'tiered',
    stores: {
      tiered: bentostore()
        .useL1Layer(memoryDriver({ maxItems: 2 * ENTRIES }))
        .useL2Layer(redisDriver({ connection }))
        .useBus(redisBusDriver({ connection })),
    },
  });
  return {
    get: (key) => cache.getOrSet({ key, factory: now, ttl: '1h', tags: [tagOf(key)] }),
    invalidate: (tag) => cache.deleteByTag({ tags: [tag] }),
  };
}

/** Milliseconds by the machine's monotonic clock: the same in every process. */
function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function say(reply: Reply): void {
  process.send?.(reply);
}
