import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { lockDirectory } from '../src/directory-lock.ts';

const options = { patienceMs: 300, onWait: () => {} };

test('a directory is held by one at a time, and free again afterwards', async () => {
  const directory = `/nowhere/${randomUUID()}`;
  const lock = await lockDirectory(directory, options);
  expect(lock?.wasAbandoned).toBe(false);
  let waits = 0;
  const onWait = () => {
    waits += 1;
  };
  expect(await lockDirectory(directory, { ...options, onWait })).toBeUndefined();
  expect(waits).toBe(1);
  await lock?.release();
  const again = await lockDirectory(directory, options);
  expect(again?.wasAbandoned).toBe(false);
  await again?.release();
});

test('a lock whose holder was killed is taken over', async () => {
  const directory = `/nowhere/${randomUUID()}`;
  const source = fileURLToPath(new URL('../src/directory-lock.ts', import.meta.url));
  const program = `
    const { lockDirectory } = await import(${JSON.stringify(source)});
    await lockDirectory(${JSON.stringify(directory)}, { patienceMs: 1000, onWait() {} });
    process.stdout.write('held');
    setInterval(() => {}, 1000);
  `;
  const holder = spawn(process.execPath, ['--input-type=module', '--eval', program]);
  await once(holder.stdout, 'data');
  expect(await lockDirectory(directory, options)).toBeUndefined();
  const gone = once(holder, 'exit');
  holder.kill('SIGKILL');
  await gone;
  const lock = await lockDirectory(directory, options);
  expect(lock?.wasAbandoned).toBe(true);
  await lock?.release();
});
