/**
 * The program of the oracle: the callers, and everything that they were told, in one process that
 * nobody kills, so that an acknowledgement is noted in the turn of the event loop in which it
 * arrives. It is also the source that derived values are loaded from. It learns from the conductor
 * which instances are up and which faults are on, and keeps looking at what Supabase has.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { Audit } from './audit.ts';
import { Caller } from './callers.ts';
import { Exchange } from './exchange.ts';
import { Findings } from './findings.ts';
import { serveJson } from './json-http.ts';
import { Judge } from './judge.ts';
import { Lag } from './lag.ts';
import { type Attempt, Ledger, type Subject } from './ledger.ts';
import { type Order, oracleSettingsSchema, orderSchema } from './protocol.ts';
import { Random } from './random.ts';
import { Truth } from './truth.ts';
import { Weather } from './weather.ts';

const LOOK_EVERY_MS = 500;
/** Of how many keys each instance is asked; Supabase is asked of all of them. */
const SAMPLE = 400;
/** Acknowledgements that were on their way when the mark was set. */
const ON_ITS_WAY_MS = 500;

const settings = oracleSettingsSchema.parse(JSON.parse(process.argv[2] ?? ''));
const weather = new Weather();
const findings = new Findings(weather);
const ledger = new Ledger();
const truth = new Truth(settings.supabaseUrl, settings.supabaseKey);
const exchange = new Exchange(findings, weather, settings.deadlineMs, new Lag());
const judge = new Judge(findings, weather, settings.intervalMs);
const audit = new Audit({ ledger, truth, findings, exchange });

let callers: readonly Caller[] = [];
let talking: Promise<unknown> = Promise.resolve();
let lastLook: Promise<void> = Promise.resolve();

function begin(cycle: number): void {
  findings.cycle = cycle;
  callers = Array.from({ length: settings.callers }, (_, index) => {
    const name = String(index + 1);
    const random = new Random(settings.seed, `caller ${cycle} ${name}`);
    return new Caller({ exchange, ledger, judge, flushed }, name, cycle, random);
  });
  talking = Promise.all(callers.map((caller) => caller.talk()));
}

async function rest(): Promise<void> {
  for (const caller of callers) caller.stop();
  await talking;
  await exchange.quiet();
}

/** An instance said that nothing remains: then Supabase has it, now. */
async function flushed(log: Subject, acknowledged: readonly Attempt[], by: string): Promise<void> {
  const ids = await truth.logs([log.key]).catch(() => undefined);
  if (ids === undefined) return;
  findings.count('G1 barriers held against Supabase');
  const there = new Set(ids.get(log.key));
  for (const { id, ackAt } of acknowledged) {
    if (there.has(id)) continue;
    findings.violation('G1', `${by} flushed ${log.key}, and Supabase lacks ${id}`, ackAt);
  }
}

/** One look at a time; whoever asks gets one that began afterwards. False: Supabase can't say. */
async function look(): Promise<boolean> {
  const next = lastLook.then(() => truth.look(ledger));
  lastLook = next.catch(() => {});
  return await next.then(
    () => true,
    () => false,
  );
}

function unsaved(by: string | undefined): number {
  return [...ledger.unsaved().keys()].filter((one) => by === undefined || one.by === by).length;
}

async function obey(order: Order): Promise<unknown> {
  switch (order.order) {
    case 'up':
      return exchange.up(order.instance);
    case 'down':
      return exchange.down(order.id);
    case 'begin':
      return begin(order.cycle);
    case 'rest':
      return await rest();
    case 'fault':
      if (order.on) return weather.begin(order.id, order.fault, performance.now());
      return weather.end(order.id, performance.now());
    case 'unsaved':
      if (order.look) await look();
      return { writes: unsaved(order.by) };
    case 'mark':
      return { mark: performance.now() + ON_ITS_WAY_MS };
    case 'saved': {
      const isSaid = performance.now() > order.mark && (await look());
      const late = [...ledger.unsaved().keys()].some(({ ackAt }) => ackAt <= order.mark);
      return { saved: isSaid && !late };
    }
    case 'audit':
      return await audit.run(ledger.ofCycle(order.cycle), order.instances, SAMPLE);
    case 'violation':
      return findings.violation(order.guarantee, order.what, performance.now());
    case 'report':
      return findings.told();
    default:
      return order satisfies never;
  }
}

const keySchema = z.object({ key: z.string() });

/** The source: what it says at the beginning of a moment of work, and not at its end. */
async function source(body: unknown) {
  const { key } = keySchema.parse(body);
  const { n } = ledger.profile(key);
  findings.count('derived values loaded');
  await delay(5);
  return { n };
}

const server = await serveJson(async (path, body) =>
  path === '/source' ? await source(body) : await obey(orderSchema.parse(body)),
);
setInterval(() => void look(), LOOK_EVERY_MS);
process.stdout.write(`listening ${server.url}\n`);
