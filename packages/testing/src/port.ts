/**
 * Ports for servers that must come back on the same one. They are taken below the range from
 * which the system numbers outgoing connections (32768 and up on Linux, 49152 on macOS): there,
 * a client that keeps trying a dead local port is sooner or later given that very port as its
 * own, connects to itself, and the server can't come back.
 */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

const LOWEST = 14_000;
const HIGHEST = 32_000;
const ATTEMPTS = 50;

/** A port of the loopback interface that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = randomInt(LOWEST, HIGHEST);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port between ${LOWEST} and ${HIGHEST} in ${ATTEMPTS} attempts`);
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  try {
    const listening = once(probe, 'listening');
    probe.listen(port, '127.0.0.1');
    await listening;
    return true;
  } catch {
    return false;
  } finally {
    probe.close();
  }
}
