/**
 * The options that keep others out: encryption at rest, and TLS to Redis. Their types, and what
 * they are checked for beyond their shape.
 *
 * Invariant: a message names a key by its id, and never holds a key, nor a text that may be one.
 */
import { KEY_BYTES, KEY_ID, KeyRing } from './codec/encryption.ts';
import { ConfigError } from './errors.ts';

/**
 * Encryption of everything that is stored outside this process: in L2, L3 and the journal. Keys,
 * versions, TTLs, scopes and tags stay in the clear, because the tiers work with them.
 */
export interface EncryptionOptions {
  /**
   * Keys by id: 32 random bytes each, or their base64 (`openssl rand -base64 32`). What was written
   * under any of them can be read. An id is up to 32 letters, digits, ".", "_" and "-".
   */
  readonly keys: Readonly<Record<string, string | Uint8Array>>;
  /**
   * The id of the key that is written under. `'off'`: what is encrypted can be read, and what is
   * written stays in the clear; the first and the last step of switching encryption on and off.
   */
  readonly current: string;
}

/** How a `rediss://` connection proves both sides, as PEM texts. */
export interface RedisTlsOptions {
  /** Whom to trust in place of the authorities that the runtime trusts. */
  readonly ca?: string | Uint8Array | undefined;
  /** This side's certificate, where the server asks for one. With `key`. */
  readonly cert?: string | Uint8Array | undefined;
  /** The private key of `cert`. */
  readonly key?: string | Uint8Array | undefined;
  /** The name that the server's certificate has to bear. Default: the host of the URL. */
  readonly servername?: string | undefined;
}

/** The word that stands for no key. */
export const NO_KEY = 'off';

/** `undefined` where nothing is encrypted and nothing encrypted can be read. */
export function resolveEncryption(options: EncryptionOptions | undefined): KeyRing | undefined {
  if (options === undefined) return undefined;
  const { keys: given, current } = options;
  const keys = new Map(Object.entries(given).map(([id, key]) => [id, keyOf(id, key)] as const));
  if (keys.size === 0) throw new ConfigError('option "encryption.keys" holds no key');
  if (current === NO_KEY) return new KeyRing({ keys, current: undefined });
  if (!keys.has(current)) {
    const shown = KEY_ID.test(current) ? `"${current}"` : 'a text that can be no id (not shown)';
    throw new ConfigError(
      `option "encryption.current" takes the id of one of the keys, or "off", got ${shown}`,
    );
  }
  return new KeyRing({ keys, current });
}

function keyOf(id: string, key: unknown): Uint8Array {
  if (!KEY_ID.test(id)) {
    throw new ConfigError(
      'option "encryption.keys" takes ids of up to 32 letters, digits, ".", "_" and "-", got another (not shown)',
    );
  }
  const bytes = typeof key === 'string' ? fromBase64(key) : key;
  if (bytes instanceof Uint8Array && bytes.byteLength === KEY_BYTES) return bytes;
  throw new ConfigError(
    `option "encryption.keys" takes ${KEY_BYTES} bytes, or their base64, for the key "${id}" (openssl rand -base64 ${KEY_BYTES})`,
  );
}

/** Of exactly as many bytes as a key has; `undefined` for anything else. */
function fromBase64(text: string): Uint8Array | undefined {
  const trimmed = text.trim();
  return /^(?:[A-Za-z0-9+/]{43}|[A-Za-z0-9_-]{43})=?$/.test(trimmed)
    ? Buffer.from(trimmed, 'base64')
    : undefined;
}

/** Keys as one line: `id:base64,id:base64`, the first is the current one; or `off` before them. */
export function encryptionFromText(name: string, text: string): EncryptionOptions | undefined {
  if (text.toLowerCase() === NO_KEY) return undefined;
  const parts = text.split(',').map((part) => part.trim());
  const keys = new Map<string, string>();
  for (const [index, part] of parts.entries()) {
    if (index === 0 && part.toLowerCase() === NO_KEY) continue;
    const colon = part.indexOf(':');
    const id = part.slice(0, Math.max(0, colon)).trim();
    if (!KEY_ID.test(id)) {
      throw new ConfigError(
        `${name} takes off, or keys as id:base64,id:base64 (ids of up to 32 letters, digits, ".", "_" and "-"); number ${index + 1} is none (not shown)`,
      );
    }
    if (keys.has(id)) throw new ConfigError(`${name} names the key "${id}" twice`);
    if (fromBase64(part.slice(colon + 1)) === undefined) {
      throw new ConfigError(
        `${name} takes the base64 of ${KEY_BYTES} bytes for the key "${id}" (openssl rand -base64 ${KEY_BYTES})`,
      );
    }
    keys.set(id, part.slice(colon + 1).trim());
  }
  const first = parts[0] ?? '';
  const current =
    first.toLowerCase() === NO_KEY ? NO_KEY : first.slice(0, first.indexOf(':')).trim();
  return { keys: Object.fromEntries(keys), current };
}

/** Throws where TLS is asked for on a connection that has none, or by half. */
export function checkTls(
  tls: RedisTlsOptions | undefined,
  url: string | undefined,
  hasNodes = false,
): void {
  if (tls === undefined) return;
  if (!hasNodes && (url === undefined || URL.parse(url)?.protocol !== 'rediss:')) {
    throw new ConfigError('option "l2.tls" needs a url of the kind rediss://');
  }
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    throw new ConfigError('options "l2.tls.cert" and "l2.tls.key" need each other');
  }
}
