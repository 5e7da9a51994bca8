/** TLS, and a user that may do what the cache needs and nothing else. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, type RedisServer, startRedis } from '@cache/testing';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ConfigError } from '../../../src/errors.ts';
import { createCache, memory, redis } from '../../../src/index.ts';
import { address } from '../../../src/model/key.ts';
import { tagId } from '../../../src/model/tags.ts';
import type { RedisTierOptions } from '../../../src/tiers/redis/redis.ts';
import { errorOf, Stage } from '../support.ts';
import { type Opened, openTier, plainClient, writeOf } from './support.ts';

const VALUE = address('v', 'a');
const open: Opened[] = [];

function opened(url: string, options: Partial<RedisTierOptions> = {}): Opened {
  const one = openTier(url, options);
  open.push(one);
  return one;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map(({ tier }) => tier.close()));
});

const run = promisify(execFile);

/** An authority, and certificates of it for a server and a client. */
async function makeCertificates(folder: string): Promise<void> {
  const openssl = (...args: string[]) => run('openssl', args, { cwd: folder });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const authority = ['-x509', '-days', '2', '-subj', '/CN=authority of a test'];
  await openssl('req', ...authority, ...key, '-keyout', 'ca.key', '-out', 'ca.crt');
  await openssl('req', ...authority, ...key, '-keyout', 'other.key', '-out', 'other.crt');
  for (const name of ['server', 'client']) {
    await openssl(
      'req',
      ...key,
      '-subj',
      `/CN=${name}`,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
    );
    await writeFile(join(folder, `${name}.ext`), 'subjectAltName=IP:127.0.0.1,DNS:redis.test\n');
    const sign = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'];
    const files = ['-in', `${name}.csr`, '-extfile', `${name}.ext`, '-out', `${name}.crt`];
    await openssl('x509', '-req', ...sign, ...files);
  }
}

describe('G9: TLS', () => {
  let folder = '';
  let server: RedisServer;
  let url = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cache-tls-'));
    await makeCertificates(folder);
    const port = await freePort();
    server = await startRedis({
      config: {
        'tls-port': String(port),
        'tls-cert-file': join(folder, 'server.crt'),
        'tls-key-file': join(folder, 'server.key'),
        'tls-ca-cert-file': join(folder, 'ca.crt'),
        'tls-auth-clients': 'yes',
      },
    });
    url = `rediss://127.0.0.1:${port}`;
  });
  afterAll(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  const pem = (name: string) => readFile(join(folder, name), 'utf8');

  test('commands and the bus go over it, with certificates of both sides', async () => {
    const tls = {
      ca: await pem('ca.crt'),
      cert: await pem('client.crt'),
      key: await pem('client.key'),
    };
    const { tier, heard } = opened(url, { tls });
    await tier.connect();
    const [read] = await tier.read([VALUE]);
    const write = writeOf(VALUE, (read?.meta.cut ?? 0) + 1, 1);
    expect(await tier.put([{ write }])).toEqual([{ status: 'held' }]);
    await expect.poll(() => heard.messages.length).toBe(1);
    const client = plainClient(server.url);
    const info = await client.info('clients');
    expect(info).toContain('connected_clients:3');
    await client.quit();
  });

  test.for([
    [
      'nobody is trusted beforehand',
      async () => ({ cert: await pem('client.crt'), key: await pem('client.key') }),
    ],
    [
      'another authority is trusted',
      async () => ({
        ca: await pem('other.crt'),
        cert: await pem('client.crt'),
        key: await pem('client.key'),
      }),
    ],
    [
      'the certificate bears another name',
      async () => ({
        ca: await pem('ca.crt'),
        cert: await pem('client.crt'),
        key: await pem('client.key'),
        servername: 'other.test',
      }),
    ],
  ] as const)('where %s, the start says so and what to set', async ([, options]) => {
    const { tier } = opened(url, { tls: await options() });
    const error = await errorOf(tier.connect());
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toMatch(/TLS with Redis failed \([A-Z_]+\): set `tls.ca`/);
  });

  test('a client without a certificate is told nothing, and nothing is sent in the clear', async () => {
    const { tier } = opened(url, { tls: { ca: await pem('ca.crt') } });
    expect(await errorOf(tier.connect())).toBeInstanceOf(Error);
    expect(await errorOf(tier.read([VALUE]))).toBeInstanceOf(Error);
  });

  test('options that make no sense are refused', () => {
    const l1 = memory();
    const messageFor = (l2: Parameters<typeof redis>[0]) => {
      try {
        createCache({ l1, l2: redis(l2) });
      } catch (error) {
        return String(error);
      }
      return 'no error';
    };
    expect(messageFor({ url: 'redis://host', tls: { ca: 'pem' } })).toContain('rediss://');
    expect(messageFor({ url: 'rediss://host', tls: { cert: 'pem' } })).toContain('need each other');
    expect(messageFor({ url: 'rediss://host', tls: { ca: '' } })).toContain('"l2.tls.ca" takes');
  });
});

