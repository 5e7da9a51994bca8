/** After every test file: whoever started a server or a process has ended it. */
import { afterAll, expect, vi } from 'vitest';
import { runningServers } from '../src/server-process.ts';

function children(): readonly string[] {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'ProcessWrap');
}

afterAll(async () => {
  expect(runningServers(), 'servers that the test file did not close').toEqual([]);
  // A process that was told to end may still need a moment for it.
  await vi.waitFor(
    () => expect(children(), 'child processes that the test file left running').toEqual([]),
    { timeout: 3_000 },
  );
});
