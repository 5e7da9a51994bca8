/**
 * The documents keep their word: their tables say what the code says; the files that they name are
 * there. That their programs run, as they stand there, is tested with the published packages.
 */
import { execFile } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { documents, programsOf, repository } from './programs.ts';

const exec = promisify(execFile);

test('every document that should have programs has one', async () => {
  for (const document of documents) {
    expect((await programsOf(document)).length, document).toBeGreaterThan(0);
  }
});

test('the tables that are made from the code are what the code says', async () => {
  const args = ['--conditions=@cache/source', 'scripts/docs.mjs', '--check'];
  const run = exec(process.execPath, args, { cwd: repository, timeout: 15_000 });
  await expect(run).resolves.toMatchObject({ stdout: '' });
});

const texts = [
  ...globSync(['*.md', 'docs/**/*.md', 'packages/*/*.md'], { cwd: repository }),
  '.env.example',
];

describe.each(texts.filter((document) => document.endsWith('.md')))('%s', (document) => {
  const text = readFileSync(join(repository, document), 'utf8');

  test('links to files and headings that are there', () => {
    const missing = [...text.matchAll(/\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]*))?\)/g)]
      .filter(([, file = '', heading]) => {
        const path = file === '' ? document : normalize(join(dirname(document), file));
        if (!existsSync(join(repository, path))) return true;
        return heading !== undefined && !headingsOf(path).includes(heading);
      })
      .map(([link]) => link);
    expect(missing).toEqual([]);
  });

  test('names files of the repository that are there', () => {
    const named = /`((?:packages|apps|scripts|supabase|docs|docker)\/[\w@./-]+\.\w+)`/g;
    const missing = [...text.matchAll(named)]
      .map(([, path = '']) => path)
      .filter((path) => !existsSync(join(repository, path)));
    expect(missing).toEqual([]);
  });
});

/** As a host of repositories makes anchors of them. */
function headingsOf(path: string): readonly string[] {
  const text = readFileSync(join(repository, path), 'utf8').replace(/^```[\s\S]*?^```/gm, '');
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(' ', '-'),
  );
}

test('every guarantee names test files that attack it by its number', () => {
  const text = readFileSync(join(repository, 'docs/guarantees.md'), 'utf8');
  const sections = text.split(/^## (?=G\d)/m).slice(1);
  expect(sections.map((section) => /^G\d+/.exec(section)?.[0])).toEqual(
    Array.from({ length: 12 }, (_, index) => `G${index + 1}`),
  );
  const unfounded: string[] = [];
  for (const section of sections) {
    const number = /^G\d+/.exec(section)?.[0] ?? '';
    const files = [...section.matchAll(/`([\w/.@-]+\.test\.ts)`/g)];
    if (files.length === 0) unfounded.push(`${number} names no test`);
    for (const [, file = ''] of files) {
      const path = join(repository, file);
      const title = new RegExp(`\\b${number}(, G\\d+)*: `);
      const attacks = existsSync(path) && title.test(readFileSync(path, 'utf8'));
      if (!attacks) unfounded.push(`${number}: ${file}`);
    }
  }
  expect(unfounded).toEqual([]);
});

test('every event is explained to operators', () => {
  const source = readFileSync(join(repository, 'packages/core/src/events.ts'), 'utf8');
  const types = [...source.matchAll(/readonly type: '([a-z0-9-]+)'/g)].map(([, type = '']) => type);
  const text = readFileSync(join(repository, 'docs/operations.md'), 'utf8');
  expect(types.length).toBeGreaterThan(10);
  expect(types.filter((type) => !text.includes(`\`${type}\``))).toEqual([]);
});

test('no document speaks of a place outside the repository', () => {
  const outside = /\.\.\/shared|\/work\/|\/home\/|\/root\/|\/tmp\//;
  const leaky = texts.filter((document) => {
    const path = join(repository, document);
    return existsSync(path) && outside.test(readFileSync(path, 'utf8'));
  });
  expect(leaky).toEqual([]);
});
