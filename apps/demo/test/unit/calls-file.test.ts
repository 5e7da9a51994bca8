import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { CallsFileError, parseCalls, readCalls } from '../../src/replay/calls-file.ts';

const line = (call: object): string => JSON.stringify(call);
const turn = { role: 'caller', text: 'hi', at: 1 };

describe('a file of recorded calls', () => {
  test('keeps what else a line says, and takes empty lines, CRLF and a byte order mark', () => {
    const text = `\uFEFF${line({ id: 'a', turns: [turn], scenario: ['x'] })}\r\n\r\n${line({ id: 'b', turns: [] })}`;
    expect(parseCalls(text, 'f')).toEqual([
      { id: 'a', turns: [turn], metadata: { scenario: ['x'] } },
      { id: 'b', turns: [], metadata: {} },
    ]);
  });

  test.each([
    ['{', 'not JSON'],
    ['[]', 'the call: '],
    [line({ turns: [] }), 'id: '],
    [line({ id: '', turns: [] }), 'id: '],
    [line({ id: 'x' }), 'turns: '],
    [line({ id: 'x', turns: [turn, { ...turn, role: 'robot' }] }), 'turns[1].role: '],
    [line({ id: 'x', turns: [{ ...turn, at: 'now' }] }), 'turns[0].at: '],
    [line({ id: 'good', turns: [] }), 'its id is already that of line 1'],
  ])('with the bad line %# says which, and why', (bad, why) => {
    const text = `${line({ id: 'good', turns: [] })}\n\n${bad}`;
    expect(() => parseCalls(text, 'calls.jsonl')).toThrow(
      expect.objectContaining({ message: expect.stringContaining(`calls.jsonl, line 3: ${why}`) }),
    );
  });

  test('that is not there, or has nothing, says so in one line', async () => {
    await expect(readCalls('/nowhere/calls.jsonl')).rejects.toThrow(CallsFileError);
    await expect(readCalls('/dev/null')).rejects.toThrow('/dev/null has no calls');
  });

  test('ships with the project: twenty calls, of all roles', async () => {
    const example = fileURLToPath(new URL('../../data/calls.jsonl', import.meta.url));
    const calls = await readCalls(example);
    const roles = new Set(calls.flatMap(({ turns }) => turns.map(({ role }) => role)));
    expect([calls.length, roles]).toEqual([20, new Set(['caller', 'agent', 'tool', 'system'])]);
  });
});
