/**
 * Compression of clips, by what they are.
 *
 *   pcm, ulaw, wav         raw samples: compressed from the threshold on
 *   mp3, opus, aac, flac   compressed by their codec: stored as they are, at no cost
 *   anything else          a piece from the middle of the clip is tried first: its beginning is
 *                          headers, silence or a picture, and says nothing of the rest
 *
 * Whatever it is, a result that saves less than `minSaving` is dropped. Reading depends on none
 * of this: what is packed says how. Packing and unpacking leave the thread to others.
 */
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';

export type Encoding = 'plain' | 'zlib' | 'zstd';

export interface ClipCompressionOptions {
  /** Default `true`. What is compressed already is read in any case. */
  readonly enabled?: boolean | undefined;
  /** Default `zlib`. `zstd` is the faster one; readers need Node 22.15. */
  readonly algorithm?: 'zlib' | 'zstd' | undefined;
  /** Clips of fewer bytes are left as they are. Default 100 KB (102,400). */
  readonly thresholdBytes?: number | undefined;
  /** 1 (fast) to 9 (small). Default 6. */
  readonly level?: number | undefined;
  /** The part of its size that a clip must shrink by, 0 to 1. Default 0.1. */
  readonly minSaving?: number | undefined;
  /** No clip is unpacked to more bytes than this. Default 64 MB. */
  readonly maxRawBytes?: number | undefined;
}

export interface Packed {
  readonly encoding: Encoding;
  /** What it is unpacked. */
  readonly rawBytes: number;
  readonly bytes: Uint8Array;
}

/** Why a clip was stored as it came. */
export type LeftAlone = 'off' | 'small' | 'format' | 'probe' | 'no gain' | 'failed';

/** What happened since the start. `ratios` counts clips by original over compressed size. */
export interface CompressionCounts {
  readonly compressed: number;
  readonly decompressed: number;
  /** Packed clips that were not what they said they were. */
  readonly corrupt: number;
  readonly leftAlone: Readonly<Record<LeftAlone, number>>;
  /** Of the clips that were compressed. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Not cumulative; the last one has no upper end (`Infinity`). */
  readonly ratios: readonly { readonly upTo: number; readonly clips: number }[];
  readonly ratioSum: number;
}

/** Upper ends of {@link CompressionCounts.ratios}. */
export const RATIO_BUCKETS: readonly number[] = Object.freeze([1.25, 1.5, 2, 3, 5, 10, Infinity]);

const DEFAULTS = {
  enabled: true,
  algorithm: 'zlib',
  thresholdBytes: 100 * 1024,
  level: 6,
  minSaving: 0.1,
  maxRawBytes: 64 * 1024 * 1024,
} as const satisfies ClipCompressionOptions;

const SAMPLES: ReadonlySet<string> = new Set(['pcm', 'ulaw', 'wav']);
const CODED: ReadonlySet<string> = new Set(['mp3', 'opus', 'aac', 'flac']);
const PROBE_BYTES = 16 * 1024;
/**
 * What is packed or unpacked in one step. Node's default is 16 KB, and between two steps the clip
 * waits for a thread, and for the event loop to come round: twenty times for a clip of 300 KB,
 * which took longer than all else together. Clips of the usual limit of 2 MB take one step now.
 */
const STEP_BYTES = 4 * 1024 * 1024;
/** Less than this zlib does not take. */
const LEAST_STEP_BYTES = 64;

const deflate = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.deflate);
const inflate = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.inflate);
const zstd = promisify<Uint8Array, zlib.ZstdOptions, Buffer>(zlib.zstdCompress);
const unzstd = promisify<Uint8Array, zlib.ZstdOptions, Buffer>(zlib.zstdDecompress);

/** One per store: packs, unpacks and counts. Throws `RangeError` for an option out of range. */
export class ClipCompression {
  readonly #options: ResolvedCompression;
  readonly #leftAlone = { off: 0, small: 0, format: 0, probe: 0, 'no gain': 0, failed: 0 };
  readonly #ratios = RATIO_BUCKETS.map(() => 0);
  #compressed = 0;
  #decompressed = 0;
  #corrupt = 0;
  #bytesIn = 0;
  #bytesOut = 0;
  #ratioSum = 0;

  constructor(options: ClipCompressionOptions = {}) {
    this.#options = resolve(options);
  }

  get options(): ResolvedCompression {
    return this.#options;
  }

