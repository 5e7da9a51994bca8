/** A request to speak as it comes over HTTP: its shape; what it says is checked where it is resolved. */
import { z } from '@hono/zod-openapi';
import { SpeechRequestError } from './errors.ts';
import type { Codec, FormatName } from './formats.ts';
import type { SpeechRequest } from './request.ts';

const CODECS = [
  'mp3',
  'wav',
  'pcm',
  'ulaw',
  'opus',
  'aac',
  'flac',
] as const satisfies readonly Codec[];

/** What a client may say of how something sounds. */
export interface SpokenRequest {
  readonly text?: string | undefined;
  readonly ssml?: string | undefined;
  readonly voice?: string | undefined;
  readonly language?: string | undefined;
  readonly contentType?: string | undefined;
  readonly format?: string | undefined;
  readonly settings?: Readonly<Record<string, string | number | boolean>> | undefined;
}

const setting: z.ZodUnion<readonly [z.ZodString, z.ZodNumber, z.ZodBoolean]> = z.union([
  z.string(),
  z.number(),
  z.boolean(),
]);

/** Fields of {@link SpokenRequest}, for schemas that have more of them. */
export const spokenFields: {
  readonly text: z.ZodOptional<z.ZodString>;
  readonly ssml: z.ZodOptional<z.ZodString>;
  readonly voice: z.ZodOptional<z.ZodString>;
  readonly language: z.ZodOptional<z.ZodString>;
  readonly contentType: z.ZodOptional<z.ZodString>;
  readonly format: z.ZodOptional<z.ZodString>;
  readonly settings: z.ZodOptional<z.ZodRecord<z.ZodString, typeof setting>>;
} = {
  text: z.string().optional().openapi({ example: 'Welcome to the hotel.' }),
  ssml: z.string().optional().openapi({ description: 'Instead of text.' }),
  voice: z.string().optional().openapi({ description: 'As its provider calls it.', example: 'en' }),
  language: z.string().optional().openapi({ example: 'en' }),
  contentType: z.string().optional().openapi({
    description: 'What it is, which decides how long it is kept.',
    example: 'welcome_message',
  }),
  format: z.string().optional().openapi({
    description: 'A codec, with or without sample rate and kilobits: wav, mp3_44100_128.',
    example: 'wav',
  }),
  settings: z
    .record(z.string(), setting)
    .optional()
    .openapi({
      description: 'Of the voice, as its provider calls them.',
      example: { speed: 1 },
    }),
};

/** What is asked of the speech cache. Throws `SpeechRequestError` for a format that nobody knows. */
export function requestOf(
  { format, voice, ...rest }: SpokenRequest,
  defaultVoice?: string,
): SpeechRequest {
  const asked = voice ?? defaultVoice;
  if (asked === undefined) {
    throw new SpeechRequestError('bad-field', 'voice', 'voice is missing: it names who speaks');
  }
  return {
    ...rest,
    voice: asked,
    ...(format === undefined ? {} : { format: formatNamed(format) }),
  };
}

function formatNamed(text: string): FormatName {
  const [, name, rate, bitrate] =
    /^([a-z0-9]{1,8})(?:_(\d{1,6}))?(?:_(\d{1,4}))?$/.exec(text) ?? [];
  const codec = CODECS.find((known) => known === name);
  if (codec === undefined) {
    throw new SpeechRequestError(
      'unknown-format',
      'format',
      `format is none that is known here: ${CODECS.join(', ')}, with or without _<sample rate>_<kilobits>`,
    );
  }
  return {
    codec,
    ...(rate === undefined ? {} : { sampleRate: Number(rate) }),
    ...(bitrate === undefined ? {} : { bitrate: Number(bitrate) }),
  };
}
