import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const owner = fileURLToPath(new URL('owner.ts', import.meta.url));

/**
 * Whether somebody listens there: also true of a frozen server, and false of a process that
 * is dead and not yet collected.
 */
async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function listening(ports: readonly number[]): Promise<readonly boolean[]> {
  return await Promise.all(ports.map(isListening));
}

test.each(['SIGKILL', 'SIGINT'] as const)(
  'servers, frozen ones too, and their directories are gone when their owner dies of %s',
  async (signal) => {
    const child = spawn(process.execPath, ['--conditions=@cache/source', owner], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(createInterface(child.stdout), 'line');
    const { ports, directories }: { ports: number[]; directories: string[] } = JSON.parse(line);
    expect(await listening(ports)).toEqual([true, true, false]);
    expect(directories.map((path) => existsSync(path))).toEqual([true, true, false]);
    child.kill(signal);
    await expect.poll(() => listening(ports)).toEqual([false, false, false]);
    await expect.poll(() => directories.filter((path) => existsSync(path))).toEqual([]);
  },
);

test('a program that forgets to close its servers still ends, and they with it', async () => {
  const child = spawn(process.execPath, ['--conditions=@cache/source', owner, 'forgetful'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(createInterface(child.stdout), 'line');
  const { ports }: { ports: number[] } = JSON.parse(line);
  const [code] = child.exitCode === null ? await once(child, 'exit') : [child.exitCode];
  expect(code).toBe(0);
  await expect.poll(() => listening(ports)).toEqual([false, false, false]);
});
