import { expect, test } from 'vitest';
import { addressOf } from '../../../../src/tiers/redis/endpoint.ts';

test('a password of its own goes before the one in the URL, whatever is in it', () => {
  for (const password of ['plain', 'a%41b', ':@/?#[]', "!'()*", 'ü']) {
    const address = addressOf('redis://user:other@host:1', password);
    expect(decodeURIComponent(address.password)).toBe(password);
    expect(address.username).toBe('user');
    expect(address.host).toBe('host:1');
  }
  expect(addressOf('redis://user:other@host:1', '').password).toBe('other');
});

test('G9: a scheme in capitals is TLS too', () => {
  expect(addressOf('REDISS://host', undefined).href).toMatch(/^rediss:/);
});

test('what the protocol needs can not be undone in the URL', () => {
  const { href } = addressOf(
    'redis://host/2?keyPrefix=x&enableOfflineQueue=true&family=6',
    undefined,
  );
  expect(href).toBe('redis://host/2?family=6');
});
