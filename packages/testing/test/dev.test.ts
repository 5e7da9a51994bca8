import { readFile } from 'node:fs/promises';
import { MISSING_REDIS } from '@cache/testing';
import { expect, test } from 'vitest';

const repository = new URL('../../../', import.meta.url);

test('the repository says the same line as the package where there is no redis-server', async () => {
  const script = await readFile(new URL('scripts/dev.mjs', repository), 'utf8');
  expect(script).toContain(`'${MISSING_REDIS}'`);
});

test('templates are made anew for another version of @supabase/lite', async () => {
  const manifest: { dependencies: Record<string, string> } = JSON.parse(
    await readFile(new URL('packages/testing/package.json', repository), 'utf8'),
  );
  const source = await readFile(
    new URL('packages/testing/src/supabase-template.ts', repository),
    'utf8',
  );
  expect(source).toContain(`LITE_VERSION = '${manifest.dependencies['@supabase/lite']}'`);
});
