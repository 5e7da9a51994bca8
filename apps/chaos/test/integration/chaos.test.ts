/**
 * A minute of chaos, on real servers: every fault once, with writes pending, and every promise
 * held against what was acknowledged. `npm run chaos` is the long version.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { z } from 'zod';

const program = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

const reportSchema = z.object({
  isClean: z.boolean(),
  violations: z.array(z.object({ guarantee: z.string(), what: z.string() })),
  faultFigures: z.array(z.object({ fault: z.string(), struck: z.int(), fewestPending: z.int() })),
  verdicts: z.array(z.object({ guarantee: z.string(), checks: z.int(), violations: z.int() })),
  apart: z.object({ leftOut: z.int() }),
});

test('G1, G2, G3, G4, G5, G12: a minute in which every fault strikes once breaks no promise', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cache-chaos-report-'));
  try {
    const flags = [
      '--minutes',
      '1',
      '--seed',
      '1',
      '--callers',
      '10',
      '--report',
      folder,
      '--trace',
    ];
    // A run that finds something ends with 1, and the report says what.
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--conditions=@cache/source', program, ...flags],
      { env: { ...process.env, NODE_OPTIONS: '' } },
    ).catch((error: { stdout: string; stderr: string }) => {
      if (error.stdout.includes('Again: ')) return error;
      throw new Error(`the run did not end: ${error.stdout}\n${error.stderr}`);
    });
    const [name = ''] = (await readdir(folder)).filter((file) => file.endsWith('.json'));
    const report = reportSchema.parse(JSON.parse(await readFile(join(folder, name), 'utf8')));
    expect(report.violations, stdout).toEqual([]);
    expect(report.isClean, stdout).toBe(true);
    // It could have found something: every fault struck, and everything was looked at.
    const struck = report.faultFigures.filter((one) => one.struck > 0).length;
    expect(struck + report.apart.leftOut, stdout).toBe(report.faultFigures.length);
    expect(report.faultFigures.length).toBe(15);
    for (const guarantee of ['G1', 'G2', 'G3', 'G4', 'G5', 'G12']) {
      const verdict = report.verdicts.find((one) => one.guarantee === guarantee);
      expect(verdict?.checks, `${guarantee}: ${stdout}`).toBeGreaterThan(200);
    }
    console.log(stdout.slice(stdout.indexOf('Verdicts')));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 400_000);
