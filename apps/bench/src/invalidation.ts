/**
 * How long after `invalidateTags` in one process three others answer with what is new. Four
 * processes, 1,000 tagged values in the memory of each, this cache and a peer in turns.
 *
 * The moment is just before the call; the value is new if it was loaded after it. Each of the
 * three reads once a millisecond, so a figure is up to about a millisecond too high. How late
 * their timers come is reported beside it: on a machine that has other work, that is its share.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { on } from 'node:events';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { startRedis } from '@cache/testing';
import {
  ENTRIES,
  type Question,
  type Reply,
  replySchema,
  SUBJECTS,
  type Subject,
  TAGS,
  tagOf,
} from './reader.ts';

const PROCESSES = 4;
const ROUNDS = 200;
const WARM_ROUNDS = 20;
const GOAL_MS = 50;
/** A machine with other work may be slow; a reader that has ended never answers. */
const GIVE_UP_MS = 60_000;

const READER = fileURLToPath(new URL('./reader.ts', import.meta.url));
const KEYS = Array.from({ length: ENTRIES }, (_, nth) => `k${nth}`);

class Reader {
  readonly #process: ChildProcess;
  readonly #replies: AsyncIterator<unknown[]>;

  constructor(url: string) {
    this.#process = fork(READER, [url], { execArgv: ['--conditions=@cache/source'] });
    this.#replies = on(this.#process, 'message');
  }

  tell(question: Question): void {
    this.#process.send(question);
  }

  /** Its next reply, which has to be this one. */
  async hear<D extends Reply['did']>(did: D): Promise<Extract<Reply, { readonly did: D }>> {
    const gaveUp = AbortSignal.timeout(GIVE_UP_MS);
    const late = new Promise<never>((_, reject) => {
      gaveUp.addEventListener('abort', () => reject(new Error(`never ${did}`)));
    });
    const { value } = await Promise.race([this.#replies.next(), late]);
    const reply = replySchema.parse(value?.[0]);
    if (isReply(reply, did)) return reply;
    throw new Error(`${reply.did} instead of ${did}`);
  }

  end(): void {
    this.#process.kill('SIGKILL');
  }
}

function isReply<D extends Reply['did']>(
  reply: Reply,
  did: D,
): reply is Extract<Reply, { readonly did: D }> {
  return reply.did === did;
}

interface Figures {
  /** Until each of the others answered with what is new. */
  readonly seen: number[];
  /** The call itself. */
  readonly took: number[];
  /** The timers of those who read. */
  readonly late: number[];
}

export async function benchInvalidation(): Promise<void> {
  await using redis = await startRedis();
  const readers = Array.from({ length: PROCESSES }, () => new Reader(redis.url));
  try {
    await Promise.all(readers.map((reader) => reader.hear('ready')));
    const figures = new Map(
      SUBJECTS.map((subject) => [subject, { seen: [], took: [], late: [] } as Figures] as const),
    );
    for (const subject of SUBJECTS) await fill(readers, subject, KEYS);
    for (let round = 0; round < WARM_ROUNDS + ROUNDS; round += 1) {
      for (const [subject, own] of figures) {
        const once = await invalidateOnce(readers, subject, round);
        if (round < WARM_ROUNDS) continue;
        own.seen.push(...once.seen);
        own.took.push(...once.took);
        own.late.push(...once.late);
      }
    }
    report(figures);
  } finally {
    for (const reader of readers) reader.end();
  }
}

async function invalidateOnce(
  readers: readonly Reader[],
  subject: Subject,
  round: number,
): Promise<Figures> {
  const first = readers[round % readers.length];
  const others = readers.filter((reader) => reader !== first);
  if (first === undefined) return { seen: [], took: [], late: [] };
  const tag = `tag ${round % TAGS}`;
  const bearers = KEYS.filter((key) => tagOf(key) === tag);
  const key = bearers[round % bearers.length] ?? '';
  for (const other of others) other.tell({ do: 'watch', subject, key });
  await Promise.all(others.map((other) => other.hear('watching')));
  first.tell({ do: 'invalidate', subject, tag });
  const { at, tookMs } = await first.hear('invalidated');
  for (const other of others) other.tell({ do: 'invalidated', at });
  const seen = await Promise.all(others.map((other) => other.hear('seen')));
  // The memory of each is as full as it was.
  await fill(readers, subject, bearers);
  return {
    seen: seen.map(({ afterMs }) => afterMs),
    took: [tookMs],
    late: seen.flatMap(({ late }) => late),
  };
}

async function fill(
  readers: readonly Reader[],
  subject: Subject,
  keys: readonly string[],
): Promise<void> {
  for (const reader of readers) reader.tell({ do: 'fill', subject, keys: [...keys] });
  await Promise.all(readers.map((reader) => reader.hear('filled')));
}

function report(figures: ReadonlyMap<Subject, Figures>): void {
  const model = cpus()[0]?.model ?? 'unknown';
  console.log(
    `\nInvalidation of a tag, ${PROCESSES} processes on one Redis (loopback), ${ENTRIES} tagged values in each,`,
  );
  console.log(
    `${ROUNDS} invalidations; ${new Date().toISOString()}, ${availableParallelism()} × ${model}, Node ${process.version}, load ${loadavg()[0]?.toFixed(1)}`,
  );
  for (const [subject, { seen, took, late }] of figures) {
    console.log(
      `  ${subject.padEnd(12)} seen by another: ${inWords(seen)} (${seen.length} answers)`,
    );
    console.log(`  ${' '.repeat(12)} the call itself: ${inWords(took)}`);
    console.log(`  ${' '.repeat(12)} timers of readers were late by: ${inWords(late)}`);
  }
  const [ours, theirs] = SUBJECTS.map((subject) => figures.get(subject)?.seen ?? []);
  if (ours === undefined || theirs === undefined) return;
  const ratio = (part: number) => (quantile(ours, part) / quantile(theirs, part)).toFixed(2);
  console.log(`  ours by theirs: p50 ${ratio(0.5)}, p99 ${ratio(0.99)}`);
  const p99 = quantile(ours, 0.99);
  const verdict = p99 < GOAL_MS ? 'met' : 'missed';
  console.log(`  goal: p99 below ${GOAL_MS} ms: ${verdict} (${p99.toFixed(1)} ms)`);
}

function inWords(sample: readonly number[]): string {
  const at = (part: number) => `${quantile(sample, part).toFixed(1)} ms`;
  return `p50 ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)}`;
}

function quantile(sample: readonly number[], part: number): number {
  const sorted = sample.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}
