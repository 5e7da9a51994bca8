/**
 * Derived values in Redis: the scripts `derived-*.lua`, one round trip for each call. What is
 * decided is decided there; this packs, quotes epochs and puts replies into words.
 *
 * An entry whose body does not decode is found out here, behind the script's back. Where the
 * script took it for the answer it is asked once more, and told which entry it was.
 */
import { type DerivedMarks, decodeDerived, encodeDerived } from '../../codec/derived-entry.ts';
import type { Cipher } from '../../codec/encryption.ts';
import { HEADER_BYTES } from '../../codec/header.ts';
import { type Compressor, packPayload } from '../../codec/payload.ts';
import { CodecError, TierError } from '../../errors.ts';
import type { Address, Scope } from '../../model/key.ts';
import { scopeTagId, type TagId } from '../../model/tags.ts';
import type * as contract from '../derived.ts';
import type { CallOptions } from '../tier.ts';
import { toTierError } from './failures.ts';
import { numberBytes } from './handshake.ts';
import { isDenial } from './incarnation.ts';
import { addressIn, derivedPlaceOf, membersKey, metaKey, tagsKey } from './keys.ts';
import * as replies from './replies.ts';
import { type Script, type ScriptCall, scripts } from './scripts.ts';
import type { Upstream } from './upstream.ts';

/** How many tags a shard has notes of. What is older counts as invalidated. */
export const MAX_NOTES = 4096;

/** A hundred years: what is longer would not fit where times are stored. */
const LONGEST_MS = 36_525 * 86_400_000;

export interface RedisDerivedOptions {
  readonly shards: number;
  readonly compressor?: ((namespace: string) => Compressor | undefined) | undefined;
  readonly cipher?: Cipher | undefined;
  /**
   * What a value may take, packed. The result of a load that is larger is not kept here, and
   * nobody else hears of it; a larger one that is placed is refused as `full`.
   */
  readonly maxValueBytes: number;
  /** Left out: {@link MAX_NOTES}. */
  readonly maxNotes?: number | undefined;
}

/** The header of an entry that does not decode, by which the script knows it again. */
interface Spoilt {
  readonly take: contract.Take;
  readonly header: Buffer | undefined;
}

interface Taken {
  readonly reply: contract.TakeReply;
  readonly spoilt: Buffer | undefined;
}

interface Packed<T> {
  readonly one: T;
  readonly address: Address;
  readonly scope: Scope | undefined;
  readonly bytes: Uint8Array | undefined;
}

export class RedisDerived implements contract.SharedDerived {
  readonly #upstream: Upstream;
  readonly #options: RedisDerivedOptions;

  constructor(upstream: Upstream, options: RedisDerivedOptions) {
    this.#upstream = upstream;
    this.#options = options;
  }

