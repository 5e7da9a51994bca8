/**
 * A synthesis as its holder tells it to the fleet: a Redis stream, named after the token, whose
 * entries are numbered without a gap, so that whoever reads it sees what is missing.
 *
 *   1-0 begin · 2-0 open (media type) · 3-0 … piece · n-0 whole | failed | stopped
 *
 * It lives as long as a lease, and is extended while its holder lives. Pieces that wait for a write on
 * its way travel together, and large ones in parts. Once a write fails nothing more is written: a gap
 * is no audio.
 */
import type { Clock } from '@cache/core';
import type { Broadcast, BroadcastEnd } from '../fleet.ts';
import { type RedisLink, script } from './link.ts';

/** The part of a lease after which it is extended. */
const EXTEND_AFTER = 0.3;
/** How long the end stays for those who listen. */
const END_STAYS_MS = 1000;
/** No caller waits for these. */
const WRITE_MS = 1000;
const MAX_ENTRY = 64 * 1024;
/** Who follows is a little behind: so much is kept for him however small a clip may be. */
const LEAST_KEPT = 1024 * 1024;

type Kind = 'open' | 'piece' | BroadcastEnd['type'];

export interface BroadcastKeys {
  readonly lease: string;
  readonly stream: string;
  readonly followers: string;
}

export interface BroadcastParts {
  readonly link: RedisLink;
  readonly clock: Clock;
  readonly keys: BroadcastKeys;
  readonly token: string;
  /** How long nobody else speaks the clip after this holder has fallen silent. */
  readonly leaseMs: number;
}

const extend = script('extend');
const release = script('release');

export class RedisBroadcast implements Broadcast {
  readonly #link: RedisLink;
  readonly #clock: Clock;
  readonly #keys: BroadcastKeys;
  readonly #token: string;
  readonly #leaseMs: number;
  #last = 1;
  #waiting: Buffer[] = [];
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  #isBroken = false;
  #isHeld = true;
  #isOver = false;
  #isReleased = false;
  /** Sizes of the entries that are kept, from `#firstKept` on. */
  #sizes: number[] = [];
  #kept = 0;
  #firstKept = 3;
  /** What came at once is here at once: who follows can't be less behind than by so much. */
  #largest = LEAST_KEPT;
  #cancel: (() => void) | undefined;

  constructor({ link, clock, keys, token, leaseMs }: BroadcastParts) {
    this.#link = link;
    this.#clock = clock;
    this.#keys = keys;
    this.#token = token;
    this.#leaseMs = leaseMs;
    this.#extendLater();
  }

  open(mediaType: string): void {
    this.#writing = this.#write('open', Buffer.from(mediaType), Number.POSITIVE_INFINITY);
  }

  piece(bytes: Uint8Array, keep: number): void {
    if (this.#isBroken || this.#isOver) return;
    this.#largest = Math.max(this.#largest, bytes.byteLength);
    const own = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < own.byteLength; at += MAX_ENTRY) {
      this.#waiting.push(own.subarray(at, at + MAX_ENTRY));
    }
    if (this.#isWriting) return;
    this.#isWriting = true;
    this.#writing = this.#writing.then(() => this.#writePieces(keep));
  }

  async isHeld(): Promise<boolean> {
    await this.#extend();
    return this.#isHeld;
  }

  async isFollowed(): Promise<boolean> {
    return (await this.#extend()) ?? false;
  }

  end(outcome: BroadcastEnd): void {
    this.#isOver = true;
    const value = outcome.type === 'failed' ? JSON.stringify(outcome) : '';
    this.#writing = this.#writing.then(() =>
      this.#write(outcome.type, Buffer.from(value), Number.POSITIVE_INFINITY),
    );
  }

  async release(): Promise<boolean> {
    await this.#writing;
    this.#isReleased = true;
    this.#cancel?.();
    const { lease, stream } = this.#keys;
    const args = [this.#token, END_STAYS_MS];
    const reply = await this.#link
      .script(release, [lease, stream], args, { ms: WRITE_MS })
      .catch(() => 1);
    if (reply !== 1) this.#isHeld = false;
    return this.#isHeld;
  }

  async #writePieces(keep: number): Promise<void> {
    while (this.#waiting.length > 0 && !this.#isBroken) {
      let size = 0;
      let count = 0;
      for (const piece of this.#waiting) {
        if (count > 0 && size + piece.byteLength > MAX_ENTRY) break;
        size += piece.byteLength;
        count += 1;
      }
      await this.#write('piece', Buffer.concat(this.#waiting.splice(0, count)), keep);
    }
    this.#isWriting = false;
  }

  async #write(kind: Kind, value: Buffer, keep: number): Promise<void> {
    if (this.#isBroken) return;
    this.#last += 1;
    const id = `${this.#last}-0`;
    if (kind === 'piece') this.#keep(value.byteLength, keep);
    const { stream } = this.#keys;
    try {
      const replies = await this.#link.run(
        (client) => {
          const pipeline = client.pipeline();
          // Not made anew: where it is gone, this instance counts as gone.
          pipeline.call('XADD', stream, 'NOMKSTREAM', id, 'k', kind, 'v', value);
          pipeline.pexpire(stream, this.#leaseMs);
          if (this.#firstKept > 3) pipeline.call('XTRIM', stream, 'MINID', `${this.#firstKept}-0`);
          return pipeline.exec();
        },
        { ms: WRITE_MS },
      );
      const [error, added] = replies?.[0] ?? [];
      if (error !== null || added === null) this.#isBroken = true;
    } catch {
      this.#isBroken = true;
    }
  }

  #keep(size: number, keep: number): void {
    this.#sizes.push(size);
    this.#kept += size;
    while (this.#kept > Math.max(keep, this.#largest) && this.#sizes.length > 1) {
      this.#kept -= this.#sizes.shift() ?? 0;
      this.#firstKept += 1;
    }
  }

  /** Whether somebody follows; `undefined` where it can't be told. */
  async #extend(): Promise<boolean | undefined> {
    const { lease, stream, followers } = this.#keys;
    try {
      const args = [this.#token, this.#leaseMs];
      const reply = await this.#link.script(extend, [lease, stream, followers], args, {
        ms: WRITE_MS,
      });
      if (!Array.isArray(reply)) return undefined;
      if (reply[0] !== 1) this.#isHeld = false;
      return reply[1] === 1;
    } catch {
      return undefined;
    }
  }

  #extendLater(): void {
    this.#cancel = this.#clock.after(this.#leaseMs * EXTEND_AFTER, () => {
      void this.#extend().then(() => {
        if (!this.#isReleased) this.#extendLater();
      });
    });
  }
}