  /** `format` is the codec of the clip: see `ClipMetadata.format`. Never throws. */
  async pack(raw: Uint8Array, format: string): Promise<Packed> {
    const reason = this.#leaves(raw, format);
    if (reason !== undefined) return this.#leave(raw, reason);
    try {
      const isKnown = SAMPLES.has(format);
      if (!isKnown && !this.#saves(...(await this.#probe(raw)))) return this.#leave(raw, 'probe');
      const bytes = await this.#deflate(raw);
      if (!this.#saves(raw.byteLength, bytes.byteLength)) return this.#leave(raw, 'no gain');
      this.#count(raw.byteLength, bytes.byteLength);
      return { encoding: this.#options.algorithm, rawBytes: raw.byteLength, bytes };
    } catch {
      return this.#leave(raw, 'failed');
    }
  }

  /** `undefined`: not what it says it is, or larger than anything is unpacked to. */
  async unpack({ encoding, rawBytes, bytes }: Packed): Promise<Uint8Array | undefined> {
    if (encoding === 'plain') return bytes.byteLength === rawBytes ? bytes : this.#foundCorrupt();
    if (!(rawBytes > 0 && rawBytes <= this.#options.maxRawBytes)) return this.#foundCorrupt();
    try {
      // One byte more would be one too many: it stops there, however much is still to come.
      const bound = { maxOutputLength: rawBytes, chunkSize: stepFor(rawBytes) };
      const raw = await (encoding === 'zlib' ? inflate(bytes, bound) : unzstd(bytes, bound));
      if (raw.byteLength !== rawBytes) return this.#foundCorrupt();
      this.#decompressed += 1;
      return raw;
    } catch {
      return this.#foundCorrupt();
    }
  }

  counts(): CompressionCounts {
    return {
      compressed: this.#compressed,
      decompressed: this.#decompressed,
      corrupt: this.#corrupt,
      leftAlone: { ...this.#leftAlone },
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      ratios: RATIO_BUCKETS.map((upTo, i) => ({ upTo, clips: this.#ratios[i] ?? 0 })),
      ratioSum: this.#ratioSum,
    };
  }

  #leaves(raw: Uint8Array, format: string): LeftAlone | undefined {
    if (!this.#options.enabled) return 'off';
    if (CODED.has(format)) return 'format';
    if (raw.byteLength === 0 || raw.byteLength < this.#options.thresholdBytes) return 'small';
    return undefined;
  }

  /** Sizes of a piece from the middle, before and after. */
  async #probe(raw: Uint8Array): Promise<readonly [number, number]> {
    const from = Math.max(0, Math.floor((raw.byteLength - PROBE_BYTES) / 2));
    const piece = raw.subarray(from, from + PROBE_BYTES);
    return [piece.byteLength, (await this.#deflate(piece)).byteLength];
  }

  #deflate(raw: Uint8Array): Promise<Uint8Array> {
    const { algorithm, level } = this.#options;
    const chunkSize = stepFor(raw.byteLength);
    if (algorithm === 'zlib') return deflate(raw, { level, chunkSize });
    return zstd(raw, {
      chunkSize,
      pledgedSrcSize: raw.byteLength,
      params: { [zlib.constants.ZSTD_c_compressionLevel]: level },
    });
  }

  #saves(before: number, after: number): boolean {
    return after <= before * (1 - this.#options.minSaving);
  }

  #count(before: number, after: number): void {
    this.#compressed += 1;
    this.#bytesIn += before;
    this.#bytesOut += after;
    const ratio = before / after;
    this.#ratioSum += ratio;
    const bucket = RATIO_BUCKETS.findIndex((upTo) => ratio <= upTo);
    this.#ratios[bucket] = (this.#ratios[bucket] ?? 0) + 1;
  }

  #leave(raw: Uint8Array, reason: LeftAlone): Packed {
    this.#leftAlone[reason] += 1;
    return { encoding: 'plain', rawBytes: raw.byteLength, bytes: raw };
  }

  #foundCorrupt(): undefined {
    this.#corrupt += 1;
    return undefined;
  }
}

/** With room for one byte more than is expected: a step that fills its room is followed by another. */
function stepFor(bytes: number): number {
  return Math.max(LEAST_STEP_BYTES, Math.min(bytes + 1, STEP_BYTES));
}

export interface ResolvedCompression {
  readonly enabled: boolean;
  readonly algorithm: 'zlib' | 'zstd';
  readonly thresholdBytes: number;
  readonly level: number;
  readonly minSaving: number;
  readonly maxRawBytes: number;
}

function resolve(options: ClipCompressionOptions): ResolvedCompression {
  const resolved = {
    enabled: options.enabled ?? DEFAULTS.enabled,
    algorithm: options.algorithm ?? DEFAULTS.algorithm,
    thresholdBytes: options.thresholdBytes ?? DEFAULTS.thresholdBytes,
    level: options.level ?? DEFAULTS.level,
    minSaving: options.minSaving ?? DEFAULTS.minSaving,
    maxRawBytes: options.maxRawBytes ?? DEFAULTS.maxRawBytes,
  };
  const { level, thresholdBytes, minSaving, maxRawBytes } = resolved;
  if (!Number.isInteger(level) || level < 1 || level > 9) {
    throw new RangeError('option "compression.level" takes a whole number from 1 to 9');
  }
  if (!(thresholdBytes >= 0)) {
    throw new RangeError('option "compression.thresholdBytes" takes a number of bytes');
  }
  if (!(minSaving >= 0 && minSaving < 1)) {
    throw new RangeError('option "compression.minSaving" takes a part of one');
  }
  if (!(maxRawBytes > 0)) {
    throw new RangeError('option "compression.maxRawBytes" takes a number of bytes');
  }
  return Object.freeze(resolved);
}
