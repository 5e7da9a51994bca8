/**
 * The documents keep their word: their programs run, as they stand there, against real servers;
 * their tables say what the code says; the files that they name are there.
 */
import { execFile } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { promisify } from 'node:util';
import { type Stack, startStack } from '@cache/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { documents, migrationsOf, programsOf, repository } from './programs.ts';

const exec = promisify(execFile);
const programs = (await Promise.all(documents.map(programsOf))).flat();

describe('the programs of the documents', () => {
  let stack: Stack;
  let migrations: string;

  beforeAll(async () => {
    migrations = await mkdtemp(join(tmpdir(), 'cache-migrations-'));
    await cp(join(repository, 'supabase/migrations'), migrations, { recursive: true });
    const own = (await Promise.all(documents.map(migrationsOf))).flat();
    await writeFile(join(migrations, '20991231000000_documents.sql'), own.join('\n'));
    stack = await startStack({ supabase: { migrations } });
  });

  afterAll(async () => {
    await stack.close();
    await rm(migrations, { recursive: true });
  });

  test.each(programs)(
    '$name runs and prints what it says',
    { timeout: 60_000 },
    async (program) => {
      const env = {
        ...process.env,
        NODE_OPTIONS: '',
        REDIS_URL: stack.redis.url,
        // A machine that is busy with other tests is no slow Redis.
        REDIS_TIMEOUT_MS: '2000',
        SUPABASE_URL: stack.supabase.url,
        SUPABASE_SECRET_KEY: stack.supabase.secretKey,
        PORT: '0',
      };
      const { stdout } = await exec(
        process.execPath,
        ['--conditions=@cache/source', '--input-type=module-typescript', '--eval', program.code],
        { cwd: repository, env, timeout: 50_000 },
      );
      if (program.prints !== undefined) expect(stdout).toBe(program.prints);
    },
  );

  test('are there in every document that should have one', async () => {
    for (const document of documents) {
      expect((await programsOf(document)).length, document).toBeGreaterThan(0);
    }
  });
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
      const attacks = existsSync(path) && readFileSync(path, 'utf8').includes(`${number}: `);
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
