/**
 * `npm run replay -- [FILE]`: recorded calls through the HTTP API, and what their callers felt.
 * Without `--url` on servers and instances of its own; then Supabase is read past the cache, and
 * every turn has to be there.
 */
import { availableParallelism } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AudioCacheStats } from '@cache/audio';
import type { CacheStats } from '@cache/core';
import { Presets, SingleBar } from 'cli-progress';
import { Command, InvalidArgumentError } from 'commander';
import { type OwnStack, startOwnStack } from './own-stack.ts';
import { CallsFileError, type RecordedCall, readCalls } from './replay/calls-file.ts';
import { Client } from './replay/client.ts';
import { Stopwatch } from './replay/figures.ts';
import { Player } from './replay/player.ts';
import { firstByteTable, isSpeechStats, moneyLines } from './replay/speech.ts';
import { compressionLine, latencyTable, tierTable } from './replay/tables.ts';
import { isSound, verify } from './replay/verify.ts';
import { StoredTurns } from './stored-turns.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** Speech stays there, so that the next replay synthesises nothing. */
const AUDIO = join(ROOT, '.data', 'replay-audio');
const EXAMPLE = fileURLToPath(new URL('../data/calls.jsonl', import.meta.url));
/** Calls that are looked at again when nothing near has them any more. */
const REVISITED = 100;
const ERRORS_SHOWN = 5;
/**
 * Two for each core. Calls are played without the pauses of people, and without --url all of it
 * runs on this machine: with more at once it takes as long, and what is measured is how they wait
 * for each other.
 */
const AT_ONCE = Math.min(256, 2 * availableParallelism());
/** What no caller asks for. */
const BESIDE: readonly string[] = ['metrics', 'sync', 'forget'];

interface Options {
  readonly url?: readonly string[];
  readonly token?: string;
  readonly instances: number;
  readonly concurrency: number;
  readonly speak?: boolean;
  readonly price: number;
  readonly audio: string;
}

const program = new Command('replay')
  .description('Plays recorded calls: JSON lines {id, turns: [{role, text, at}]}.')
  .argument('[file]', 'the calls; an example of twenty where it is left out')
  .option('--url <urls...>', 'instances that are there; default: servers and instances of its own')
  .option('--token <token>', 'for --url: the admin token, or the API token')
  .option('--instances <n>', 'without --url: how many instances', whole(16), 2)
  .option('--concurrency <n>', 'calls at once', whole(256), AT_ONCE)
  .option('--speak', 'what the agent says is spoken, heard, and accounted for')
  .option(
    '--price <amount>',
    'without --url: what 1,000 characters would cost, in USD',
    amount,
    0.3,
  )
  .option('--audio <directory>', 'without --url: where speech is kept for the next replay', AUDIO)
  .parse();

