import { ConfigError } from '@cache/core';
import { expect, test } from 'vitest';
import { serviceFromEnv, serviceVariables } from '../../src/service.ts';

const tokens = { CACHE_ADMIN_TOKEN: 'boss', CACHE_API_TOKEN: 'user' };

function messageFor(env: Record<string, string>): string {
  try {
    serviceFromEnv(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'accepted';
}

test('G9: by default it listens on this machine alone, with an admin token made up for this start', () => {
  const service = serviceFromEnv({});
  expect(service).toMatchObject({
    host: '127.0.0.1',
    port: 3000,
    adminTokenIsNew: true,
    auth: { apiToken: undefined, metricsToken: undefined },
  });
  expect(service.auth.adminToken).toMatch(/^[\w-]{32}$/);
  expect(serviceFromEnv({}).auth.adminToken).not.toBe(service.auth.adminToken);
});

test('the documented defaults are the real ones', () => {
  const documented = Object.fromEntries(serviceVariables.map((v) => [v.name, v.default]));
  const service = serviceFromEnv(documented);
  expect({ ...service, auth: undefined }).toEqual({ ...serviceFromEnv({}), auth: undefined });
});

test('with both tokens it may listen for others', () => {
  expect(serviceFromEnv({ ...tokens, HOST: '0.0.0.0', PORT: '0' })).toEqual({
    host: '0.0.0.0',
    port: 0,
    auth: { adminToken: 'boss', apiToken: 'user', metricsToken: undefined },
    adminTokenIsNew: false,
  });
});

test.each(['0.0.0.0', '::', '192.168.1.4', 'example.com', '127.example.com'])(
  'G9: %s needs both tokens',
  (HOST) => {
    expect(messageFor({ HOST })).toContain('while CACHE_ADMIN_TOKEN is not set');
    expect(messageFor({ HOST, CACHE_ADMIN_TOKEN: 'boss' })).toBe(
      `HOST takes an address of this machine alone (127.0.0.1, ::1, localhost) while CACHE_API_TOKEN is not set, got "${HOST}"`,
    );
    expect(messageFor({ HOST, CACHE_API_TOKEN: 'user' })).toContain('HOST takes');
    expect(messageFor({ HOST, ...tokens })).toBe('accepted');
  },
);

test.each(['127.0.0.1', '127.1.2.3', '::1', 'localhost', 'LOCALHOST'])(
  '%s needs no token',
  (HOST) => {
    expect(serviceFromEnv({ HOST }).host).toBe(HOST);
  },
);

test.each(['-1', '65536', '80a', '0x50', '3000.5'])('PORT %s is refused', (PORT) => {
  expect(messageFor({ PORT })).toBe(`PORT takes a port, from 0 to 65535, got "${PORT}"`);
});

test('a token that no header could carry is refused without being shown', () => {
  for (const name of ['CACHE_ADMIN_TOKEN', 'CACHE_API_TOKEN', 'CACHE_METRICS_TOKEN']) {
    const message = messageFor({ [name]: 'hunter2 hunter2' });
    expect(message).toContain(`${name} takes`);
    expect(message).not.toContain('hunter2');
  }
});

test('every variable that is read is listed, and every one that is listed is read', () => {
  const asked = new Set<string>();
  const env = new Proxy<Record<string, string>>(
    {},
    {
      get(target, name) {
        asked.add(String(name));
        return Reflect.get(target, name);
      },
    },
  );
  serviceFromEnv(env);
  expect([...asked].sort()).toEqual(serviceVariables.map(({ name }) => name).sort());
});
