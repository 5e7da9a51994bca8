/** The image of the service: what its build copies is what the repository has. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const ROOT = new URL('../../../../', import.meta.url);
const DOCKERFILE = readFileSync(new URL('Dockerfile', ROOT), 'utf8');
const WORKSPACES = ['packages', 'apps'].flatMap((folder) =>
  readdirSync(new URL(`${folder}/`, ROOT)).map((name) => `${folder}/${name}`),
);

/** After `word`, what is named until the line that does not go on. */
function namedAfter(word: string): string {
  return new RegExp(`${word}(.*)`).exec(DOCKERFILE)?.[1] ?? '';
}

test('npm ci finds the manifest of every workspace that the lock file names', () => {
  const missing = WORKSPACES.filter(
    (name) => !DOCKERFILE.includes(`COPY ${name}/package.json ${name}/`),
  );
  expect(missing).toEqual([]);
});

test('each workspace is either in the image, with what was built of it, or taken out', () => {
  const kept = WORKSPACES.filter((name) => namedAfter('workspaces=').includes(`"${name}"`));
  const removed = namedAfter('rm -r ').split(' ');
  expect(WORKSPACES.filter((name) => kept.includes(name) === removed.includes(name))).toEqual([]);
  for (const name of kept) {
    expect(DOCKERFILE).toContain(`COPY --from=build /app/${name}/dist ${name}/dist`);
  }
});

test('no dependency is left that would be looked for in the registry under the name of a workspace', () => {
  const deleted = /'optionalDependencies\.(\S+)' --workspace apps\/demo/.exec(DOCKERFILE)?.[1];
  const text = readFileSync(new URL('apps/demo/package.json', ROOT), 'utf8');
  const manifest: unknown = JSON.parse(text);
  expect(manifest).toMatchObject({ optionalDependencies: { '@cache/espeak': '0.1.0' } });
  expect(deleted).toBe('@cache/espeak');
});
