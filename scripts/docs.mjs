/**
 * The tables in the documents that are made from the code:
 *
 *   node --conditions=@cache/source scripts/docs.mjs            writes them
 *   node --conditions=@cache/source scripts/docs.mjs --check    fails where they are stale
 *
 * The test files under each guarantee are found by their titles, and are written but not checked
 * here: a test sees to it that those which are named attack it. A table stands between `<!-- made: NAME -->` and `<!-- /made -->`. The table of routes is not
 * made but compared: each documented route of the service has to be in it, and no other.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { audioVariables } from '@cache/audio';
import { createCache, environmentVariables, supabase } from '@cache/core';
import { serviceVariables } from '@cache/http';
import { createApp } from '../apps/demo/src/app.ts';
import { crmVariables } from '../apps/demo/src/crm-env.ts';

const root = new URL('../', import.meta.url);
const check = process.argv.includes('--check');
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const code = (text) => (text === '' ? '' : `\`${text}\``);
const table = (head, rows) =>
  [head, head.map(() => '---'), ...rows]
    .map((row) => `| ${row.map(cell).join(' | ')} |`)
    .join('\n');

/** Of the packages, and of the demo's CRM. */
const everyVariable = [
  ...environmentVariables,
  ...serviceVariables,
  ...audioVariables,
  ...crmVariables,
];

function variables() {
  return table(
    ['variable', 'default', 'what it is'],
    everyVariable.map((variable) => [
      code(variable.name),
      code(variable.default),
      variable.description,
    ]),
  );
}

/** Nothing is asked of this Supabase: what is wanted is the service's own description of itself. */
const cache = createCache({ l3: supabase({ url: 'http://127.0.0.1:9', key: 'none' }) });

function metrics() {
  return table(
    ['metric', 'type', 'labels', 'what it is'],
    cache.registry
      .getMetricsAsArray()
      .map(({ name, type, labelNames = [], help }) => [
        code(name),
        type,
        labelNames.filter((label) => label !== 'le').join(', '),
        help,
      ]),
  );
}

async function routes() {
  const app = createApp({ cache, logger: quiet });
  const { paths } = await (await app.request('/openapi.json')).json();
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
}

const MADE = {
  'README.md': { variables },
  'docs/operations.md': { metrics },
};

/** Whose titles bear the guarantee's number. */
function attacksOn(number, tests) {
  const title = new RegExp(`\\b${number}(, G\\d+)*: `);
  const files = tests.filter(([, text]) => title.test(text)).map(([file]) => file);
  return files
    .sort()
    .map((file) => `- \`${file}\``)
    .join('\n');
}

function writeAttacks() {
  const path = new URL('docs/guarantees.md', root);
  const files = globSync('{packages,apps}/*/test/**/*.test.ts', { cwd: fileURLToPath(root) });
  const tests = files.map((file) => [file, readFileSync(new URL(file, root), 'utf8')]);
  const text = readFileSync(path, 'utf8').replace(
    /(<!-- tests: (G\d+) -->\n)[\s\S]*?(<!-- \/tests -->)/g,
    (_, begin, number, end) => `${begin}\nAttacked by:\n\n${attacksOn(number, tests)}\n\n${end}`,
  );
  writeFileSync(path, text);
}

const problems = [];
if (!check) writeAttacks();
for (const [file, tables] of Object.entries(MADE)) {
  const path = fileURLToPath(new URL(file, root));
  let text = readFileSync(path, 'utf8');
  for (const [name, make] of Object.entries(tables)) {
    const place = new RegExp(`(<!-- made: ${name} -->\n)[\\s\\S]*?(<!-- /made -->)`);
    if (!place.test(text)) problems.push(`${file} has no place for the table "${name}"`);
    text = text.replace(place, (_, begin, end) => `${begin}\n${make()}\n\n${end}`);
  }
  if (text === readFileSync(path, 'utf8')) continue;
  if (check) problems.push(`${file} is stale: run scripts/docs.mjs`);
  else writeFileSync(path, text);
}

const readme = readFileSync(new URL('README.md', root), 'utf8');
const shown = [...readme.matchAll(/^\| `((?:GET|POST|PUT|PATCH|DELETE) \/[^`]*)` \|/gm)].map(
  ([, route]) => route,
);
const served = [...(await routes()), 'GET /openapi.json', 'GET /docs'];
for (const route of served) {
  if (!shown.includes(route)) problems.push(`README.md lacks the route ${route}`);
}
for (const route of shown) {
  if (!served.includes(route)) problems.push(`README.md has ${route}, which is not served`);
}

const known = new Set(everyVariable.map(({ name }) => name));
// Of the compose file's own database.
known.add('POSTGRES_PASSWORD');
const example = readFileSync(new URL('.env.example', root), 'utf8');
for (const [, name] of example.matchAll(/^#?([A-Z][A-Z_]+)=/gm)) {
  if (!known.has(name)) problems.push(`.env.example has ${name}, which nothing reads`);
}

await cache.close({ deadline: 0 });
for (const problem of problems) process.stderr.write(`${problem}\n`);
process.exitCode = problems.length > 0 ? 1 : 0;
