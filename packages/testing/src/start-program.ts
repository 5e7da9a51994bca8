/**
 * A program for a first look: servers of its own where none are configured, then a service on
 * them, then what to paste. One such program at a time works on a data directory, and what it
 * wrote is there the next time.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DirectoryLock, lockDirectory } from './directory-lock.ts';
import { EmbeddedError, type Environment, startEmbedded } from './embedded.ts';
import { ServerError } from './errors.ts';
import { type Paste, type ShownService, startText } from './start-text.ts';
import type { SupabaseOptions } from './supabase.ts';

/** What {@link startProgram} takes. */
export interface StartOptions {
  /** Where the data stays. */
  readonly directory: string;
  readonly migrations: SupabaseOptions['migrations'];
  /** Variables of the service where its user sets none. */
  readonly defaults?: Environment | undefined;
  /** Loads what opens the service, while its servers start: both take a second. */
  readonly load: () => Promise<(options: { readonly env: Environment }) => Promise<StartedService>>;
  /** What is shown to try out when all of it runs. */
  readonly paste: Paste;
  /** Calls what it is given at the first signal that asks for the end: `drainOnSignals` of @cache/http. */
  readonly onSignals: (shutdown: { readonly drain: (signal: string) => Promise<void> }) => void;
}

/** A service of @cache/http, say. */
interface StartedService extends ShownService {
  close(): Promise<void>;
}

const FIRST_PORT = 3000;
const PORTS_TRIED = 100;
/** Another start that was just told to end gets this long to drain. */
const PATIENCE_MS = 15_000;
/** What a killed program leaves running is ended by its watchdog, at once, but after it. */
const WATCHDOG_MS = 300;

/**
 * Runs it. Where it does not start, nothing of it stays: a fault that its user can mend is told in
 * a line and ends the process with code 1, any other is thrown.
 */
export async function startProgram(options: StartOptions): Promise<void> {
  /** Closed in the opposite order: the servers only when nothing is left to be written. */
  const opened: { close(): Promise<void> }[] = [];
  const close = async () => {
    for (const part of opened.reverse()) await part.close();
  };
  const starting = start(options, opened);
  options.onSignals({
    async drain(signal) {
      say(`\n${signal}: draining. Once more to end at once.`);
      await starting.catch(() => undefined);
      await close();
      say('Stopped.');
    },
  });
  try {
    say(await starting);
  } catch (error) {
    await close();
    if (!isStartError(error)) throw error;
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exit(1);
  }
}

/** It names what to change, and a stack would only hide it. */
export function isStartError(error: unknown): boolean {
  // By its code: the class is the service's, and is not loaded before it.
  const isConfig = error instanceof Error && 'code' in error && error.code === 'CONFIG';
  return isConfig || error instanceof EmbeddedError || error instanceof ServerError;
}

/** Resolves to what is shown of it. */
async function start(
  { directory, migrations, defaults = {}, load, paste }: StartOptions,
  opened: { close(): Promise<void> }[],
): Promise<string> {
  const lock = await locked(directory);
  opened.push({ close: () => lock.release() });
  const [embedded, open] = await Promise.all([
    startEmbedded({ env: process.env, directory, migrations, say }).then((started) => {
      opened.push(started);
      return started;
    }),
    load(),
  ]);
  const isSet = ([, value]: [string, string | undefined]) =>
    value !== undefined && value.trim() !== '';
  const given = Object.fromEntries(Object.entries(embedded.env).filter(isSet));
  const port = await portFor(embedded.env);
  const service = await open({ env: { ...defaults, ...given, PORT: port } });
  opened.push(service);
  const data = relative(process.cwd(), directory) || directory;
  return startText({ embedded, service, paste, data, seconds: process.uptime() });
}

async function locked(directory: string): Promise<DirectoryLock> {
  const lock = await lockDirectory(directory, {
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

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
