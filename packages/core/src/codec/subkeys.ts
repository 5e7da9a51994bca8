/**
 * A key for each encryption, as XAES-256-GCM (C2SP) derives it: from the long-lived key and the
 * first half of a random nonce of 192 bits; the other half is the nonce of AES-256-GCM. So a key
 * is good for 2^80 encryptions before two of them are likely (2^-32) to share a nonce. The
 * derivation is the KDF of NIST SP 800-108r1 in counter mode with AES-256-CMAC, over one block
 * for each half of the derived key, written out.
 */
import { type Cipheriv, createCipheriv, createSecretKey } from 'node:crypto';

export const NONCE_BYTES = 24;
/** Of the nonce: what the key is derived from. */
export const DERIVING_BYTES = 12;

const BLOCK_BYTES = 16;
/** The label of the derivation. */
const LABEL = 0x58;

export class Subkeys {
  /** The bare block cipher: no chaining, so that one object serves for ever. */
  readonly #block: Cipheriv;
  readonly #mask: Buffer;

  constructor(key: Uint8Array) {
    this.#block = createCipheriv('aes-256-ecb', createSecretKey(key), null).setAutoPadding(false);
    this.#mask = doubled(this.#block.update(Buffer.alloc(BLOCK_BYTES)));
  }

  derive(nonce: Uint8Array): Buffer {
    const blocks = Buffer.alloc(2 * BLOCK_BYTES);
    for (const counter of [1, 2]) {
      const at = (counter - 1) * BLOCK_BYTES;
      blocks[at + 1] = counter;
      blocks[at + 2] = LABEL;
      blocks.set(nonce.subarray(0, DERIVING_BYTES), at + 4);
      for (let i = 0; i < BLOCK_BYTES; i += 1) {
        blocks[at + i] = (blocks[at + i] ?? 0) ^ (this.#mask[i] ?? 0);
      }
    }
    return this.#block.update(blocks);
  }
}

/** Doubling in GF(2^128): the subkey of CMAC for whole blocks. */
function doubled(block: Buffer): Buffer {
  const out = Buffer.alloc(BLOCK_BYTES);
  for (let i = 0; i < BLOCK_BYTES; i += 1) {
    out[i] = ((block[i] ?? 0) << 1) | ((block[i + 1] ?? 0) >> 7);
  }
  if ((block[0] ?? 0) >= 0x80) out[BLOCK_BYTES - 1] = (out[BLOCK_BYTES - 1] ?? 0) ^ 0x87;
  return out;
}
