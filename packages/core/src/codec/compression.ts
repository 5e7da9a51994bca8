/**
 * Compression that stops where it does not pay.
 *
 * A result is kept only where it saves enough. Each namespace learns by itself, in one of two
 * states:
 *
 *   trying    every payload from the threshold on is compressed.
 *             8 failures in a row → resting
 *   resting   one payload in `gap` is tried, the others are left alone. `gap` begins at 16.
 *             a success → trying · a failure → the gap doubles, up to 256
 *
 * It is deterministic: what happens depends on the payloads and their order alone. The states
 * are bounded; namespaces beyond the bound share one. Reading never depends on any of this.
 */
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { ConfigError } from '../errors.ts';
import { ASYNC_BYTES, type Compressor, type Packed } from './payload.ts';

export interface CompressionSettings {
  /** `auto`: zstd where the runtime has it, else zlib. */
  readonly algorithm: 'auto' | 'zstd' | 'zlib' | 'off';
  /** Payloads below this many bytes are left alone. */
  readonly threshold: number;
  /** The part of its size that a payload must shrink by to be kept compressed. */
  readonly minSaving: number;
}

type Algorithm = 'zstd' | 'zlib';

/** Why a payload was left as it was. */
export type SkipReason = 'off' | 'small' | 'resting' | 'no gain' | 'failed';

/** Where the counters are. Called for every payload: an increment, nothing more. */
export interface CompressionSink {
  compressed(bytesIn: number, bytesOut: number): void;
  skipped(reason: SkipReason): void;
}

const FAILURES_BEFORE_REST = 8;
const FIRST_GAP = 16;
const LONGEST_GAP = 256;
const MAX_NAMESPACES = 1024;

const hasZstd = typeof zlib.zstdCompressSync === 'function';

function algorithmOf({ algorithm }: CompressionSettings): Algorithm | 'off' {
  if (algorithm === 'auto') return hasZstd ? 'zstd' : 'zlib';
  if (algorithm === 'zstd' && !hasZstd) {
    throw new ConfigError("compression.algorithm is 'zstd', which this runtime does not have");
  }
  return algorithm;
}

/** One per cache: hands each namespace its compressor. */
export class Compression {
  readonly #settings: CompressionSettings;
  readonly #algorithm: Algorithm | 'off';
  readonly #sink: CompressionSink;
  readonly #compressors = new Map<string, Compressor>();

  /** Throws {@link ConfigError} where the runtime lacks the algorithm that was asked for. */
  constructor(settings: CompressionSettings, sink: CompressionSink) {
    this.#settings = settings;
    this.#algorithm = algorithmOf(settings);
    this.#sink = sink;
  }

  for(namespace: string): Compressor {
    // No namespace is called '': it is the state that those beyond the bound share.
    const known = this.#compressors.get(namespace);
    if (known !== undefined) return known;
    if (namespace !== '' && this.#compressors.size >= MAX_NAMESPACES) return this.for('');
    const made = new AdaptiveCompressor(this.#algorithm, this.#settings, this.#sink);
    this.#compressors.set(namespace, made);
    return made;
  }
}

class AdaptiveCompressor implements Compressor {
  readonly #algorithm: Algorithm | 'off';
  readonly #settings: CompressionSettings;
  readonly #sink: CompressionSink;
  #failures = 0;
  #gap = FIRST_GAP;
  /** Resting: how many more payloads are left alone before the next try. */
  #rest = 0;

  constructor(algorithm: Algorithm | 'off', settings: CompressionSettings, sink: CompressionSink) {
    this.#algorithm = algorithm;
    this.#settings = settings;
    this.#sink = sink;
  }

  compress(raw: Uint8Array): Packed | Promise<Packed> {
    const algorithm = this.#algorithm;
    if (algorithm === 'off') return this.#skip(raw, 'off');
    if (raw.byteLength < this.#settings.threshold || raw.byteLength === 0)
      return this.#skip(raw, 'small');
    if (this.#rest > 0) {
      this.#rest -= 1;
      return this.#skip(raw, 'resting');
    }
    if (raw.byteLength > ASYNC_BYTES) return this.#compressLater(algorithm, raw);
    try {
      return this.#judge(algorithm, raw, deflateNow(algorithm, raw));
    } catch {
      return this.#skip(raw, 'failed');
    }
  }

  async #compressLater(algorithm: Algorithm, raw: Uint8Array): Promise<Packed> {
    // Large payloads that arrive meanwhile are tried as well: what is in flight says nothing yet.
    try {
      return this.#judge(algorithm, raw, await deflateLater(algorithm, raw));
    } catch {
      return this.#skip(raw, 'failed');
    }
  }

  #judge(algorithm: Algorithm, raw: Uint8Array, bytes: Uint8Array): Packed {
    const worthwhile = bytes.byteLength <= raw.byteLength * (1 - this.#settings.minSaving);
    this.#learn(worthwhile);
    if (!worthwhile) return this.#skip(raw, 'no gain');
    this.#sink.compressed(raw.byteLength, bytes.byteLength);
    return { encoding: algorithm, bytes };
  }

  #learn(worthwhile: boolean): void {
    if (worthwhile) {
      this.#failures = 0;
      this.#gap = FIRST_GAP;
      this.#rest = 0;
      return;
    }
    this.#failures += 1;
    if (this.#failures < FAILURES_BEFORE_REST) return;
    this.#rest = this.#gap - 1;
    this.#gap = Math.min(this.#gap * 2, LONGEST_GAP);
  }

  #skip(raw: Uint8Array, reason: SkipReason): Packed {
    this.#sink.skipped(reason);
    return { encoding: 'plain', bytes: raw };
  }
}

const deflateAsync = promisify<Uint8Array, zlib.ZlibOptions, Uint8Array>(zlib.deflate);

/** Half the time of the default level, for results about five per cent larger. */
const ZLIB_LEVEL = 3;

function deflateNow(algorithm: Algorithm, raw: Uint8Array): Uint8Array {
  return algorithm === 'zstd'
    ? zlib.zstdCompressSync(raw, { pledgedSrcSize: raw.byteLength })
    : zlib.deflateSync(raw, { level: ZLIB_LEVEL });
}

function deflateLater(algorithm: Algorithm, raw: Uint8Array): Promise<Uint8Array> {
  if (algorithm === 'zlib') return deflateAsync(raw, { level: ZLIB_LEVEL });
  return promisify<Uint8Array, zlib.ZstdOptions, Uint8Array>(zlib.zstdCompress)(raw, {
    pledgedSrcSize: raw.byteLength,
  });
}
