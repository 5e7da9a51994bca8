/** The table in the README that says where each sentence of the sources lives: it is all there. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const PACKAGE = new URL('../', import.meta.url);
const README = readFileSync(new URL('README.md', PACKAGE), 'utf8');
const TABLE = README.slice(README.indexOf('## Where each sentence'), README.lastIndexOf('\nMIT.'));

/** `file.ts` and `dir/file.lua`, with the names in brackets behind it. */
const PLACE = /`((?:[\w-]+\/)*[\w.-]+\.(?:ts|lua))`(?: \(((?:`[^`]+`(?:, )?)+)\))?/g;

function textOf(file: string): string {
  return readFileSync(new URL(file.startsWith('test/') ? file : `src/${file}`, PACKAGE), 'utf8');
}

it('every file of the table is there, and every name is in the file that it is said to be in', () => {
  const places = [...TABLE.matchAll(PLACE)].map(([, file = '', names = '']) => ({
    file,
    names: [...names.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
  }));
  expect(places.length).toBeGreaterThan(60);
  const missing = places.flatMap(({ file, names }) => {
    const text = textOf(file);
    const isThere = (name: string) =>
      new RegExp(`(?<![\\w/-])${name.replaceAll('.', '\\.')}(?![\\w/-])`).test(text);
    return names.filter((name) => !isThere(name)).map((name) => `${file}: ${name}`);
  });
  expect(missing).toEqual([]);
});

it('every document of the table is there, and every row names where its sentence lives', () => {
  const documents = [...TABLE.matchAll(/\]\((\.\.[^)#]+)(?:#[^)]*)?\)/g)];
  for (const [, path = ''] of documents) readFileSync(new URL(path, PACKAGE));
  expect(documents.length).toBeGreaterThan(4);
  const rows = TABLE.split('\n').filter((line) => /^\| (?!says \|)/.test(line));
  expect(rows.length).toBeGreaterThan(60);
  const PLACED = /`[\w/.-]+\.(?:ts|lua)`|\]\(|@cache\/testing|every module/;
  expect(rows.filter((row) => !PLACED.test(row.split(' | ')[1] ?? ''))).toEqual([]);
});
