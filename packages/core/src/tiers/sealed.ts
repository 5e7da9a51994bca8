/**
 * L3 with encryption: payloads are packed, compressed and encrypted on their way down, and opened
 * on their way up. What stands around them (keys, versions, times, scope, tags) is L3's to work
 * with, and stays as it is.
 *
 * An encrypted payload travels as bytes of the codec `encrypted`: what codec/payload.ts packs, so
 * that its true codec is inside. One that does not open goes up as it is: "encrypted, and not for
 * this process" is knowledge of its own, and neither a value nor "there is none".
 */
import type { Cipher, Owner } from '../codec/encryption.ts';
import {
  type Compressor,
  MAX_PAYLOAD_BYTES,
  MalformedError,
  packPayload,
  unpackPayload,
} from '../codec/payload.ts';
import type { LogItem, LogWrite, Payload, ValueWrite } from '../model/entry.ts';
import type { Address } from '../model/key.ts';
import type { DerivedEntry, DurableDerived } from './derived.ts';
import type { DurableTier } from './tier.ts';

/** How payloads become bytes at rest. */
export interface Packing {
  readonly cipher: Cipher | undefined;
  readonly compressor: (namespace: string) => Compressor | undefined;
}

/** The same tier; itself where nothing is encrypted. */
export function sealedTier(tier: DurableTier, { cipher, compressor }: Packing): DurableTier {
  if (cipher === undefined) return tier;
  const seal = new Sealer(cipher, compressor);
  return {
    ...tier,
    read: async (addresses, o) => {
      const found = await tier.read(addresses, o);
      return await Promise.all(found.map((write) => write && seal.openValue(write)));
    },
    readLogs: async (addresses, o) => {
      const found = await tier.readLogs(addresses, o);
      return await Promise.all(found.map((log) => log && seal.openLog(log)));
    },
    apply: async (rows, o) => {
      const sealed = await Promise.all(
        rows.map(async (row) => ({ ...row, write: await seal.closeValue(row.write) })),
      );
      const replies = await tier.apply(sealed, o);
      return await Promise.all(
        replies.map(async (reply) =>
          reply.status === 'superseded'
            ? { ...reply, newer: await seal.openValue(reply.newer) }
            : reply,
        ),
      );
    },
    insert: async (rows, o) => {
      const sealed = await Promise.all(
        rows.map(async (row) => ({ ...row, write: await seal.closeLog(row.write) })),
      );
      return await tier.insert(sealed, o);
    },
    compareAndSet: async (write, base, o) => {
      const reply = await tier.compareAndSet(await seal.closeValue(write), base, o);
      if (reply.status !== 'mismatch' || reply.current === undefined) return reply;
      return { ...reply, current: await seal.openValue(reply.current) };
    },
    scan: async (o) => {
      const found = await tier.scan(o);
      return await Promise.all(found.map((write) => seal.openValue(write)));
    },
  };
}

/** The same for derived values. */
export function sealedDerived(
  tier: DurableDerived,
  { cipher, compressor }: Packing,
): DurableDerived {
  if (cipher === undefined) return tier;
  const seal = new Sealer(cipher, compressor);
  return {
    ...tier,
    read: async (addresses, o) => {
      const { sequence, held } = await tier.read(addresses, o);
      const opened = await Promise.all(
        held.map(async (one) => one && { ...one, entry: await seal.openDerived(one.entry) }),
      );
      return { sequence, held: opened };
    },
    put: async (puts, o) => {
      const sealed = await Promise.all(
        puts.map(async (put) => ({ ...put, entry: await seal.closeDerived(put.entry) })),
      );
      return await tier.put(sealed, o);
    },
  };
}

class Sealer {
  readonly #cipher: Cipher;
  readonly #compressor: Packing['compressor'];

  constructor(cipher: Cipher, compressor: Packing['compressor']) {
    this.#cipher = cipher;
    this.#compressor = compressor;
  }

  async closeValue(write: ValueWrite): Promise<ValueWrite> {
    const { payload, address } = write;
    if (payload === undefined) return write;
    return { ...write, payload: await this.#close(payload, { kind: 'value', address }) };
  }

  async openValue(write: ValueWrite): Promise<ValueWrite> {
    const { payload, address } = write;
    if (payload === undefined) return write;
    return { ...write, payload: await this.#open(payload, { kind: 'value', address }) };
  }

  async closeDerived(entry: DerivedEntry): Promise<DerivedEntry> {
    const { payload, address } = entry;
    if (payload === undefined) return entry;
    return { ...entry, payload: await this.#close(payload, { kind: 'derived', address }) };
  }

  async openDerived(entry: DerivedEntry): Promise<DerivedEntry> {
    const { payload, address } = entry;
    if (payload === undefined) return entry;
    return { ...entry, payload: await this.#open(payload, { kind: 'derived', address }) };
  }

  async closeLog(write: LogWrite): Promise<LogWrite> {
    return { ...write, items: await this.#items(write, (...of) => this.#close(...of)) };
  }

  async openLog<T extends { readonly address: Address; readonly items: readonly LogItem[] }>(
    log: T,
  ): Promise<T> {
    return { ...log, items: await this.#items(log, (...of) => this.#open(...of)) };
  }

  /** One after the other: a long log is not to hold up the event loop. */
  async #items(
    { address, items }: { readonly address: Address; readonly items: readonly LogItem[] },
    work: (payload: Payload, owner: Owner) => Promise<Payload>,
  ): Promise<readonly LogItem[]> {
    const done: LogItem[] = [];
    for (const item of items) {
      const owner: Owner = { kind: 'item', address, id: item.id };
      done.push({ ...item, payload: await work(item.payload, owner) });
    }
    return done;
  }

  async #close(payload: Payload, owner: Owner): Promise<Payload> {
    if (!this.#cipher.seals || payload.codec === 'encrypted') return payload;
    const compressor = this.#compressor(owner.address.namespace);
    const bytes = await packPayload(payload, compressor, { cipher: this.#cipher, owner });
    return { codec: 'encrypted', bytes };
  }

  async #open(payload: Payload, owner: Owner): Promise<Payload> {
    if (payload.codec !== 'encrypted') return payload;
    try {
      const protection = { cipher: this.#cipher, owner };
      return await unpackPayload(payload.bytes, MAX_PAYLOAD_BYTES, protection);
    } catch (error) {
      if (error instanceof MalformedError) return payload;
      throw error;
    }
  }
}
