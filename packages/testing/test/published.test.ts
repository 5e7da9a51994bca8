/**
 * The packages as somebody gets them who installs them: built, packed, and installed by npm in
 * an empty folder outside the repository. There they hold what they should, load both ways, run
 * the programs of the READMEs, and their types check with two compilers.
 *
 * Their direct dependencies are installed in the versions that the repository has locked, so
 * that a release of somebody else's does not make this test fail or pass.
 */
import { execFile } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire, stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Stack, startStack } from '@cache/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  documents,
  migrationsOf,
  type Program,
  programsOf,
} from '../../core/test/docs/programs.ts';

const repository = fileURLToPath(new URL('../../..', import.meta.url));
const packages = ['core', 'http', 'testing', 'audio'] as const;
const programs = (await Promise.all(documents.map(programsOf))).flat();
let folder = '';

interface Manifest {
  readonly version?: string;
  readonly engines?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
}

async function exec(
  file: string,
  args: readonly string[],
  cwd: string,
  variables: Readonly<Record<string, string>> = {},
): Promise<string> {
  const env = {
    ...process.env,
    NODE_OPTIONS: '',
    // What is compiled in a folder that is new in every run is of use only within it.
    NODE_COMPILE_CACHE: join(folder, '.compiled'),
    DO_NOT_TRACK: '1',
    TURBO_TELEMETRY_DISABLED: '1',
    ...variables,
  };
  const run = promisify(execFile)(file, [...args], { cwd, env, maxBuffer: 1e8 });
  return await run.then(
    ({ stdout }) => stdout,
    (error: { stdout: string; stderr: string }) => {
      throw new Error(`${file} ${args.join(' ')}\n${error.stdout}\n${error.stderr}`);
    },
  );
}

async function manifestIn(path: string): Promise<Manifest> {
  const manifest: Manifest = JSON.parse(await readFile(join(path, 'package.json'), 'utf8'));
  return manifest;
}

/** The version that the repository has of a dependency of one of its packages. */
async function lockedVersion(name: string, by: string): Promise<string> {
  const places = [join(repository, 'packages', by), repository];
  const found = places.map((place) => join(place, 'node_modules', name)).find(existsSync);
  if (found === undefined) throw new Error(`${name}, which @cache/${by} declares, is missing`);
  return (await manifestIn(found)).version ?? '';
}

async function pack(): Promise<void> {
  const which = packages.flatMap((name) => ['--workspace', `packages/${name}`]);
  await exec('npm', ['pack', '--silent', '--pack-destination', folder, ...which], repository);
}

