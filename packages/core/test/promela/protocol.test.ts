/**
 * The model of the write protocol in Promela (docs/model), checked wherever spin and a C compiler
 * are installed. It says that the model has no error, and that each weakened one has.
 */
import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const CHECK = fileURLToPath(new URL('../../../../docs/model/check.mjs', import.meta.url));
/** Half a minute of work; a machine that is busy takes its time. */
const PATIENCE_MS = 900_000;

const missing = ['spin', 'gcc'].filter(
  (tool) => spawnSync(tool, ['--version']).error !== undefined,
);

test('G1, G2, G4, G8: the model of the protocol has no error, and has one without any of its rules', {
  timeout: PATIENCE_MS,
}, async ({ skip }) => {
  if (missing.length > 0) {
    skip(`not installed: ${missing.join(', ')} (Debian: apt-get install spin gcc)`);
  }
  const { stdout } = await promisify(execFile)(process.execPath, [CHECK]);
  expect(stdout).not.toContain('BAD');
  expect(stdout).toMatch(/^\d+ variants: all as expected$/m);
});
