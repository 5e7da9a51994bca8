import { createDecipheriv, createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyRing, type Owner } from '../../../src/codec/encryption.ts';
import { decodeEntry, encodeValue } from '../../../src/codec/envelope.ts';
import { decodeFrames, encodeFrames, packItems } from '../../../src/codec/frames.ts';
import {
  ENCRYPTED,
  MalformedError,
  PAYLOAD_PREFIX_BYTES,
  packPayload,
  unpackPayload,
} from '../../../src/codec/payload.ts';
import { Subkeys } from '../../../src/codec/subkeys.ts';
import type { Payload, ValueWrite } from '../../../src/model/entry.ts';
import { address } from '../../../src/model/key.ts';

const CALL = address('calls', 'call-1/é');
const OWNER: Owner = { kind: 'value', address: CALL };

/** A key that is the same in every run, and no secret. */
function keyNamed(name: string): Uint8Array {
  return createHash('sha256').update(name).digest();
}

function ringOf(current: string | undefined, ...ids: readonly string[]): KeyRing {
  return new KeyRing({ keys: new Map(ids.map((id) => [id, keyNamed(id)])), current });
}

const ring = ringOf('k1', 'k1');
const json = (text: string): Payload => ({ codec: 'json', bytes: Buffer.from(text) });

async function pack(payload: Payload, cipher = ring, owner: Owner = OWNER): Promise<Buffer> {
  return Buffer.from(await packPayload(payload, undefined, { cipher, owner }));
}

async function unpack(packed: Uint8Array, cipher = ring, owner: Owner = OWNER): Promise<Payload> {
  return await unpackPayload(packed, undefined, { cipher, owner });
}

describe('the derivation of keys', () => {
  // The test vectors of the specification of XAES-256-GCM (C2SP).
  it.each([
    [1, '', 'ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271'],
    [3, 'c2sp.org/XAES-256-GCM', '986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d'],
  ])('is that of XAES-256-GCM: %#', (fill, associated, sealed) => {
    const nonce = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWX');
    const bytes = Buffer.from(sealed, 'hex');
    const key = new Subkeys(Buffer.alloc(32, fill)).derive(nonce);
    const open = createDecipheriv('aes-256-gcm', key, nonce.subarray(12));
    open.setAAD(Buffer.from(associated));
    open.setAuthTag(bytes.subarray(-16));
    const plain = Buffer.concat([open.update(bytes.subarray(0, -16)), open.final()]);
    expect(plain.toString()).toBe('XAES-256-GCM');
  });
});

describe('G9: an encrypted payload', () => {
  it('comes back as it was, whatever its codec, size and packing', async () => {
    const compress = {
      compress: (raw: Uint8Array) => ({ encoding: 'plain', bytes: raw }) as const,
    };
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 3000 }),
        fc.constantFrom('json', 'bytes', 'structured'),
        fc.boolean(),
        async (bytes, codec, compressed) => {
          const protection = { cipher: ring, owner: OWNER };
          const payload: Payload = { codec, bytes: new Uint8Array(bytes) };
          const packed = await packPayload(payload, compressed ? compress : undefined, protection);
          const back = await unpack(packed);
          expect(back.codec).toBe(codec);
          expect(Buffer.from(back.bytes).equals(bytes)).toBe(true);
        },
      ),
    );
  });

  it('shows nothing of its value, and never the same bytes twice', async () => {
    const text = '"a canary that nobody else says"';
    const packed = await Promise.all(Array.from({ length: 100 }, () => pack(json(text))));
    expect(packed.some((bytes) => bytes.includes('canary'))).toBe(false);
    expect(new Set(packed.map((bytes) => bytes.toString('hex'))).size).toBe(100);
    const nonces = packed.map((bytes) => bytes.subarray(9, 33).toString('hex'));
    expect(new Set(nonces).size).toBe(100);
  });

  it('does not open where one bit of it was changed, wherever', async () => {
    const packed = await pack(json('"value"'));
    for (let bit = 0; bit < packed.length * 8; bit += 1) {
      const flipped = Buffer.from(packed);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const isPlainNow = ((flipped[1] ?? 0) & ENCRYPTED) === 0;
      if (isPlainNow) {
        // Claims to be in the clear: then it is what it is, and longer than it says.
        expect(() => unpackPayload(flipped), `bit ${bit}`).toThrow(MalformedError);
      }
      await expect(unpack(flipped), `bit ${bit}`).rejects.toThrow(MalformedError);
    }
  });

  it('does not open where it is cut off, wherever', async () => {
    const packed = await pack(json('"value"'));
    for (let length = 0; length < packed.length; length += 1) {
      await expect(unpack(packed.subarray(0, length))).rejects.toThrow(MalformedError);
    }
  });

  it.each<[string, Owner]>([
    ['another key', { kind: 'value', address: address('calls', 'call-2') }],
    ['another namespace', { kind: 'value', address: address('others', 'call-1/é') }],
    ['a derived value of the same name', { kind: 'derived', address: CALL }],
    ['an item of a log of the same name', { kind: 'item', address: CALL, id: 'a' }],
  ])('does not open under %s', async (_what, owner) => {
    await expect(unpack(await pack(json('1')), ring, owner)).rejects.toThrow(MalformedError);
  });

  it('does not open for another item, also where the joined names are the same', async () => {
    const one: Owner = { kind: 'item', address: address('logs', 'ab'), id: 'c' };
    const other: Owner = { kind: 'item', address: address('logs', 'a'), id: 'bc' };
    const packed = await pack(json('1'), ring, one);
    await expect(unpack(packed, ring, other)).rejects.toThrow(MalformedError);
    await expect(unpack(packed, ring, { ...one, id: 'd' })).rejects.toThrow(MalformedError);
    expect((await unpack(packed, ring, one)).bytes).toEqual(Buffer.from('1'));
  });

  it('opens under a key that is no longer the current one', async () => {
    const before = await pack(json('1'), ringOf('k1', 'k1'));
    const rotated = ringOf('k2', 'k1', 'k2');
    expect((await unpack(before, rotated)).bytes).toEqual(Buffer.from('1'));
    const after = await pack(json('2'), rotated);
    expect((await unpack(after, rotated)).bytes).toEqual(Buffer.from('2'));
    await expect(unpack(after, ringOf('k1', 'k1'))).rejects.toThrow('the key "k2"');
  });

  it('opens under no other key of the same id', async () => {
    const impostor = new KeyRing({ keys: new Map([['k1', keyNamed('other')]]), current: 'k1' });
    await expect(unpack(await pack(json('1')), impostor)).rejects.toThrow(MalformedError);
  });

  it('is malformed, and no crash, to a build without keys', async () => {
    const packed = await pack(json('1'));
    expect(() => unpackPayload(packed)).toThrow('a payload is encrypted');
    const off = ringOf(undefined, 'k1');
    expect((await unpack(packed, off)).bytes).toEqual(Buffer.from('1'));
    expect((await pack(json('1'), off))[1]).toBe(0);
  });

  it('repeats no bytes that can not be the id of a key', async () => {
    const packed = await pack(json('1'));
    packed.set(Buffer.from('\n\x07'), PAYLOAD_PREFIX_BYTES + 1);
    const error: unknown = await unpack(packed).catch((reason: unknown) => reason);
    expect(String(error)).toBe(
      'MalformedError: a payload is encrypted under a key that is not configured here',
    );
  });

  it('is judged by the length that it claims before it is opened', async () => {
    const packed = await pack(json('"long"'));
    expect(() => unpackPayload(packed, 5, { cipher: ring, owner: OWNER })).toThrow('too large');
  });
});

