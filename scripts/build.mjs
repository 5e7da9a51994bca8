/**
 * Builds the package in the current directory: an empty `dist`, then the compiler, then what
 * the compiler leaves behind (Lua scripts; the migrations, for a package that ships them).
 * `dist` goes first, because what an earlier source left there would be published.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, globSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync('package.json', 'utf8'));

rmSync('dist', { recursive: true, force: true });

const compiler = join(root, 'node_modules/typescript/bin/tsc');
const { status } = spawnSync(process.execPath, [compiler, '-b', 'tsconfig.build.json'], {
  stdio: 'inherit',
});
if (status !== 0) process.exit(status ?? 1);

for (const file of globSync('**/*.lua', { cwd: 'src' }))
  cpSync(join('src', file), join('dist', file));

const shipsMigrations = Object.keys(manifest.exports ?? {}).some((path) =>
  path.startsWith('./supabase/'),
);
if (shipsMigrations) {
  cpSync(join(root, 'supabase/migrations'), 'dist/supabase/migrations', { recursive: true });
}
for (const program of Object.values(manifest.bin ?? {})) {
  if (existsSync(program)) chmodSync(program, 0o755);
}
