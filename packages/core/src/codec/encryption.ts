/**
 * Encryption of payloads at rest: AES-256-GCM under a ring of keys that are known by their ids.
 *
 *   [idLength u8][id ASCII][nonce 24][ciphertext][tag 16]
 *
 * Every encryption has a key of its own, derived from the ring's key and half of a random nonce
 * of 192 bits, as XAES-256-GCM (C2SP) defines it: with the 96 bits of bare GCM a key would be
 * worn out after 2^32 writes, which a busy fleet makes in weeks.
 *
 * It takes about a millisecond for a megabyte, in the thread that asks for it: less than the codec
 * took to make the bytes.
 *
 * Invariants: bytes are opened only where they were sealed, because the tag covers their owner
 * (namespace, key, and for an item its id), and codec, packing and length along with them; what
 * does not open is a {@link MalformedError}, as anything else that does not decode; no message
 * holds a key. Not covered: version, TTL, scope and tags, which scripts and SQL work with.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Address } from '../model/key.ts';
import { MalformedError } from './malformed.ts';
import { DERIVING_BYTES, NONCE_BYTES, Subkeys } from './subkeys.ts';

/** What an encrypted payload belongs to, and can't be taken away from. */
export type Owner =
  | { readonly kind: 'value' | 'derived'; readonly address: Address }
  /** One item of a log. */
  | { readonly kind: 'item'; readonly address: Address; readonly id: string };

/** Encrypts and decrypts. `prefix` is what stands in front of the bytes, in the clear. */
export interface Cipher {
  /** `false`: what is written stays in the clear, and what is encrypted can be read. */
  readonly seals: boolean;
  seal(owner: Owner, prefix: Uint8Array, bytes: Uint8Array): Buffer;
  /** Throws {@link MalformedError}. */
  open(owner: Owner, prefix: Uint8Array, sealed: Uint8Array): Buffer;
}

/** Keys by id, 32 bytes each. `current`: the id that new payloads get; `undefined`: none. */
export interface EncryptionKeys {
  readonly keys: ReadonlyMap<string, Uint8Array>;
  readonly current: string | undefined;
}

export const KEY_BYTES = 32;
/** What a key may be called. `off` is no name of a key: it stands for none. */
export const KEY_ID: RegExp = /^(?!off$)[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/;

const TAG_BYTES = 16;

const ownerNumbers = { value: 1, item: 2, derived: 3 } satisfies Record<Owner['kind'], number>;

export class KeyRing implements Cipher {
  readonly #keys = new Map<string, RingKey>();
  readonly #current: RingKey | undefined;

  constructor({ keys, current }: EncryptionKeys) {
    for (const [id, bytes] of keys) this.#keys.set(id, new RingKey(id, bytes));
    this.#current = current === undefined ? undefined : this.#keys.get(current);
  }

  get seals(): boolean {
    return this.#current !== undefined;
  }

  seal(owner: Owner, prefix: Uint8Array, bytes: Uint8Array): Buffer {
    const key = this.#current;
    if (key === undefined) throw new TypeError('there is no current key to encrypt under');
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(
      'aes-256-gcm',
      key.subkeys.derive(nonce),
      nonce.subarray(DERIVING_BYTES),
    );
    cipher.setAAD(boundTo(owner, prefix));
    const body = cipher.update(bytes);
    return Buffer.concat([key.name, nonce, body, cipher.final(), cipher.getAuthTag()]);
  }

  open(owner: Owner, prefix: Uint8Array, sealed: Uint8Array): Buffer {
    const { key, nonce, body, tag } = this.#parse(sealed);
    const decipher = createDecipheriv(
      'aes-256-gcm',
      key.subkeys.derive(nonce),
      nonce.subarray(DERIVING_BYTES),
      { authTagLength: TAG_BYTES },
    );
    decipher.setAAD(boundTo(owner, prefix));
    decipher.setAuthTag(tag);
    try {
      // Nothing of it is handed out before `final` has compared the tag.
      return Buffer.concat([decipher.update(body), decipher.final()]);
    } catch {
      throw new MalformedError(
        'an encrypted payload does not open: another key, or not written here',
      );
    }
  }

  #parse(sealed: Uint8Array): {
    readonly key: RingKey;
    readonly nonce: Uint8Array;
    readonly body: Uint8Array;
    readonly tag: Uint8Array;
  } {
    const nonceAt = 1 + (sealed[0] ?? 0);
    const bodyAt = nonceAt + NONCE_BYTES;
    const tagAt = sealed.byteLength - TAG_BYTES;
    if (tagAt < bodyAt) throw new MalformedError('an encrypted payload is cut off');
    const id = Buffer.from(sealed.subarray(1, nonceAt)).toString('latin1');
    const key = this.#keys.get(id);
    if (key === undefined) {
      // Only what can be the id of a key is repeated: anybody may have written these bytes.
      const which = KEY_ID.test(id) ? `the key "${id}"` : 'a key';
      throw new MalformedError(`a payload is encrypted under ${which} that is not configured here`);
    }
    return {
      key,
      nonce: sealed.subarray(nonceAt, bodyAt),
      body: sealed.subarray(bodyAt, tagAt),
      tag: sealed.subarray(tagAt),
    };
  }
}

/** One key of the ring: its id as stored, and what the keys of encryptions are derived with. */
class RingKey {
  readonly name: Buffer;
  readonly subkeys: Subkeys;

  constructor(id: string, bytes: Uint8Array) {
    this.name = Buffer.concat([Buffer.of(id.length), Buffer.from(id, 'latin1')]);
    this.subkeys = new Subkeys(bytes);
  }
}

/** What the tag covers beside the bytes. The length in front of the address keeps it unambiguous. */
function boundTo(owner: Owner, prefix: Uint8Array): Buffer {
  const address = Buffer.from(owner.address.id);
  const head = Buffer.allocUnsafe(5);
  head.writeUInt8(ownerNumbers[owner.kind], 0);
  head.writeUInt32BE(address.length, 1);
  const item = owner.kind === 'item' ? Buffer.from(owner.id) : Buffer.alloc(0);
  return Buffer.concat([prefix, head, address, item]);
}
