/** Formats of audio: what may be asked for, and what they are called. */
import { SpeechRequestError } from './errors.ts';
import type { ResolvedRequest } from './provider.ts';

export type AudioFormat = ResolvedRequest['format'];
export type Codec = AudioFormat['codec'];

interface Shape {
  readonly mediaType: string;
  readonly sampleRate: number;
  readonly bitrate?: number;
}

/** What each codec is where nothing more is said. */
const SHAPES = {
  mp3: { mediaType: 'audio/mpeg', sampleRate: 44_100, bitrate: 128 },
  wav: { mediaType: 'audio/wav', sampleRate: 22_050 },
  pcm: { mediaType: 'audio/x-raw', sampleRate: 16_000 },
  ulaw: { mediaType: 'audio/basic', sampleRate: 8_000 },
  opus: { mediaType: 'audio/ogg', sampleRate: 48_000, bitrate: 64 },
  aac: { mediaType: 'audio/aac', sampleRate: 44_100, bitrate: 128 },
  flac: { mediaType: 'audio/flac', sampleRate: 44_100 },
} as const satisfies Record<Codec, Shape>;

/**
 * The media type that a format usually has. Bare samples are 16 bits, little-endian, of one channel,
 * and no registered type says that: `audio/L16` is big-endian.
 */
export function mediaTypeOf({ codec, sampleRate }: AudioFormat): string {
  const { mediaType } = SHAPES[codec];
  return codec === 'pcm' ? `${mediaType};format=S16LE;rate=${sampleRate};channels=1` : mediaType;
}

/** A format as a request may name it: `'mp3'`, `'mp3_44100_128'`, or in full. */
export type FormatName =
  | Codec
  | `${Codec}_${number}`
  | `${Codec}_${number}_${number}`
  | (Pick<AudioFormat, 'codec'> & Partial<AudioFormat>);

/** In full, frozen. Throws {@link SpeechRequestError} for what no codec of ours is. */
export function resolveFormat(format: FormatName): AudioFormat {
  const given = typeof format === 'string' ? parsed(format) : format;
  if (given === undefined || !isCodec(given.codec)) throw unknownFormat('format');
  const shape: Shape = SHAPES[given.codec];
  const sampleRate = whole(given.sampleRate ?? shape.sampleRate, 4_000, 192_000);
  const bitrate = given.bitrate ?? shape.bitrate;
  if (sampleRate === undefined) throw unknownFormat('format.sampleRate');
  if (bitrate === undefined) return Object.freeze({ codec: given.codec, sampleRate });
  const checked = whole(bitrate, 1, 2_000);
  if (checked === undefined) throw unknownFormat('format.bitrate');
  return Object.freeze({ codec: given.codec, sampleRate, bitrate: checked });
}

function parsed(text: string): (Pick<AudioFormat, 'codec'> & Partial<AudioFormat>) | undefined {
  const [, codec, rate, bitrate] =
    /^([a-z0-9]{1,8})(?:_(\d{1,6}))?(?:_(\d{1,4}))?$/.exec(text) ?? [];
  if (!isCodec(codec)) return undefined;
  return {
    codec,
    ...(rate === undefined ? {} : { sampleRate: Number(rate) }),
    ...(bitrate === undefined ? {} : { bitrate: Number(bitrate) }),
  };
}

function isCodec(text: unknown): text is Codec {
  return typeof text === 'string' && Object.hasOwn(SHAPES, text);
}

function whole(value: unknown, least: number, most: number): number | undefined {
  if (typeof value !== 'number' || !Number.isInteger(value)) return undefined;
  return value >= least && value <= most ? value : undefined;
}

function unknownFormat(part: string): SpeechRequestError {
  const known = Object.keys(SHAPES).join(', ');
  return new SpeechRequestError(
    'unknown-format',
    part,
    `${part} is no format of audio that is known here: ${known}, with a sample rate and kilobits`,
  );
}