  async take(
    takes: readonly contract.Take[],
    o?: CallOptions,
  ): Promise<readonly contract.TakeReply[]> {
    const first = await this.#take(
      takes.map((take) => ({ take, header: undefined })),
      o,
    );
    const spoilt = first.flatMap(({ reply, spoilt: header }, i) => {
      const take = takes[i];
      return take !== undefined && isFresh(reply) && header !== undefined
        ? [{ take, header, i }]
        : [];
    });
    if (spoilt.length === 0) return first.map(({ reply }) => reply);
    const second = await this.#take(spoilt, o);
    const again = new Map(second.map(({ reply }, nth) => [spoilt[nth]?.i, reply] as const));
    return first.map(({ reply }, i) => withoutSpoilt(again.get(i) ?? reply));
  }

  async fill(
    fills: readonly contract.Fill[],
    o?: CallOptions,
  ): Promise<readonly contract.FillReply[]> {
    const packed = await Promise.all(fills.map((fill) => this.#pack(fill)));
    const full = new Set<contract.Fill>();
    const answers = await this.#each(packed, o, (epoch, { one, bytes }) => {
      const entry = this.#filled(one, bytes, epoch);
      // What can't be kept here ends its load all the same, and harms none of its batch.
      if (entry === undefined) full.add(one);
      const bare = { ...one.entry, payload: undefined, tags: [], scope: undefined };
      const stored = entry ?? entryOf(bare, undefined, epoch, one.sequence);
      const life = entry === undefined ? NO_LIFE : one;
      return [scripts.derivedFill, stored, numberBytes(one.token), ...lifeOf(life)];
    });
    return answers.map((answer, i) => {
      const reply = replies.fillReply(answer);
      const fill = fills[i];
      return reply === 'held' && fill !== undefined && full.has(fill) ? 'full' : reply;
    });
  }

  /** `undefined`: its value, or its tags, are larger than an entry may be. */
  #filled(fill: contract.Fill, bytes: Uint8Array | undefined, epoch: number): Buffer | undefined {
    if ((bytes?.byteLength ?? 0) > this.#options.maxValueBytes) return undefined;
    try {
      return entryOf(fill.entry, bytes, epoch, fill.sequence);
    } catch (error) {
      if (error instanceof CodecError) return undefined;
      throw error;
    }
  }

  async place(
    places: readonly contract.Place[],
    o?: CallOptions,
  ): Promise<readonly contract.PlaceReply[]> {
    const packed = await Promise.all(places.map((place) => this.#pack(place)));
    if (packed.some(({ bytes }) => (bytes?.byteLength ?? 0) > this.#options.maxValueBytes)) {
      throw new TierError('a value is too large for Redis: `maxValueBytes`', 'full', {
        outcome: 'none',
      });
    }
    const answers = await this.#each(packed, o, (epoch, { one, bytes }) => [
      scripts.derivedPlace,
      entryOf(one.entry, bytes, epoch, 0),
      ...lifeOf(one),
    ]);
    return answers.map(replies.placeReply);
  }

  async remove(
    removals: readonly { readonly address: Address; readonly version: number }[],
    o?: CallOptions,
  ): Promise<readonly ('done' | 'epoch')[]> {
    const answers = await this.#each(removals, o, (_epoch, { version }) => [
      scripts.derivedRemove,
      numberBytes(version),
    ]);
    return answers.map((answer) => (isDenial(answer) ? 'epoch' : 'done'));
  }

  async extend(
    leases: readonly Omit<contract.Take, 'mode'>[],
    o?: CallOptions,
  ): Promise<readonly ('held' | 'lost' | 'epoch')[]> {
    const answers = await this.#each(leases, o, (_epoch, { token, leaseMs }) => [
      scripts.derivedExtend,
      numberBytes(token),
      leaseText(leaseMs),
    ]);
    return answers.map(replies.extendReply);
  }

  async letGo(
    leases: readonly { readonly address: Address; readonly token: number }[],
    o?: CallOptions,
  ): Promise<void> {
    await this.#each(leases, o, (_epoch, { token }) => [scripts.derivedLetGo, numberBytes(token)]);
  }

  async invalidate(tags: readonly TagId[], o?: CallOptions): Promise<'done' | 'epoch'> {
    if (tags.length === 0) return 'done';
    const answers = await this.#everywhere(scripts.derivedInvalidate, o, tags);
    return answers.some(isDenial) ? 'epoch' : 'done';
  }

  async erase(scope: Scope, o?: CallOptions): Promise<{ readonly removed: number } | 'epoch'> {
    const answers = await this.#everywhere(scripts.derivedErase, o, [scopeTagId(scope)], scope);
    if (answers.some(isDenial)) return 'epoch';
    return { removed: answers.reduce<number>((sum, removed) => sum + Number(removed), 0) };
  }

  async members(scope: Scope, o?: CallOptions): Promise<readonly Address[]> {
    const answers = await this.#upstream.send(
      this.#shards().map(
        (shard) => [shard, ['ZRANGE', [membersKey(shard, scope), 0, -1]]] as const,
      ),
      o?.signal,
    );
    return answers.flatMap((answer) => {
      if (Array.isArray(answer)) return answer.flatMap((id) => addressIn(String(id)) ?? []);
      const refused = toTierError(answer);
      if (refused.message.endsWith(': WRONGTYPE')) return []; // not ours
      throw refused;
    });
  }

  // ---------------------------------------------------------- plumbing

  async #take(wanted: readonly Spoilt[], o: CallOptions | undefined): Promise<readonly Taken[]> {
    const all = wanted.map((one) => ({ ...one, address: one.take.address }));
    const answers = await this.#each(all, o, (_epoch, { take, header }) => [
      scripts.derivedTake,
      take.mode,
      numberBytes(take.token),
      leaseText(take.leaseMs),
      header ?? '',
    ]);
    return await Promise.all(
      all.map(({ address }, i) => takenOf(answers[i], address, this.#options.cipher)),
    );
  }

  async #pack<T extends { readonly entry: contract.DerivedEntry }>(one: T): Promise<Packed<T>> {
    const { address, payload, scope } = one.entry;
    const compressor = this.#options.compressor?.(address.namespace);
    if (payload === undefined) return { one, address, scope, bytes: undefined };
    const { cipher } = this.#options;
    const protection = cipher && { cipher, owner: { kind: 'derived', address } as const };
    const bytes = await packPayload(payload, compressor, protection);
    return { one, address, scope, bytes };
  }

  /** One script for each, in one round trip; the answers in their order. */
  async #each<T extends { readonly address: Address; readonly scope?: Scope | undefined }>(
    batch: readonly T[],
    o: CallOptions | undefined,
    toCall: (epoch: number, one: T) => readonly [Script, ...(readonly (string | Buffer)[])],
  ): Promise<readonly unknown[]> {
    if (batch.length === 0) return [];
    return await this.#upstream.run(
      (epochs) =>
        batch.map((one) => {
          const { shard, keys } = derivedPlaceOf(one.address, this.#options.shards, one.scope);
          const epoch = epochs[shard] ?? 0;
          const [script, ...args] = toCall(epoch, one);
          return { script, keys, args: [numberBytes(epoch), ...args] };
        }),
      o?.signal,
    );
  }

  /** A script that notes tags down, in every shard. */
  #everywhere(
    script: Script,
    o: CallOptions | undefined,
    tags: readonly TagId[],
    scope?: Scope,
  ): Promise<readonly unknown[]> {
    const most = String(this.#options.maxNotes ?? MAX_NOTES);
    const toCall = (epoch: number, shard: number): ScriptCall => {
      const keys = [metaKey(shard), tagsKey(shard)];
      if (scope !== undefined) keys.push(membersKey(shard, scope));
      return { script, keys, args: [numberBytes(epoch), most, ...tags] };
    };
    return this.#upstream.run(
      (epochs) => this.#shards().map((shard) => toCall(epochs[shard] ?? 0, shard)),
      o?.signal,
    );
  }

  #shards(): readonly number[] {
    return Array.from({ length: this.#options.shards }, (_, shard) => shard);
  }
}

