/**
 * What the bytes of a clip are, from their own headers: without a decoder, and without trust. It
 * tells audio from the pages that arrive in its place, a whole clip from a part of one, and how
 * long it sounds.
 */
import type { AudioFormat, Codec } from './formats.ts';
import { mp3Duration } from './mp3-frames.ts';

/** What bytes begin like. `text`: a page or an error; `unknown`: raw samples, or what nobody knows. */
export type Sniffed = 'wav' | 'mp3' | 'ogg' | 'flac' | 'aac' | 'mp4' | 'text' | 'unknown';

/** Why bytes are no clip of the format that they are said to be. */
export type MediaProblem = 'empty' | 'text' | 'other format' | 'truncated';

/** More than this is not needed to tell. */
export const SNIFF_BYTES = 64;

const CONTAINERS = {
  wav: ['wav'],
  mp3: ['mp3'],
  opus: ['ogg'],
  flac: ['flac'],
  aac: ['aac', 'mp4'],
  pcm: undefined,
  ulaw: undefined,
} as const satisfies Record<Codec, readonly Sniffed[] | undefined>;

/** How the pages begin that arrive in place of audio, in lower case. */
export const PAGES: readonly string[] = ['<!doctype', '<html', '<?xml', '<head', '<body', '<error'];

/** JSON with a first field or nothing in it: no raw samples begin like this by chance. */
const OBJECT = /^[[{]\s*(?:"[^"]{0,40}"\s*:|[\]}]|\{\s*")/;

export function sniff(bytes: Uint8Array): Sniffed {
  const start = Buffer.from(
    bytes.buffer,
    bytes.byteOffset,
    Math.min(bytes.byteLength, SNIFF_BYTES),
  );
  const at = (from: number, text: string) =>
    start.toString('latin1', from, from + text.length) === text;
  if (at(0, 'RIFF') && at(8, 'WAVE')) return 'wav';
  if (at(0, 'OggS')) return 'ogg';
  if (at(0, 'fLaC')) return 'flac';
  if (at(4, 'ftyp')) return 'mp4';
  if (at(0, 'ID3')) return 'mp3';
  if (start[0] === 0xff && ((start[1] ?? 0) & 0xe0) === 0xe0) {
    // The two bits of the layer: none in ADTS.
    return ((start[1] ?? 0) & 0x06) === 0 ? 'aac' : 'mp3';
  }
  const text = start.toString('latin1').replace('\u00ef\u00bb\u00bf', '').trimStart();
  const isPage = PAGES.some((page) => text.toLowerCase().startsWith(page));
  return isPage || OBJECT.test(text) ? 'text' : 'unknown';
}

/** Whether bytes begin as this codec does. Raw samples begin like anything but text. */
export function beginsLike(bytes: Uint8Array, codec: Codec): boolean {
  const begins = sniff(bytes);
  const containers: readonly Sniffed[] | undefined = CONTAINERS[codec];
  return containers === undefined ? begins !== 'text' : containers.includes(begins);
}

/** What is wrong with a whole clip; `undefined`: nothing that its headers could tell. */
export function problemOf(bytes: Uint8Array, codec: Codec): MediaProblem | undefined {
  if (bytes.byteLength === 0) return 'empty';
  if (sniff(bytes) === 'text') return 'text';
  if (!beginsLike(bytes, codec)) return 'other format';
  if (codec !== 'wav') return undefined;
  const wav = parseWav(bytes);
  if (wav === undefined) return 'other format';
  return wav.isWhole ? undefined : 'truncated';
}

/** Whether bytes begin as a WAV, and end before the samples that its header names do. */
export function isCutShort(bytes: Uint8Array): boolean {
  if (Buffer.from(bytes.subarray(0, 4)).toString('latin1') !== 'RIFF') return false;
  return parseWav(bytes)?.isWhole !== true;
}

/** Milliseconds; `undefined` where only a decoder could tell. Raw samples are one channel. */
export function durationMs(bytes: Uint8Array, format: AudioFormat): number | undefined {
  switch (format.codec) {
    case 'pcm':
      return Math.round((bytes.byteLength / 2 / format.sampleRate) * 1_000);
    case 'ulaw':
      return Math.round((bytes.byteLength / format.sampleRate) * 1_000);
    case 'wav': {
      const wav = parseWav(bytes);
      if (wav === undefined || wav.bytesPerSecond === 0) return undefined;
      return Math.round((wav.dataBytes / wav.bytesPerSecond) * 1_000);
    }
    case 'mp3':
      return mp3Duration(bytes);
    case 'aac':
    case 'opus':
    case 'flac':
      return undefined;
    default:
      return format.codec satisfies never;
  }
}

export interface Wav {
  /** 1: PCM, 7: µ-law. */
  readonly encoding: number;
  readonly channels: number;
  readonly sampleRate: number;
  readonly bytesPerSecond: number;
  readonly bitsPerSample: number;
  readonly dataAt: number;
  /** Of the samples that are there. */
  readonly dataBytes: number;
  /** As many samples as the header names, where it names any. */
  readonly isWhole: boolean;
}

/** Who writes a WAV before its end is known says that it is as long as can be, or nothing. */
const UNKNOWN_LENGTH = 0x7fff_ff00;

/** `undefined`: no WAV, or one that ends before its samples begin. */
export function parseWav(bytes: Uint8Array): Wav | undefined {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (sniff(file) !== 'wav') return undefined;
  let format: Buffer | undefined;
  for (let at = 12; at + 8 <= file.length; ) {
    const name = file.toString('latin1', at, at + 4);
    const length = file.readUInt32LE(at + 4);
    const from = at + 8;
    if (name === 'fmt ' && length >= 16 && from + 16 <= file.length) format = file.subarray(from);
    if (name === 'data') return format && wavOf(format, from, length, file.length - from);
    // Chunks are padded to an even length.
    at = from + length + (length % 2);
  }
  return undefined;
}

function wavOf(format: Buffer, dataAt: number, stated: number, there: number): Wav {
  const isStated = stated !== 0 && stated < UNKNOWN_LENGTH;
  return {
    encoding: format.readUInt16LE(0),
    channels: format.readUInt16LE(2),
    sampleRate: format.readUInt32LE(4),
    bytesPerSecond: format.readUInt32LE(8),
    bitsPerSample: format.readUInt16LE(14),
    dataAt,
    dataBytes: isStated ? Math.min(stated, there) : there,
    isWhole: !isStated || there >= stated,
  };
}
