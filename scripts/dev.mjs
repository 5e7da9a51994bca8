/**
 * The one entrance to every command of the repository: `node scripts/dev.mjs <command> [args]`.
 *
 * A machine needs nothing but some Node and npm for it. It installs the locked dependencies
 * when they are not the ones that are there, and runs everything else under the Node that is
 * one of them. So this file is plain JavaScript that an older Node runs too.
 *
 * The command runs in a process group of its own, and every signal reaches it once, however
 * many times npm, the shell and the terminal send it here. It is waited for, and its exit code
 * is this program's. Where this program is killed, it ends too.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const BIN = join(ROOT, 'node_modules', '.bin');
const STAMP = join(ROOT, 'node_modules', '.installed-lock');
/** The same line as `MISSING_REDIS` of @cache/testing; a test compares them. */
const MISSING_REDIS =
  'redis-server was not found: install it (Debian, Ubuntu: apt-get install redis-server; macOS: brew install redis) and run this again';
/** Signals that follow each other faster than this are one wish of one person. */
const ONE_WISH_MS = 1000;

/** From its sources, without a build. */
const source = (file) => ['node', '--conditions=@cache/source', file];

const BUILD = ['turbo', 'run', 'build', '--output-logs=errors-only'];

const COMMANDS = {
  async start(args) {
    const { REDIS_URL, REDIS_HOST, REDIS_SENTINELS } = process.env;
    const configured = REDIS_URL || REDIS_HOST || REDIS_SENTINELS;
    if (!configured && !haveRedis()) {
      say(`${MISSING_REDIS}. Going on without Redis.`);
      process.env.REDIS_URL = 'off';
    }
    const app = args[0] === 'audiobooks' ? 'audiobooks' : 'demo';
    const rest = app === 'demo' ? args : args.slice(1);
    return await run([...source(`apps/${app}/src/start.ts`), ...rest]);
  },
  async serve(args) {
    // Always, so that what runs is what the sources say; what has not changed is not built again.
    // Standard output is for the log of the service alone.
    const code = await run(BUILD, { output: 'stderr' });
    return code === 0 ? await run(['node', 'apps/demo/dist/main.js', ...args]) : code;
  },
  build: (args) => run([...BUILD, ...args]),
  async test(args) {
    if (!haveRedis()) {
      say(MISSING_REDIS);
      return 1;
    }
    const code = await COMMANDS.check([]);
    if (code !== 0) return code;
    return await run(['vitest', 'run', ...args]);
  },
  async check() {
    const code = await run(['biome', 'check', '--error-on-warnings']);
    return code === 0 ? await run(['tsc', '-p', 'tsconfig.json']) : code;
  },
  format: (args) => run(['biome', 'check', '--write', ...args]),
  replay: (args) => run([...source('apps/demo/src/replay.ts'), ...args]),
  tour: (args) => run([...source('apps/demo/src/tour.ts'), ...args]),
  bench: (args) => run([...source('apps/bench/src/main.ts'), ...args]),
  simulate: (args) => run([...source('packages/core/test/simulation/cli.ts'), ...args]),
  chaos: (args) => run([...source('apps/chaos/src/main.ts'), ...args]),
  mutants: (args) => run([...source('apps/chaos/src/mutants.ts'), ...args]),
};

// Above the first command: it may end by a signal while the rest of this file waits for it.
const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

const [name = '', ...rest] = process.argv.slice(2);
const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
if (command === undefined) {
  say(`unknown command ${JSON.stringify(name)}: one of ${Object.keys(COMMANDS).join(', ')}`);
  process.exitCode = 2;
} else {
  process.exitCode = (await install()) || (await command(rest));
}

function say(line) {
  process.stderr.write(`${line}\n`);
}

/** Brings node_modules to what the lock file says, unless it is there. */
async function install() {
  const lock = createHash('sha256').update(readFileSync(join(ROOT, 'package-lock.json')));
  const wanted = lock.digest('hex');
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wanted) return 0;
  say('Installing the dependencies (only when the lock file has changed) ...');
  const npm = process.env.npm_execpath
    ? [process.execPath, process.env.npm_execpath]
    : [process.platform === 'win32' ? 'npm.cmd' : 'npm'];
  const code = await run([...npm, 'ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    output: 'stderr',
  });
  if (code === 0) writeFileSync(STAMP, wanted);
  return code;
}

/** Whether there is a redis-server, after an attempt to get one where that disturbs nobody. */
function haveRedis() {
  if (isInPath('redis-server')) return true;
  if (process.getuid?.() !== 0 || !isInPath('apt-get')) return false;
  say('Installing redis-server with apt-get ...');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const quiet = ['-qq', '-o', 'DPkg::Lock::Timeout=120'];
  spawnSync('apt-get', ['update', ...quiet], { env, stdio: 'ignore' });
  spawnSync('apt-get', ['install', '-y', '--no-install-recommends', ...quiet, 'redis-server'], {
    env,
    stdio: 'ignore',
  });
  return isInPath('redis-server');
}

function isInPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Runs a program to its end, with the repository's programs first in PATH. */
function run([program, ...args], { output = 'inherit' } = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: ROOT,
      detached: process.platform !== 'win32',
      stdio: ['inherit', output === 'stderr' ? process.stderr : 'inherit', 'inherit'],
      env: {
        ...process.env,
        PATH: `${BIN}${delimiter}${process.env.PATH ?? ''}`,
        DO_NOT_TRACK: '1',
        LITE_TELEMETRY: '0',
        SCARF_ANALYTICS: 'false',
        TURBO_TELEMETRY_DISABLED: '1',
        TURBO_NO_UPDATE_NOTIFIER: '1',
      },
    });
    const release = child.pid === undefined ? () => {} : guard(child, child.pid);
    child.once('error', (error) => {
      release();
      say(`${program} could not be started: ${error.message}`);
      resolve(127);
    });
    child.once('exit', (code, signal) => {
      release();
      resolve(code ?? 128 + (SIGNAL_NUMBERS[signal] ?? 0));
    });
  });
}

/** Passes signals on to the child, once each, and sees to it that it does not outlive us. */
function guard(child, pid) {
  let last = Number.NEGATIVE_INFINITY;
  const forward = (signal) => {
    if (performance.now() - last < ONE_WISH_MS) return;
    last = performance.now();
    child.kill(signal);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, forward);
  // Reads until we say that all is well, or are gone.
  const script = 'read -r line || kill -s TERM -- "-$0" 2>/dev/null';
  const watchdog =
    process.platform === 'win32'
      ? undefined
      : spawn('/bin/sh', ['-c', script, String(pid)], {
          detached: true,
          stdio: ['pipe', 'ignore', 'ignore'],
        });
  watchdog?.on('error', () => {});
  watchdog?.stdin.on('error', () => {});
  watchdog?.unref();
  return () => {
    for (const signal of signals) process.off(signal, forward);
    watchdog?.stdin.end('well\n');
  };
}
