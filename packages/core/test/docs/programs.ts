/**
 * The programs that the documents show, as they stand there: each fenced `ts` block behind the
 * comment `<!-- run -->`, with the `text` block behind `<!-- prints -->` that follows it.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repository: string = fileURLToPath(new URL('../../../..', import.meta.url));

/** The documents that have programs. */
export const documents = [
  'README.md',
  'docs/mapped-tables.md',
  'packages/audio/README.md',
  'packages/core/README.md',
  'packages/http/README.md',
  'packages/testing/README.md',
] as const;

export interface Program {
  /** `README.md, program 1`. */
  readonly name: string;
  readonly code: string;
  /** What it says that it prints; `undefined` where it says nothing. */
  readonly prints: string | undefined;
}

const PROGRAM =
  /<!-- run -->\n+```ts\n([\s\S]*?)```(?:\n+<!-- prints -->\n+```text\n([\s\S]*?)```)?/g;

export async function programsOf(document: string): Promise<readonly Program[]> {
  const text = await readFile(join(repository, document), 'utf8');
  return [...text.matchAll(PROGRAM)].map(([, code = '', prints], index) => ({
    name: `${document}, program ${index + 1}`,
    code,
    prints,
  }));
}

const MIGRATION = /<!-- migration -->\n+```sql\n([\s\S]*?)```/g;

/** The migrations that programs of a document need: each `sql` block behind `<!-- migration -->`. */
export async function migrationsOf(document: string): Promise<readonly string[]> {
  const text = await readFile(join(repository, document), 'utf8');
  return [...text.matchAll(MIGRATION)].map(([, sql = '']) => sql);
}