describe('G9: the Redis user', () => {
  const operations = new URL('../../../../../docs/operations.md', import.meta.url);
  const PASSWORD = 'a-password-of-the-test';
  let stage: Stage;
  let rules: readonly string[] = [];

  beforeAll(async () => {
    stage = await Stage.start();
    const line = /^user cache (?<rules>.+)$/m.exec(await readFile(operations, 'utf8'));
    rules = (line?.groups?.rules ?? '').split(' ').filter((rule) => !rule.startsWith('>'));
  });
  afterAll(() => stage[Symbol.asyncDispose]());
  afterEach(() => stage.closeInstances());

  /** The documented user, with some rules taken from it; and its URL. */
  async function user(
    name: string,
    without: (rule: string) => boolean = () => false,
  ): Promise<string> {
    const given = rules.filter((rule) => !without(rule));
    await stage.redis.call('ACL', 'SETUSER', name, 'reset', `>${PASSWORD}`, ...given);
    return `redis://${name}:${PASSWORD}@127.0.0.1:${stage.stack.redis.port}`;
  }

  const grants = () => rules.filter((rule) => rule.startsWith('+')).map((rule) => rule.slice(1));

  test('the documented list is enough for everything that a cache does, and holds nothing else', async () => {
    expect(rules).toContain('-@all');
    const url = await user('enough');
    await stage.redis.call('ACL', 'LOG', 'RESET');
    await stage.redis.call('CONFIG', 'RESETSTAT');
    const a = await stage.ready({ l2: { url } });
    const b = await stage.ready({ l2: { url }, l1: false });
    const key = stage.key();
    await a.records.set(key, { n: 1 }, { tags: ['one'] });
    expect(await b.records.get(key)).toEqual({ n: 1 });
    await a.logs.create(key, { id: 'a', text: 'one' });
    await a.logs.append(key, { id: 'b', text: 'two' });
    await b.logs.append(key, { id: 'b', text: 'two' });
    expect(await b.logs.read(key)).toHaveLength(2);
    await a.cache.sync();
    await b.logs.append(key, { id: 'c', text: 'three' });
    await b.records.update(key, (count) => ({ n: (count?.n ?? 0) + 1 }));
    await a.logs.delete(key);
    await b.records.create(`${key}-new`, { n: 1 });
    const derived = a.cache.derived<string, string>('derived', {
      load: (text) => Promise.resolve(text),
      tags: () => ['two'],
      scope: (text: string) => ['call', text],
    });
    await derived.get(key);
    await derived.set(key, 'set');
    await derived.refresh(key);
    await derived.delete(key);
    await a.cache.invalidateTags(['one', 'two']);
    await a.cache.health();
    await a.cache.scope('call', key).preload();
    await a.cache.scope('call', key).erase();
    await a.cache.sync();
    await stage.closeInstances();
    const { tier } = opened(url, { maxNotes: 1 });
    await tier.connect();
    await tier.probe();
    await tier.derived.invalidate([tagId('three'), tagId('four')]);
    expect(await stage.redis.call('ACL', 'LOG')).toEqual([]);

    const stats = await stage.redis.info('commandstats');
    const used = [...stats.matchAll(/^cmdstat_([^:]+):/gm)].map(([, name]) => name);
    expect(grants().filter((grant) => !used.includes(grant))).toEqual([]);
  });

  test('a cache that may not do one of these things does not start, and says which', async () => {
    for (const command of grants()) {
      const url = await user(
        `without-${command.replace('|', '-')}`,
        (rule) => rule === `+${command}`,
      );
      const { tier } = opened(url);
      const error = await errorOf(tier.connect());
      expect(error, command).toBeInstanceOf(ConfigError);
      expect(String(error).toLowerCase(), command).toContain(command.replace('|', ' '));
      expect(String(error)).toContain('docs/operations.md');
      expect(String(error)).not.toContain(PASSWORD);
      await tier.close();
    }
  });

  test.for([
    ['its keys', (rule: string) => rule.startsWith('~')],
    ['its channel', (rule: string) => rule.startsWith('&')],
  ] as const)('nor does one that may not use %s', async ([, without]) => {
    const { tier } = opened(await user('without', without));
    expect(await errorOf(tier.connect())).toBeInstanceOf(ConfigError);
  });

  test('the user can be in the URL and its password in an option of its own', async () => {
    await user('named');
    const { port } = stage.stack.redis;
    const { tier } = opened(`redis://named@127.0.0.1:${port}`, { password: PASSWORD });
    await tier.connect();
    const wrong = opened(`redis://named@127.0.0.1:${port}`, { password: 'another' });
    expect(await errorOf(wrong.tier.connect())).toBeInstanceOf(ConfigError);
  });

  test('a permission that is taken away while a cache runs is named by the error of the tier', async () => {
    const url = await user('losing');
    const { tier } = opened(url);
    await tier.connect();
    await stage.redis.call('ACL', 'SETUSER', 'losing', '-mget');
    expect(String(await errorOf(tier.read([VALUE])))).toContain(
      'denies its user the command "mget"',
    );
  });
});
