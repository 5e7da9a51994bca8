/**
 * `npm run tour`: about a minute that shows the point. A call on two instances of the service,
 * real processes all of them; Redis dies in mid-turn and comes back empty, an instance is
 * killed. At the end Supabase is read with supabase-js alone. Ends with 1 if anything that was
 * acknowledged is lost, doubled or was read stale.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisServer, ServiceProcess } from '@cache/testing';
import { z } from 'zod';
import { startOwnStack } from './own-stack.ts';
import { StoredTurns } from './stored-turns.ts';
import { course, type Listener, Speaker } from './tour/speaker.ts';
import { isClean, type TourVerdict, verdictOf } from './tour/verdict.ts';

const CALL = 'tour';
/** Shorter than the default of ten, for the sake of whoever watches. */
const RESET_SECONDS = 3;
const RECOVERY_MS = 30_000;
const ADOPTION_MS = 30_000;
const POLL_MS = 200;

const statsSchema = z.object({
  tiers: z.object({ l2: z.object({ breaker: z.object({ state: z.string() }) }) }),
});

const start = performance.now();
process.exitCode = await tour();

async function tour(): Promise<number> {
  tell('Starting Redis, Supabase and two instances of the service, A and B ...');
  const env = { BREAKER_RESET_SECONDS: String(RESET_SECONDS) };
  await using stack = await startOwnStack({ instances: 2, env, say: tell });
  const { redis, services, supabase } = stack;
  const [a, b] = services;
  if (redis === undefined || a === undefined || b === undefined) return 1;
  const stored = new StoredTurns(supabase.url, supabase.secretKey);
  const listeners = [listener('A', a), listener('B', b)] as const;
  const speaker = new Speaker(CALL, listeners);

  await beginning(a, speaker, stored);
  await redisDies(redis, speaker, [a, b]);
  await redisReturns(redis, speaker, [a, b]);
  await instanceDies(b, speaker, stored);
  const isSaved = await hangUp(a);
  const read = (await speaker.read(listeners[0])) ?? [];

  const turns = await stored.of(CALL);
  const { acknowledged, stale } = speaker;
  const verdict = verdictOf({ acknowledged, stored: turns, read, stale });
  conclude(verdict, speaker);
  return isClean(verdict) && isSaved ? 0 : 1;
}

async function beginning(a: ServiceProcess, speaker: Speaker, stored: StoredTurns): Promise<void> {
  step('A call begins. Its turns reach A and B in turn.');
  const response = await fetch(`${a.url}/conversations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id: CALL, caller: '+49 30 1234567' }),
  });
  if (response.status !== 201) throw new Error(`the call did not begin: ${response.status}`);
  await speaker.say();
  await spoken(speaker, 3000);
  tell(
    `Supabase has ${(await stored.of(CALL)).length} of them: it is written to later, in batches.`,
  );
}

async function redisDies(
  redis: RedisServer,
  speaker: Speaker,
  services: readonly ServiceProcess[],
): Promise<void> {
  step('Redis is killed in mid-turn.');
  const before = speaker.acknowledged.length;
  const turn = speaker.say();
  await redis.kill();
  const { held, ms } = await turn;
  tell(`The turn that was under way was acknowledged by ${held} after ${Math.round(ms)} ms.`);
  await spoken(speaker, 6000, before);
  tell(`Breakers: ${await breakers(services)}. The turns go to Supabase, with a mark for Redis.`);
}

async function redisReturns(
  redis: RedisServer,
  speaker: Speaker,
  services: readonly ServiceProcess[],
): Promise<void> {
  step('Redis comes back, and has forgotten everything. The call goes on meanwhile.');
  const before = speaker.acknowledged.length;
  speaker.speak();
  await redis.restart();
  const until = performance.now() + RECOVERY_MS;
  while (!(await breakers(services)).includes('A CLOSED, B CLOSED')) {
    if (performance.now() > until) throw new Error('the breakers did not close');
    await sleep(POLL_MS);
  }
  tell(
    `Breakers: ${await breakers(services)}: tried without a caller, then told what they missed.`,
  );
  await sleep(3000);
  await speaker.pause();
  summarize(speaker, before);
}

async function instanceDies(
  b: ServiceProcess,
  speaker: Speaker,
  stored: StoredTurns,
): Promise<void> {
  step('B is killed in mid-call, with turns that only Redis holds.');
  const before = speaker.acknowledged.length;
  speaker.speak();
  await sleep(1500);
  await b.kill();
  speaker.lose('B');
  const theirs = speaker.acknowledged.filter(({ by }) => by === 'B').map(({ id }) => id);
  const lacking = missing(theirs, await stored.of(CALL));
  tell(`Of what B had acknowledged, Supabase lacks ${lacking.length} turns.`);
  await sleep(1500);
  await speaker.pause();
  summarize(speaker, before);
  tell('A notices that B is silent, and brings what it left to Supabase ...');
  const until = performance.now() + ADOPTION_MS;
  while (missing(theirs, await stored.of(CALL)).length > 0 && performance.now() < until) {
    await sleep(POLL_MS);
  }
  const left = missing(theirs, await stored.of(CALL)).length;
  tell(left === 0 ? 'Now Supabase has all of them.' : `Supabase still lacks ${left} of them.`);
}

function missing(ids: readonly string[], stored: readonly { readonly id: string }[]): string[] {
  const there = new Set(stored.map(({ id }) => id));
  return ids.filter((id) => !there.has(id));
}

/** Whether the instance that is left says that Supabase has all of the call. */
async function hangUp(a: ServiceProcess): Promise<boolean> {
  step('The caller hangs up: a barrier, everything of this call has to be in Supabase.');
  const response = await fetch(`${a.url}/conversations/${CALL}/hangup`, { method: 'POST' });
  tell(`Answered ${response.status}: ${await response.text()}`);
  return response.ok;
}

async function spoken(
  speaker: Speaker,
  ms: number,
  before: number = speaker.acknowledged.length,
): Promise<void> {
  speaker.speak();
  await sleep(ms);
  await speaker.pause();
  summarize(speaker, before);
}

function summarize(speaker: Speaker, before: number): void {
  const turns = speaker.acknowledged.slice(before);
  const slowest = Math.max(...turns.map(({ ms }) => ms));
  tell(
    `${turns.length} turns acknowledged, held by: ${course(turns)}. The slowest took ${Math.round(slowest)} ms.`,
  );
}

async function breakers(services: readonly ServiceProcess[]): Promise<string> {
  const states = services.map(async ({ url }, index) => {
    const response = await fetch(`${url}/cache/metrics`);
    const { tiers } = statsSchema.parse(await response.json());
    return `${'AB'[index]} ${tiers.l2.breaker.state}`;
  });
  return (await Promise.all(states)).join(', ');
}

function conclude(verdict: TourVerdict, speaker: Speaker): void {
  const { acknowledged, found, lost, doubled, stale, sameOrder } = verdict;
  step('Supabase, read with supabase-js alone:');
  tell(`acknowledged  ${acknowledged}   (${speaker.again} attempts were not, and were made again)`);
  tell(`found         ${found}`);
  tell(`lost          ${lost}`);
  tell(`doubled       ${doubled}`);
  tell(`stale         ${stale}   of ${speaker.reads} reads`);
  tell(`order         ${sameOrder ? 'the same in A and in Supabase' : 'not the same'}`);
}

function listener(name: string, { url }: ServiceProcess): Listener {
  return { name, url };
}

function step(title: string): void {
  process.stdout.write(`\n${title}\n`);
}

function tell(line: string): void {
  const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(5);
  process.stdout.write(`${seconds} s  ${line}\n`);
}