describe('the stored entries of format 1', () => {
  const write: ValueWrite = {
    kind: 'value',
    address: CALL,
    version: 7_350_000_000_000_001,
    intent: 5,
    payload: json('{"state":"ringing"}'),
    expiresAt: 0,
    scope: { kind: 'tenant', id: '1' },
    tags: ['crm'],
  };

  it('are read as they were when value-encrypted was kept', async () => {
    const kept = await readFile(
      new URL('../../fixtures/envelope/value-encrypted.bin', import.meta.url),
    );
    const entry = await decodeEntry(kept, CALL, 1, ringOf('k2', 'k1', 'k2'));
    expect(entry).toMatchObject({
      kind: 'value',
      pending: true,
      write: { version: write.version },
    });
    const text = entry.kind === 'value' && Buffer.from(entry.write.payload?.bytes ?? []).toString();
    expect(text).toBe('{"state":"ringing"}');
    expect(await decodeEntry(kept, CALL, 1)).toEqual({
      kind: 'unreadable',
      pending: true,
      isForeign: false,
      reason: 'a payload is encrypted, and no keys are configured here',
    });
  });

  it('stay in the clear in front of an encrypted value', async () => {
    const marks = { pending: true, unproven: false, epoch: 1 };
    const plain = encodeValue(write, await packPayload(json('1')), marks);
    const sealed = encodeValue(write, await pack(json('1')), marks);
    const bodyAt = plain.length - PAYLOAD_PREFIX_BYTES - 1;
    expect(sealed.subarray(0, bodyAt)).toEqual(plain.subarray(0, bodyAt));
    expect(sealed.includes('crm')).toBe(true);
  });

  it('of a log are encrypted item by item, and no item opens in the place of another', async () => {
    const log = { cipher: ring, address: CALL };
    const items = [
      { id: 'a', version: 1, payload: json('"one"') },
      { id: 'b', version: 2, payload: json('"two"') },
    ];
    const [a, b] = await packItems(items, true, undefined, log);
    if (a === undefined || b === undefined) throw new Error('two items are packed as two');
    const read = await decodeFrames(encodeFrames([a, b]), 0, undefined, log);
    expect(read.map(({ payload }) => Buffer.from(payload.bytes).toString())).toEqual([
      '"one"',
      '"two"',
    ]);
    const swapped = encodeFrames([
      { ...a, packed: b.packed },
      { ...b, packed: a.packed },
    ]);
    await expect(decodeFrames(swapped, 0, undefined, log)).rejects.toThrow(MalformedError);
    // A script that raises an item's version, or flags it, does not have to open it.
    const raised = encodeFrames([{ ...a, version: 9, synced: false }]);
    expect(await decodeFrames(raised, 0, undefined, log)).toHaveLength(1);
  });
});