const NO_LIFE: contract.Lifetime = Object.freeze({ freshMs: 0, lifeMs: 0 });

function entryOf(
  entry: contract.DerivedEntry,
  packed: Uint8Array | undefined,
  epoch: number,
  sequence: number,
): Buffer {
  const marks: DerivedMarks = { epoch, sequence, expiresAt: 0, freshUntil: 0 };
  return encodeDerived(entry, packed, marks);
}

function lifeOf({ freshMs, lifeMs }: contract.Lifetime): readonly [string, string] {
  return [duration(freshMs), duration(lifeMs)];
}

function duration(ms: number): string {
  return String(Math.min(LONGEST_MS, Math.max(0, Math.floor(ms))));
}

function leaseText(ms: number): string {
  return String(Math.min(LONGEST_MS, Math.max(1, Math.floor(ms))));
}

function isFresh(reply: contract.TakeReply): boolean {
  return reply.status === 'fresh';
}

async function takenOf(
  answer: unknown,
  address: Address,
  cipher: Cipher | undefined,
): Promise<Taken> {
  const found = replies.takeReply(answer);
  if (found === 'epoch') return { reply: { status: 'epoch' }, spoilt: undefined };
  const { status, bytes, unreadable, sequence, cut, leaseMs, freshMs, lifeMs } = found;
  const rest = { sequence, cut, leaseMs };
  const reply = { status, held: undefined, unreadable, ...rest } satisfies contract.TakeReply;
  if (bytes === undefined) return { reply, spoilt: undefined };
  const stored = await decodeDerived(bytes, address, cipher);
  if (stored === undefined) {
    return { reply: { ...reply, unreadable: true }, spoilt: bytes.subarray(0, HEADER_BYTES) };
  }
  const held = { entry: stored.entry, freshMs, lifeMs };
  return { reply: { ...reply, held }, spoilt: undefined };
}

/** "Fresh" with nothing to show: another just replaced what did not decode by its like. */
function withoutSpoilt(reply: contract.TakeReply): contract.TakeReply {
  if (reply.status !== 'fresh' || reply.held !== undefined) return reply;
  return { ...reply, status: 'taken' };
}
