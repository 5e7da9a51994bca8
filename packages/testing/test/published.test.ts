/**
 * The packages as somebody gets them who installs them: built, packed, unpacked into an empty
 * folder outside the repository, beside nothing but the dependencies that they declare.
 */
import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const repository = fileURLToPath(new URL('../../..', import.meta.url));
const packages = ['core', 'http', 'testing'] as const;
let folder = '';

interface Manifest {
  readonly engines?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

async function exec(file: string, args: readonly string[], cwd: string): Promise<string> {
  const env = { ...process.env, NODE_OPTIONS: '', TURBO_TELEMETRY_DISABLED: '1' };
  const run = promisify(execFile)(file, [...args], { cwd, env, maxBuffer: 1e8 });
  return await run.then(
    ({ stdout }) => stdout,
    (error: { stdout: string; stderr: string }) => {
      throw new Error(`${file} ${args.join(' ')}\n${error.stdout}\n${error.stderr}`);
    },
  );
}

/** Where the repository has a dependency of one of its packages. */
async function installed(name: string, by: string): Promise<string> {
  for (const from of [join(repository, 'packages', by), repository]) {
    const path = join(from, 'node_modules', name);
    if (await stat(path).catch(() => undefined)) return path;
  }
  throw new Error(`${name}, which @cache/${by} declares, is not installed`);
}

async function link(name: string, target: string): Promise<void> {
  const path = join(folder, 'node_modules', name);
  await mkdir(dirname(path), { recursive: true });
  await symlink(target, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}

async function manifestOf(name: string): Promise<Manifest> {
  const path = join(folder, 'node_modules/@cache', name, 'package.json');
  const manifest: Manifest = JSON.parse(await readFile(path, 'utf8'));
  return manifest;
}

async function unpack(name: string): Promise<void> {
  const target = join(folder, 'node_modules/@cache', name);
  await mkdir(target, { recursive: true });
  const source = join(repository, 'packages', name);
  await exec('npm', ['pack', '--silent', '--pack-destination', folder], source);
  const [tarball] = globSync(`cache-${name}-*.tgz`, { cwd: folder });
  await exec('tar', ['-xzf', String(tarball), '-C', target, '--strip-components=1'], folder);
  const { dependencies, peerDependencies } = await manifestOf(name);
  for (const dependency of Object.keys({ ...dependencies, ...peerDependencies })) {
    if (dependency.startsWith('@cache/')) continue;
    await link(dependency, await installed(dependency, name));
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cache-published-'));
  const build = ['run', 'build', '--filter=./packages/*', '--output-logs=errors-only'];
  await exec(join(repository, 'node_modules/.bin/turbo'), build, repository);
  for (const name of packages) await unpack(name);
  await link('@types/node', join(repository, 'node_modules/@types/node'));
}, 120_000);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe.each(packages)('@cache/%s', (name) => {
  test('holds what its sources say and nothing else', async () => {
    const unpacked = join(folder, 'node_modules/@cache', name);
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
    const files = globSync('**', { cwd: unpacked, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(unpacked.length + 1));
    expect(files.sort()).toEqual(
      [...compiled, ...scripts, ...migrations, 'LICENSE', 'README.md', 'package.json'].sort(),
    );
  });

  test('says which Node it runs on', async () => {
    expect((await manifestOf(name)).engines).toEqual({ node: '>=22.19' });
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

const lite = createRequire(join(repository, 'node_modules/@supabase/lite/package.json'));
const compilers: Readonly<Record<string, string>> = {
  '5.9': lite.resolve('typescript/lib/tsc.js'),
  '7.0': join(repository, 'node_modules/typescript/bin/tsc'),
};

test.each(Object.keys(compilers))(
  'the types of all of them check with TypeScript %s, those of their dependencies included',
  async (version) => {
    const compiler = compilers[version] ?? '';
    expect(await exec(process.execPath, [compiler, '--version'], folder)).toContain(version);
    const names = packages.map((name) => `@cache/${name}`);
    await writeFile(
      join(folder, 'esm.mts'),
      names.map((name, i) => `export * as all${i} from '${name}';\n`).join(''),
    );
    await writeFile(
      join(folder, 'cjs.cts'),
      names.map((name, i) => `export import all${i} = require('${name}');\n`).join(''),
    );
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
      JSON.stringify({ compilerOptions, files: ['esm.mts', 'cjs.cts'] }),
    );
    expect(await exec(process.execPath, [compiler, '-p', '.'], folder)).toBe('');
  },
  60_000,
);
