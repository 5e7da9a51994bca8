/**
 * One process of a fleet: a cache of L1 and L2 with one namespace of derived values, moved by
 * messages of its parent. Every load is told to the parent, which is the source that is loaded
 * from: it counts, and answers when it likes. Arguments: JSON with the settings.
 */
import { z } from 'zod';
import { CacheError, createCache, memory, redis } from '../../../src/index.ts';

export const settingsSchema = z.object({
  redis: z.string(),
  /** What one call of L2 may cost, in milliseconds. */
  timeout: z.number(),
  /** Consecutive failures after which L2 is not asked any more. */
  failures: z.number(),
});
export type Settings = z.infer<typeof settingsSchema>;

const questionSchema = z.discriminatedUnion('do', [
  z.object({ id: z.number(), do: z.literal('burst'), key: z.string(), count: z.number() }),
  z.object({ id: z.number(), do: z.literal('invalidate'), tag: z.string() }),
  z.object({ id: z.number(), do: z.literal('look') }),
  z.object({ id: z.number(), do: z.literal('close') }),
]);
type Question = z.infer<typeof questionSchema>;

const loadedSchema = z.object({ load: z.number(), value: z.unknown() });
const toWorkerSchema = z.union([loadedSchema, questionSchema]);

const answerSchema = z.union([z.object({ value: z.unknown() }), z.object({ error: z.string() })]);
/** What one caller was told. */
export type CallAnswer = z.infer<typeof answerSchema>;

export const lookSchema = z.object({
  breaker: z.string(),
  isBusAlive: z.boolean(),
  /** How often it came upon another's lease. */
  waited: z.number(),
});

export const fromWorkerSchema = z.union([
  z.object({ ready: z.literal(true) }),
  z.object({ load: z.number(), key: z.string() }),
  z.object({ id: z.number(), answers: z.array(answerSchema) }),
  z.object({ id: z.number(), look: lookSchema }),
  z.object({ id: z.number(), done: z.literal(true) }),
]);
export type FromWorker = z.infer<typeof fromWorkerSchema>;

/** Longer than anything that a test waits for on purpose. */
const DEADLINE_MS = 30_000;

if (process.send !== undefined && process.argv[2] !== undefined) {
  await work(settingsSchema.parse(JSON.parse(process.argv[2])));
}

async function work(settings: Settings): Promise<void> {
  const cache = createCache({
    l1: memory({ max: 1000 }),
    l2: redis({
      url: settings.redis,
      timeout: settings.timeout,
      breaker: { failures: settings.failures, reset: 100, trial: 1 },
    }),
    deadline: DEADLINE_MS,
  });
  const loads = new Map<number, (value: unknown) => void>();
  let loadCount = 0;
  const load = (key: string) =>
    new Promise((resolve) => {
      loadCount += 1;
      loads.set(loadCount, resolve);
      say({ load: loadCount, key });
    });
  const values = cache.derived<string, unknown>('values', {
    ttl: '10m',
    hard: DEADLINE_MS,
    tags: (key) => [`of ${key}`],
  });

  process.on('disconnect', () => process.exit(0));
  process.on('message', (message) => {
    const told = toWorkerSchema.parse(message);
    if ('load' in told) loads.get(told.load)?.(told.value);
    else void answer(told).then(say);
  });
  await cache.ready();
  say({ ready: true });

  async function answer(question: Question): Promise<FromWorker> {
    const { id } = question;
    switch (question.do) {
      case 'burst': {
        const calls = Array.from({ length: question.count }, () =>
          values.getOrSet(question.key, load),
        );
        const settled = await Promise.allSettled(calls);
        return { id, answers: settled.map(inWords) };
      }
      case 'invalidate':
        await cache.invalidateTags([question.tag]);
        return { id, done: true };
      case 'look':
        return { id, look: await look() };
      case 'close':
        await cache.close();
        return { id, done: true };
      default:
        return question satisfies never;
    }
  }

  async function look(): Promise<z.infer<typeof lookSchema>> {
    const { tiers, bus } = cache.stats();
    const metric = await cache.registry.getSingleMetric('cache_leases_total')?.get();
    const waited = metric?.values.find(({ labels }) => labels.outcome === 'waited');
    return {
      breaker: tiers.l2.breaker.state,
      isBusAlive: bus.connected,
      waited: waited?.value ?? 0,
    };
  }
}

function say(message: FromWorker): void {
  process.send?.(message);
}

function inWords(settled: PromiseSettledResult<unknown>): CallAnswer {
  if (settled.status === 'fulfilled') return { value: settled.value };
  const { reason } = settled;
  return { error: reason instanceof CacheError ? reason.code : String(reason) };
}
