/**
 * Walks the frames of an MP3: each begins with four bytes that say how long it is and how many
 * samples it holds, at a constant bit rate or not. Layer III alone: what speech comes in.
 */

const BITRATES = {
  v1: [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  v2: [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
} as const;
/** Of MPEG 1; MPEG 2 has halves, MPEG 2.5 quarters. */
const SAMPLE_RATES = [44_100, 48_000, 32_000] as const;
const LAYER_3 = 1;
/** By the two bits of the version. */
const VERSIONS = { 0: 'v2.5', 2: 'v2', 3: 'v1' } as const;

interface Frame {
  readonly bytes: number;
  readonly samples: number;
  readonly sampleRate: number;
}

/** Milliseconds of the whole frames; `undefined` where anything else lies between them. */
export function mp3Duration(bytes: Uint8Array): number | undefined {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = afterTag(file);
  let seconds = 0;
  let count = 0;
  while (at + 4 <= file.length && file.toString('latin1', at, at + 3) !== 'TAG') {
    const frame = frameAt(file, at);
    if (frame === undefined) return undefined;
    // The last one may be cut off.
    if (at + frame.bytes > file.length) break;
    const isTable = count === 0 && isXing(file.subarray(at, at + frame.bytes));
    if (!isTable) seconds += frame.samples / frame.sampleRate;
    at += frame.bytes;
    count += 1;
  }
  return count === 0 ? undefined : Math.round(seconds * 1_000);
}

function frameAt(file: Buffer, at: number): Frame | undefined {
  const header = file.readUInt32BE(at);
  if (header >>> 21 !== 0x7ff || ((header >>> 17) & 3) !== LAYER_3) return undefined;
  const version = versionOf((header >>> 19) & 3);
  const base = SAMPLE_RATES[(header >>> 10) & 3];
  if (version === undefined || base === undefined) return undefined;
  const isFirst = version === 'v1';
  const kilobits = BITRATES[isFirst ? 'v1' : 'v2'][((header >>> 12) & 15) - 1];
  if (kilobits === undefined) return undefined;
  const sampleRate = base / (isFirst ? 1 : version === 'v2' ? 2 : 4);
  const samples = isFirst ? 1_152 : 576;
  const padding = (header >>> 9) & 1;
  return {
    bytes: Math.floor((samples / 8) * 1_000 * (kilobits / sampleRate)) + padding,
    samples,
    sampleRate,
  };
}

function versionOf(bits: number): 'v1' | 'v2' | 'v2.5' | undefined {
  return bits === 0 || bits === 2 || bits === 3 ? VERSIONS[bits] : undefined;
}

/** A first frame that holds a table of contents, and no sound. */
function isXing(frame: Buffer): boolean {
  return frame.subarray(0, 48).includes('Xing') || frame.subarray(0, 48).includes('Info');
}

/** Where an ID3v2 tag ends: its length comes in four times seven bits. */
function afterTag(file: Buffer): number {
  if (file.length < 10 || file.toString('latin1', 0, 3) !== 'ID3') return 0;
  const length = [6, 7, 8, 9].reduce((sum, at) => sum * 128 + ((file[at] ?? 0) & 0x7f), 0);
  return 10 + length;
}
