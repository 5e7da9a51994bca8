/** Keys for tests: the same in every run, and no secrets. */
import { createHash } from 'node:crypto';
import type { EncryptionOptions } from '../../../src/index.ts';
import type { InstanceOptions } from '../support.ts';

/** Servers that have to run all migrations first, on a machine that has other work. */
export const STARTING_MS = 240_000;

export function keyNamed(id: string): Buffer {
  return createHash('sha256').update(`a key for tests: ${id}`).digest();
}

/** A ring of the keys of these ids. */
export function ring(current: string, ...ids: readonly string[]): EncryptionOptions {
  const keys = Object.fromEntries(ids.map((id) => [id, keyNamed(id).toString('base64')]));
  return { keys, current };
}

/** A bytea as supabase-js gives it: text in hex or, where the database is embedded, its bytes by number. */
export function bytesOf(body: unknown): Buffer {
  if (typeof body === 'string') return Buffer.from(body.slice(2), 'hex');
  return Buffer.from(Object.values(body ?? {}).map(Number));
}

/** Nothing is late here, however busy the machine is: what these tests are about is not time. */
export function patient(options: InstanceOptions = {}): InstanceOptions {
  const { l2, l3, ...rest } = options;
  return {
    deadline: '60s',
    ...rest,
    l2: l2 === false ? false : { timeout: '20s', ...l2 },
    l3: { timeout: 30_000, ...l3 },
  };
}
