/**
 * A copy of the sources that may be broken: everything but what is made or installed. Installed
 * packages are linked, one by one, because the repository's own packages among them have to be
 * those of the copy.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type Mutant, mutated } from './mutants.ts';

const LEFT_OUT = new Set(['node_modules', 'dist', '.git', '.turbo', '.data', 'coverage']);
const OWN = '@cache';

export class Scratch implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async make(repository: string): Promise<Scratch> {
    const path = await mkdtemp(join(tmpdir(), 'cache-mutants-'));
    const filter = (source: string) => !LEFT_OUT.has(basename(source));
    for (const name of await readdir(repository)) {
      if (LEFT_OUT.has(name)) continue;
      await cp(join(repository, name), join(path, name), { recursive: true, filter });
    }
    await linkInstalled(repository, path);
    return new Scratch(path);
  }

  /** Runs with the mutant in its place, and takes it out again. */
  async with<T>(mutant: Mutant, run: () => Promise<T>): Promise<T> {
    const file = join(this.path, mutant.file);
    const text = await readFile(file, 'utf8');
    await writeFile(file, mutated(text, mutant));
    try {
      return await run();
    } finally {
      await writeFile(file, text);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

async function linkInstalled(repository: string, copy: string): Promise<void> {
  await linkAll(join(repository, 'node_modules'), join(copy, 'node_modules'));
  for (const kind of ['packages', 'apps']) {
    const names = await readdir(join(repository, kind));
    for (const name of names) {
      const own = join(repository, kind, name, 'node_modules');
      await linkAll(own, join(copy, kind, name, 'node_modules'));
      await linkOwn(join(copy, kind, name), join(copy, 'node_modules', OWN));
    }
  }
}

async function linkAll(from: string, to: string): Promise<void> {
  const names = await readdir(from).catch(() => []);
  if (names.length === 0) return;
  await mkdir(to, { recursive: true });
  for (const name of names.filter((one) => one !== OWN && one !== '.vite')) {
    await symlink(join(from, name), join(to, name));
  }
}

/** Under the name that its manifest gives it. */
async function linkOwn(workspace: string, folder: string): Promise<void> {
  const text = await readFile(join(workspace, 'package.json'), 'utf8').catch(() => '{}');
  const { name = '' }: { readonly name?: string } = JSON.parse(text);
  if (!name.startsWith(`${OWN}/`)) return;
  await mkdir(folder, { recursive: true });
  await symlink(workspace, join(folder, name.slice(OWN.length + 1)));
}