const failures = new Map<string, number>();
try {
  process.exitCode = await replay(program.args[0], program.opts<Options>());
} catch (error) {
  if (!(error instanceof CallsFileError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}

async function replay(file: string | undefined, options: Options): Promise<number> {
  const path = file === undefined ? EXAMPLE : asTyped(file);
  const calls = await readCalls(path);
  await using stack = options.url === undefined ? await ownStack(options) : undefined;
  const urls = options.url ?? stack?.services.map(({ url }) => url) ?? [];
  const token = options.token ?? stack?.services[0]?.adminToken;
  const stopwatch = new Stopwatch();
  const client = new Client({ urls, token, stopwatch });
  const player = new Player(client, { speaks: options.speak });
  const start = performance.now();
  await playAll(player, calls, options.concurrency);
  if (await isAdmin(client)) await revisitAll(player, calls, options.concurrency);
  const seconds = (performance.now() - start) / 1000;
  const stats = await statsOf(client);
  show(calls, client, player, stopwatch, stats, seconds);
  if (options.speak === true) showSpeech(await speechStatsOf(client));
  const isWhole = await verified(stack, calls);
  return failures.size === 0 && isWhole ? 0 : 1;
}

async function ownStack({ instances, speak, price, audio }: Options): Promise<OwnStack> {
  say(`Starting Redis, Supabase and ${instances} instances of the service ...`);
  const voice = {
    SPEECH_PROVIDER: 'espeak',
    AUDIO_CACHE_DIR: asTyped(audio),
    AUDIO_CACHE_PRICES: `*=${price}`,
    // A machine that is busy with eight calls at once pays for nothing twice because of it.
    AUDIO_CACHE_LOOKUP_TIMEOUT_MS: '2000',
  };
  // The admin token is the same for all of them, as it is in a fleet.
  const env = { CACHE_ADMIN_TOKEN: crypto.randomUUID(), ...(speak === true ? voice : {}) };
  return await startOwnStack({ instances, env, say });
}

/** What was typed is meant from where it was typed, not from where npm runs it. */
function asTyped(file: string): string {
  return isAbsolute(file) ? file : join(process.env.INIT_CWD ?? process.cwd(), file);
}

async function playAll(
  player: Player,
  calls: readonly RecordedCall[],
  concurrency: number,
): Promise<void> {
  const turns = calls.reduce((sum, call) => sum + call.turns.length, 0);
  const bar = new SingleBar(
    { format: 'Turns {bar} {value}/{total}  {eta_formatted}', hideCursor: true },
    Presets.shades_classic,
  );
  bar.start(turns, 0);
  await atOnce(calls, concurrency, (call, index) =>
    player.play(call, index, () => bar.increment()),
  );
  bar.stop();
}

async function revisitAll(
  player: Player,
  calls: readonly RecordedCall[],
  concurrency: number,
): Promise<void> {
  const every = Math.max(1, Math.ceil(calls.length / REVISITED));
  const some = calls.filter((_, index) => index % every === 0);
  await atOnce(some, concurrency, (call, index) => player.revisit(call, index));
}

/** Only an admin may take copies away. */
async function isAdmin(client: Client): Promise<boolean> {
  const asked = { operation: 'sync', at: 0, method: 'GET', path: '/admin/cache/sync' } as const;
  return (await client.ask({ ...asked, also: [401] })).status === 200;
}

async function atOnce(
  calls: readonly RecordedCall[],
  concurrency: number,
  work: (call: RecordedCall, index: number) => Promise<void>,
): Promise<void> {
  const queue = calls.entries();
  const worker = async () => {
    for (const [index, call] of queue) {
      await work(call, index).catch((error: unknown) => {
        const what = error instanceof Error ? error.message : String(error);
        failures.set(what, (failures.get(what) ?? 0) + 1);
      });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}

async function statsOf(client: Client): Promise<readonly CacheStats[]> {
  const stats: CacheStats[] = [];
  for (let at = 0; at < client.instances; at += 1) {
    const { body } = await client.ask({
      operation: 'metrics',
      at,
      method: 'GET',
      path: '/cache/metrics',
    });
    if (isStats(body)) stats.push(body);
  }
  return stats;
}

/** Only an admin is told. */
async function speechStatsOf(client: Client): Promise<readonly AudioCacheStats[]> {
  const stats: AudioCacheStats[] = [];
  for (let at = 0; at < client.instances; at += 1) {
    const path = '/admin/audio-cache/stats';
    const asked = { operation: 'metrics', at, method: 'GET', path } as const;
    const { body } = await client.ask({ ...asked, also: [401] });
    if (isSpeechStats(body)) stats.push(body);
  }
  return stats;
}

function showSpeech(stats: readonly AudioCacheStats[]): void {
  if (stats.length === 0) {
    say('\nWhat was spoken is known to the admin token alone.');
    return;
  }
  say('\nSpeech, until its first byte, inside the service:');
  say(firstByteTable(stats));
  say('');
  for (const line of moneyLines(stats)) say(line);
}

/** Its shape is a contract of the service: that it is one is all there is to find out. */
function isStats(body: unknown): body is CacheStats {
  return typeof body === 'object' && body !== null && 'tiers' in body && 'compression' in body;
}

function show(
  calls: readonly RecordedCall[],
  client: Client,
  player: Player,
  stopwatch: Stopwatch,
  stats: readonly CacheStats[],
  seconds: number,
): void {
  const turns = calls.reduce((sum, call) => sum + call.turns.length, 0);
  const errors = [...failures.values()].reduce((sum, count) => sum + count, 0);
  say(
    `\n${calls.length} calls, ${turns} turns in ${seconds.toFixed(1)} s: ${errors} errors, ${client.retries} retries.`,
  );
  if (player.known > 0) say(`${player.known} of the calls were there before.`);
  for (const [what, count] of [...failures].slice(0, ERRORS_SHOWN)) say(`  ${count} × ${what}`);
  say(
    '\nWhat a caller felt, over HTTP; the tier is the slowest that a read needed, or what holds a write:',
  );
  say(latencyTable(stopwatch.figures().filter(({ operation }) => !BESIDE.includes(operation))));
  say('\nInside the service:');
  say(tierTable(stats));
  say(`\n${compressionLine(stats)}`);
}

/** True where Supabase could be read and has everything, or can't be read from here. */
async function verified(
  stack: OwnStack | undefined,
  calls: readonly RecordedCall[],
): Promise<boolean> {
  const url = stack?.supabase.url ?? process.env.SUPABASE_URL;
  const key = stack?.supabase.secretKey ?? process.env.SUPABASE_SECRET_KEY;
  if (url === undefined || key === undefined) {
    say('\nSupabase was not read: set SUPABASE_URL and SUPABASE_SECRET_KEY to have it checked.');
    return true;
  }
  const verdict = await verify(new StoredTurns(url, key), calls);
  const { turns, missing, extra, wrong } = verdict;
  const whole = isSound(verdict)
    ? 'every turn of every call, once and in order'
    : `${missing} turns are missing, ${extra} too many, ${wrong} calls are not as they were said`;
  say(`\nSupabase, read with supabase-js alone: ${calls.length} calls, ${turns} turns: ${whole}.`);
  return isSound(verdict);
}

function whole(most: number): (value: string) => number {
  return (value) => {
    const number = /^\d{1,6}$/.test(value) ? Number(value) : 0;
    if (number >= 1 && number <= most) return number;
    throw new InvalidArgumentError(`It takes a whole number from 1 to ${most}.`);
  };
}

function amount(value: string): number {
  const number = /^\d{1,6}(?:\.\d{1,6})?$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isFinite(number)) return number;
  throw new InvalidArgumentError('It takes an amount, such as 0.30.');
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
