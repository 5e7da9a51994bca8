/** Recorded calls: one JSON object a line. A line that can't be used is named by its number. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { momentSchema, roleSchema, type Turn } from '../conversations.ts';

/** A turn before it has an id. */
export type RecordedTurn = Omit<Turn, 'id'>;

const callSchema = z.looseObject({
  id: z.string().min(1),
  turns: z.array(z.object({ role: roleSchema, text: z.string(), at: momentSchema })),
});

export interface RecordedCall {
  readonly id: string;
  readonly turns: readonly RecordedTurn[];
  /** Whatever else the line says. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** The file can't be used. The message is one line, without what stands in the file. */
export class CallsFileError extends Error {
  override readonly name = 'CallsFileError';
}

/** @throws CallsFileError */
export async function readCalls(path: string): Promise<readonly RecordedCall[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new CallsFileError(`${path} can not be read: ${reason}`);
  });
  const calls = parseCalls(text, path);
  if (calls.length === 0) throw new CallsFileError(`${path} has no calls`);
  return calls;
}

/** @throws CallsFileError */
export function parseCalls(text: string, path: string): readonly RecordedCall[] {
  const calls: RecordedCall[] = [];
  const lineOf = new Map<string, number>();
  for (const [index, line] of text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    if (line.trim() === '') continue;
    const number = index + 1;
    const refuse = (why: string) => new CallsFileError(`${path}, line ${number}: ${why}`);
    const call = parseLine(line, refuse);
    const before = lineOf.get(call.id);
    if (before !== undefined) throw refuse(`its id is already that of line ${before}`);
    lineOf.set(call.id, number);
    calls.push(call);
  }
  return calls;
}

function parseLine(line: string, refuse: (why: string) => CallsFileError): RecordedCall {
  const parsed = callSchema.safeParse(jsonOf(line, refuse));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const path = (issue?.path ?? [])
      .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
      .join('')
      .replace(/^\./, '');
    throw refuse(`${path === '' ? 'the call' : path}: ${issue?.message}`);
  }
  const { id, turns, ...metadata } = parsed.data;
  return { id, turns, metadata };
}

function jsonOf(line: string, refuse: (why: string) => CallsFileError): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw refuse('not JSON');
  }
}
