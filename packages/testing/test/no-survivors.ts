/**
 * After every test file: whoever started a server or a process has ended it. After every test: how
 * many faults it played on real servers is told to the reporter.
 */
import { afterAll, afterEach, beforeEach, expect, vi } from 'vitest';
import { injectedFaults } from '../src/injected.ts';
import { runningServers } from '../src/server-process.ts';

function children(): readonly string[] {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'ProcessWrap');
}

declare module 'vitest' {
  interface TaskMeta {
    /** How often the test played each fault. */
    faults?: Readonly<Record<string, number>>;
  }
}

let before = injectedFaults();

beforeEach(() => {
  before = injectedFaults();
});

afterEach(({ task }) => {
  const played = [...injectedFaults()].map(
    ([kind, count]) => [kind, count - (before.get(kind) ?? 0)] as const,
  );
  task.meta.faults = Object.fromEntries(played.filter(([, count]) => count > 0));
});

afterAll(async () => {
  expect(runningServers(), 'servers that the test file did not close').toEqual([]);
  // A process that was told to end may still need a moment for it.
  await vi.waitFor(
    () => expect(children(), 'child processes that the test file left running').toEqual([]),
    { timeout: 3_000 },
  );
});
