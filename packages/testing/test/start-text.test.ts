/** What `npm start` shows, and what a shell makes of it. */
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { type StartText, startText } from '../src/start-text.ts';

const redis = { url: 'redis://:p%40ss@127.0.0.1:7000' };
const supabase = { url: 'http://127.0.0.1:8000', secretKey: "it's $HOME" };
const service: StartText['service'] = {
  url: 'http://127.0.0.1:3000',
  adminToken: 'made-up',
  adminTokenIsNew: true,
  apiToken: undefined,
};

function shown(
  embedded: Partial<StartText['embedded']>,
  own: Partial<StartText['service']> = {},
): string {
  return startText({
    embedded: { env: {}, redis: undefined, supabase: undefined, ...embedded },
    service: { ...service, ...own },
    paste: ({ url, api, admin }) => [`-i ${url}/things${api}`, `${url}/admin${admin}`],
    data: '.data',
    seconds: 1,
  });
}

const exportOf = (text: string): string => /^ +(export .*)$/m.exec(text)?.[1] ?? '';

/** What a shell has of these variables after the line was pasted. */
function pasted(line: string, ...names: readonly string[]): readonly string[] {
  const print = names.map((name) => `"$${name}"`).join(' ');
  const script = `${line}; printf '%s\\n' ${print}`;
  const shell = execFileSync('/bin/sh', ['-c', script], { env: {}, encoding: 'utf8' });
  return shell.trimEnd().split('\n');
}

describe('the line to paste into another shell', () => {
  test('says where the embedded servers are, and how to get in, whatever is in a key', () => {
    const line = exportOf(shown({ redis, supabase }));
    expect(
      pasted(line, 'SUPABASE_URL', 'SUPABASE_SECRET_KEY', 'REDIS_URL', 'CACHE_ADMIN_TOKEN', 'URL'),
    ).toEqual([supabase.url, supabase.secretKey, redis.url, 'made-up', service.url]);
  });

  test('turns Redis off where there is none', () => {
    const line = exportOf(shown({ env: { REDIS_URL: 'off' }, supabase }));
    expect(pasted(line, 'REDIS_URL')).toEqual(['off']);
  });

  test('repeats nothing that the environment configures', () => {
    const env = { SUPABASE_URL: 'https://x', SUPABASE_SECRET_KEY: 'real', REDIS_URL: 'redis://r' };
    const text = shown({ env }, { adminTokenIsNew: false });
    expect(exportOf(text)).toBe(`export URL=${service.url}`);
    expect(text).not.toMatch(/real|redis:\/\/r/);
  });
});

test('every call to paste is silent about its progress', () => {
  const calls = shown({ redis, supabase }).match(/^ +curl .*$/gm) ?? [];
  expect(calls).toHaveLength(2);
  expect(calls.filter((call) => !call.includes('curl -s '))).toEqual([]);
});

test('a call bears the token that it needs, and none where none is set', () => {
  const text = shown({ env: { CACHE_METRICS_TOKEN: ' ' } }, { apiToken: 'secret' });
  expect(text).toContain(`curl -s -i ${service.url}/things -H 'authorization: Bearer secret'`);
  expect(text).toContain(`curl -s ${service.url}/admin -H 'authorization: Bearer made-up'`);
  expect(shown({})).toContain(`curl -s -i ${service.url}/things\n`);
});
