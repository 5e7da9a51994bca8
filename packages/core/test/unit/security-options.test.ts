import { describe, expect, test } from 'vitest';
import { createCache, memory, optionsFromEnv } from '../../src/index.ts';
import { resolveEncryption } from '../../src/security-options.ts';

const KEY = Buffer.alloc(32, 7);
const BASE64 = KEY.toString('base64');
const OTHER = Buffer.alloc(32, 8).toString('base64url');

function messageFor(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return 'no error';
}

describe('encryption', () => {
  test('takes keys as bytes, base64 and base64url', () => {
    const keys = { bytes: new Uint8Array(KEY), base64: BASE64, 'base64.url': OTHER };
    expect(resolveEncryption({ keys, current: 'base64' })?.seals).toBe(true);
    expect(resolveEncryption({ keys, current: 'off' })?.seals).toBe(false);
    expect(resolveEncryption(undefined)).toBeUndefined();
  });

  test.each([
    [{ keys: {}, current: 'k1' }, 'option "encryption.keys" holds no key'],
    [
      { keys: { k1: 'short' }, current: 'k1' },
      'option "encryption.keys" takes 32 bytes, or their base64, for the key "k1" (openssl rand -base64 32)',
    ],
    [
      { keys: { k1: KEY.subarray(1) }, current: 'k1' },
      'option "encryption.keys" takes 32 bytes, or their base64, for the key "k1" (openssl rand -base64 32)',
    ],
    [
      { keys: { k1: `${BASE64}AAAA` }, current: 'k1' },
      'option "encryption.keys" takes 32 bytes, or their base64, for the key "k1" (openssl rand -base64 32)',
    ],
    [
      { keys: { k1: KEY }, current: 'k2' },
      'option "encryption.current" takes the id of one of the keys, or "off", got "k2"',
    ],
    [
      { keys: { off: KEY }, current: 'off' },
      'option "encryption.keys" takes ids of up to 32 letters, digits, ".", "_" and "-", got another (not shown)',
    ],
  ])('is refused where it makes no sense: %#', (encryption, message) => {
    expect(messageFor(() => createCache({ l1: memory(), encryption }))).toBe(message);
  });

  test('names an unknown option, and what is missing', () => {
    const options = { l1: memory(), encryption: { keys: { k1: KEY }, current: 'k1', keyed: 1 } };
    expect(messageFor(() => createCache(options))).toBe('unknown option "encryption.keyed"');
    const half: object = { l1: memory(), encryption: { keys: { k1: KEY } } };
    expect(messageFor(() => createCache(half))).toBe(
      'option "encryption.current" takes the id of one of the keys, or "off", got nothing',
    );
  });

  test.each<[string, string | undefined, readonly string[]]>([
    [`k1:${BASE64}`, 'k1', ['k1']],
    [` k2:${OTHER} , k1:${BASE64} `, 'k2', ['k2', 'k1']],
    [`off,k1:${BASE64}`, 'off', ['k1']],
  ])('comes from the environment, the first key is the current one: %#', (text, current, ids) => {
    const { encryption } = optionsFromEnv({ CACHE_ENCRYPTION_KEYS: text });
    expect(encryption?.current).toBe(current);
    expect(Object.keys(encryption?.keys ?? {})).toEqual(ids);
    expect(resolveEncryption(encryption)?.seals).toBe(current !== 'off');
  });

  test.each([undefined, '', 'off', 'OFF'])('is off where the variable says nothing: %s', (text) => {
    expect(optionsFromEnv({ CACHE_ENCRYPTION_KEYS: text }).encryption).toBeUndefined();
  });

  test.each([
    [
      BASE64,
      'CACHE_ENCRYPTION_KEYS takes off, or keys as id:base64,id:base64 (ids of up to 32 letters, digits, ".", "_" and "-"); number 1 is none (not shown)',
    ],
    [
      `k1:${BASE64},`,
      'CACHE_ENCRYPTION_KEYS takes off, or keys as id:base64,id:base64 (ids of up to 32 letters, digits, ".", "_" and "-"); number 2 is none (not shown)',
    ],
    [`k1:${BASE64},k1:${OTHER}`, 'CACHE_ENCRYPTION_KEYS names the key "k1" twice'],
    [
      'k1:c2hvcnQ=',
      'CACHE_ENCRYPTION_KEYS takes the base64 of 32 bytes for the key "k1" (openssl rand -base64 32)',
    ],
  ])('from the environment names the place at fault and no key: %#', (text, message) => {
    expect(messageFor(() => optionsFromEnv({ CACHE_ENCRYPTION_KEYS: text }))).toBe(message);
  });
});
