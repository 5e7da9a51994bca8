/**
 * One program at a time works on a data directory. Its lock is a listening socket, which is gone
 * when its process is, however that ended: what a killed program leaves behind answers nobody,
 * and a process number that was given away again fools nobody.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createConnection, createServer, type Server } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** What {@link lockDirectory} gives. */
export interface DirectoryLock {
  /** The program before this one was killed: its servers may be dying at this moment. */
  readonly wasAbandoned: boolean;
  release(): Promise<void>;
}

/** What {@link lockDirectory} takes. */
export interface LockOptions {
  /** How long to wait for another program to end. */
  readonly patienceMs: number;
  /** Called once, where there is somebody to wait for. */
  readonly onWait: () => void;
}

const RETRY_MS = 100;

/** `undefined`: another program still holds the directory. */
export async function lockDirectory(
  directory: string,
  { patienceMs, onWait }: LockOptions,
): Promise<DirectoryLock | undefined> {
  const path = socketOf(directory);
  const until = performance.now() + patienceMs;
  let wasAbandoned = false;
  for (let attempt = 0; performance.now() < until; attempt += 1) {
    const server = await listening(path);
    if (server !== undefined) return { wasAbandoned, release: () => closed(server) };
    if (await isAnswered(path)) {
      if (attempt === 0) onWait();
      await sleep(RETRY_MS);
    } else {
      wasAbandoned = true;
      await rm(path, { force: true });
    }
  }
  return undefined;
}

/** Short, because the path of a socket may have about a hundred characters. */
function socketOf(directory: string): string {
  const hash = createHash('sha256').update(directory).digest('hex').slice(0, 16);
  return join(tmpdir(), `cache-${userInfo().uid}-${hash}.lock`);
}

async function listening(path: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  try {
    const ready = once(server, 'listening');
    server.listen(path);
    await ready;
    server.unref();
    return server;
  } catch {
    return undefined;
  }
}

async function isAnswered(path: string): Promise<boolean> {
  const socket = createConnection(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function closed(server: Server): Promise<void> {
  const gone = once(server, 'close');
  server.close();
  await gone;
}
