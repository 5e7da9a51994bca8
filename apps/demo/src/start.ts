/**
 * `npm start`: everything for a first look. Servers of its own where none are configured, then
 * the service, then what to paste. Its data is under `.data/` and is there the next time.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type DataLock, lockDirectory } from './data-lock.ts';
import { type Embedded, EmbeddedError, type Environment, startEmbedded } from './embedded.ts';
import type { Service } from './service.ts';
import { drainOnSignals } from './shutdown.ts';
import { startText } from './start-text.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const DATA = join(ROOT, '.data');
const FIRST_PORT = 3000;
const PORTS_TRIED = 100;
/** Another start that was just told to end gets this long to drain. */
const PATIENCE_MS = 15_000;
/** What a killed program leaves running is ended by its watchdog, at once, but after it. */
const WATCHDOG_MS = 300;

interface Running {
  readonly lock: DataLock;
  readonly embedded: Embedded;
  readonly service: Service;
}

/** Closed in the opposite order: the servers only when nothing is left to be written. */
const opened: { close(): Promise<void> }[] = [];
let starting: Promise<Running> | undefined;

drainOnSignals({
  async drain(signal) {
    say(`\n${signal}: draining. Once more to end at once.`);
    await starting?.catch(() => undefined);
    for (const part of opened.reverse()) await part.close();
    say('Stopped.');
  },
});

try {
  starting = start();
  show(await starting);
} catch (error) {
  for (const part of opened.reverse()) await part.close();
  if (!(await isForTheUser(error))) throw error;
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
}

async function start(): Promise<Running> {
  const lock = await locked();
  opened.push({ close: () => lock.release() });
  const servers = startEmbedded({ env: process.env, directory: DATA, say });
  // The service is loaded while its servers start: both take a second.
  const [embedded, { openService }, { pino }] = await Promise.all([
    servers.then((started) => {
      opened.push(started);
      return started;
    }),
    import('./service.ts'),
    import('pino'),
  ]);
  const env = { ...embedded.env, PORT: await portFor(embedded.env) };
  const service = await openService({ env, logger: pino({ base: null }) });
  opened.push(service);
  return { lock, embedded, service };
}

/** It names what to change, and a stack would only hide it. */
async function isForTheUser(error: unknown): Promise<boolean> {
  const { ConfigError } = await import('@cache/core');
  return error instanceof ConfigError || error instanceof EmbeddedError;
}

async function locked(): Promise<DataLock> {
  const lock = await lockDirectory(DATA, {
    patienceMs: PATIENCE_MS,
    onWait: () => say('Waiting for the start before this one to end ...'),
  });
  if (lock === undefined) {
    throw new EmbeddedError(
      'Another `npm start` of this folder is running: stop it first, or use it',
    );
  }
  if (lock.wasAbandoned) await sleep(WATCHDOG_MS);
  return lock;
}

/** The port that was asked for; otherwise the first one from 3000 that is free. */
async function portFor(env: Environment): Promise<string> {
  const asked = env.PORT?.trim();
  if (asked !== undefined && asked !== '') return asked;
  for (let port = FIRST_PORT; port < FIRST_PORT + PORTS_TRIED; port += 1) {
    if (await isFree(port, env.HOST?.trim() || '127.0.0.1')) return String(port);
  }
  return '0';
}

async function isFree(port: number, host: string): Promise<boolean> {
  const probe = createServer();
  try {
    const ready = once(probe, 'listening');
    probe.listen(port, host);
    await ready;
    return true;
  } catch {
    return false;
  } finally {
    probe.close();
  }
}

function show({ embedded, service }: Running): void {
  const data = relative(process.cwd(), DATA) || DATA;
  say(startText({ embedded, service, data, seconds: process.uptime() }));
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
