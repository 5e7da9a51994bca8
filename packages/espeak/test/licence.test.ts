/** This package is GPL because of the program that it brings; the others are not, and stay so. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const PACKAGES = fileURLToPath(new URL('../../', import.meta.url));
const read = (...path: string[]) => readFileSync(join(PACKAGES, ...path), 'utf8');

it('no package under MIT imports the program, or this package', () => {
  const sources = globSync('{audio,core,http,testing}/src/**/*.ts', { cwd: PACKAGES });
  expect(sources.length).toBeGreaterThan(100);
  const imports = /(?:from|import)\s*\(?\s*['"](?:@cache\/espeak|espeak-ng)/;
  expect(sources.filter((file) => imports.test(read(file)))).toEqual([]);
  for (const name of ['audio', 'core', 'http', 'testing']) {
    const manifest = JSON.parse(read(name, 'package.json'));
    const { license, dependencies, peerDependencies, optionalDependencies } = manifest;
    expect(license).toBe('MIT');
    const needed = Object.keys({ ...dependencies, ...peerDependencies, ...optionalDependencies });
    expect(needed.filter((other) => other.includes('espeak'))).toEqual([]);
  }
});

it.each(['espeak', '../apps/audiobooks'])(
  '%s says what it is, and brings the text of its licence',
  (name) => {
    expect(JSON.parse(read(name, 'package.json'))).toMatchObject({ license: 'GPL-3.0-or-later' });
    expect(read(name, 'LICENSE')).toContain('GNU GENERAL PUBLIC LICENSE');
  },
);