/** What somebody's package.json would say who uses all of them, and TypeScript. */
async function consumer(): Promise<object> {
  const tarballs: Record<string, string> = {};
  const overrides: Record<string, string> = {};
  for (const name of packages) {
    const [tarball] = globSync(`cache-${name}-*.tgz`, { cwd: folder });
    tarballs[`@cache/${name}`] = `file:./${tarball}`;
    const { dependencies = {} } = await manifestIn(join(repository, 'packages', name));
    for (const dependency of Object.keys(dependencies)) {
      if (dependency.startsWith('@cache/')) continue;
      overrides[dependency] = await lockedVersion(dependency, name);
    }
  }
  const types = await lockedVersion('@types/node', 'core');
  return {
    private: true,
    dependencies: { ...tarballs, '@types/node': types },
    overrides,
  };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cache-published-'));
  const build = ['run', 'build', '--filter=./packages/*', '--output-logs=errors-only'];
  await exec(join(repository, 'node_modules/.bin/turbo'), build, repository);
  await pack();
  await writeFile(join(folder, 'package.json'), JSON.stringify(await consumer()));
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  await exec('npm', ['install', '--prefer-offline', '--ignore-scripts', ...quiet], folder);
}, 180_000);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe.each(packages)('@cache/%s', (name) => {
  test('holds what its sources say and nothing else', async () => {
    const installed = join(folder, 'node_modules/@cache', name);
    const source = join(repository, 'packages', name, 'src');
    const compiled = globSync('**/*.ts', { cwd: source }).flatMap((file) => {
      const stem = join('dist', file.slice(0, -'.ts'.length));
      return [`${stem}.js`, `${stem}.d.ts`];
    });
    const scripts = globSync('**/*.lua', { cwd: source }).map((file) => join('dist', file));
    const migrations =
      name === 'core'
        ? (await readdir(join(repository, 'supabase/migrations'))).map((file) =>
            join('dist/supabase/migrations', file),
          )
        : [];
    const files = globSync('**', { cwd: installed, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(installed.length + 1))
      .filter((file) => !file.startsWith('node_modules/'));
    expect(files.sort()).toEqual(
      [...compiled, ...scripts, ...migrations, 'LICENSE', 'README.md', 'package.json'].sort(),
    );
  });

  test('says which Node it runs on', async () => {
    const { engines } = await manifestIn(join(folder, 'node_modules/@cache', name));
    expect(engines).toEqual({ node: '>=22.19' });
  });

  test('loads as ESM and through require, and is the same either way', async () => {
    await writeFile(
      join(folder, `${name}.cjs`),
      `const required = require('@cache/${name}');
       import('@cache/${name}').then((imported) => {
         console.log(JSON.stringify(Object.keys(imported).filter((key) => imported[key] === required[key])));
       });`,
    );
    const same: unknown = JSON.parse(await exec(process.execPath, [`${name}.cjs`], folder));
    const source: object = await import(`@cache/${name}`);
    expect(same).toEqual(Object.keys(source).sort());
  });
});

describe('the programs of the READMEs', () => {
  let stack: Stack;
  beforeAll(async () => {
    const migrations = join(folder, 'node_modules/@cache/core/dist/supabase/migrations');
    // The place that a program names in the repository.
    const place = join(folder, 'supabase/migrations');
    await cp(migrations, place, { recursive: true });
    const own = (await Promise.all(documents.map(migrationsOf))).flat();
    await writeFile(join(place, '20991231000000_documents.sql'), own.join('\n'));
    stack = await startStack({ supabase: { migrations: place } });
  }, 60_000);

  afterAll(async () => {
    await stack.close();
  });

  async function run({ code, prints }: Program, file: string): Promise<void> {
    const variables = {
      REDIS_URL: stack.redis.url,
      // A machine that is busy with other tests is no slow Redis.
      REDIS_TIMEOUT_MS: '2000',
      SUPABASE_URL: stack.supabase.url,
      SUPABASE_SECRET_KEY: stack.supabase.secretKey,
    };
    const script = stripTypeScriptTypes(code);
    await writeFile(join(folder, file), file.endsWith('.cjs') ? required(script) : script);
    const printed = await exec(process.execPath, [file], folder, variables);
    if (prints !== undefined) expect(printed).toBe(prints);
  }

  test.each(programs.map((program, index) => ({ ...program, index })))(
    '$name runs as an ES module',
    { timeout: 60_000 },
    (program) => run(program, `program-${program.index}.mjs`),
  );

  test.each(programs.slice(0, 1))('$name runs through require', { timeout: 60_000 }, (program) =>
    run(program, 'program.cjs'),
  );
});

/** The same program as CommonJS, which has no `await` outside of a function. */
function required(script: string): string {
  const body = script.replace(
    /^import (\{[^}]*\}) from ('[^']*');$/gm,
    (_, names: string, from: string) => `const ${names} = require(${from});`,
  );
  return `(async () => {\n${body}\n})();\n`;
}

const lite = createRequire(join(repository, 'node_modules/@supabase/lite/package.json'));
const compilers: Readonly<Record<string, string>> = {
  '5.9': lite.resolve('typescript/lib/tsc.js'),
  '7.0': join(repository, 'node_modules/typescript/bin/tsc'),
};

test.each(Object.keys(compilers))(
  'the types of all of them, and the programs of the READMEs, check with TypeScript %s, those of their dependencies included',
  async (version) => {
    const compiler = compilers[version] ?? '';
    expect(await exec(process.execPath, [compiler, '--version'], folder)).toContain(version);
    const names = packages.map((name) => `@cache/${name}`);
    const sources: Record<string, string> = {
      'esm.mts': names.map((name, i) => `export * as all${i} from '${name}';\n`).join(''),
      'cjs.cts': names.map((name, i) => `export import all${i} = require('${name}');\n`).join(''),
    };
    for (const [index, { code }] of programs.entries()) sources[`program-${index}.mts`] = code;
    for (const [file, code] of Object.entries(sources)) await writeFile(join(folder, file), code);
    const compilerOptions = {
      strict: true,
      skipLibCheck: false,
      module: 'nodenext',
      target: 'es2022',
      types: ['node'],
      noEmit: true,
    };
    await writeFile(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: Object.keys(sources) }),
    );
    expect(await exec(process.execPath, [compiler, '-p', '.'], folder)).toBe('');
  },
  90_000,
);
