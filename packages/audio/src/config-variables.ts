/** The environment variables of a speech cache: the one list that code, documents and tests share. */

export type AudioVariableName =
  | 'AUDIO_CACHE_ENABLED'
  | 'AUDIO_CACHE_TTL_SECONDS'
  | 'AUDIO_CACHE_MAX_SIZE_MB'
  | 'AUDIO_CACHE_COMPRESSION_ENABLED'
  | 'AUDIO_CACHE_COMPRESSION_THRESHOLD_KB'
  | 'AUDIO_CACHE_COMPRESSION_LEVEL'
  | 'AUDIO_CACHE_DIR'
  | 'AUDIO_CACHE_TTL'
  | 'AUDIO_CACHE_MAX_SIZE'
  | 'AUDIO_CACHE_LOOKUP_TIMEOUT_MS'
  | 'AUDIO_CACHE_PRICES'
  | 'SPEECH_PROVIDER'
  | 'SPEECH_VOICE'
  | 'ELEVENLABS_API_KEY'
  | 'ELEVENLABS_BASE_URL'
  | 'ELEVENLABS_MODEL';

/** One of them, as documentation shows it. */
export interface AudioVariable {
  readonly name: AudioVariableName;
  /** As it would be written; empty where there is none. */
  readonly default: string;
  readonly description: string;
  /** Never to be shown, in logs or anywhere. */
  readonly secret: boolean;
}

/** Every variable that `audioFromEnv` reads. */
export const audioVariables: readonly AudioVariable[] = [
  {
    name: 'AUDIO_CACHE_ENABLED',
    default: 'true',
    description: 'false: speech is spoken anew each time, and nothing of it is kept.',
    secret: false,
  },
  {
    name: 'AUDIO_CACHE_TTL_SECONDS',
    default: '86400',
    description: 'How long clips in Redis are the answer, where their content type says nothing.',
    secret: false,
  },
  {
    name: 'AUDIO_CACHE_MAX_SIZE_MB',
    default: '100',
    description: 'Megabytes of clips in Redis, of all instances together.',
    secret: false,
  },
  {
    name: 'AUDIO_CACHE_COMPRESSION_ENABLED',
    default: 'true',
    description: 'Whether clips that gain by it (raw samples) are compressed.',
    secret: false,
  },
  {
    name: 'AUDIO_CACHE_COMPRESSION_THRESHOLD_KB',
    default: '100',
    description: 'Kilobytes from which on a clip is compressed.',
    secret: false,
  },
  {
    name: 'AUDIO_CACHE_COMPRESSION_LEVEL',
    default: '6',
    description: '1 (fast) to 9 (small).',
    secret: false,
  },
  {
    name: 'AUDIO_CACHE_DIR',
    default: 'cache/audio',
    description:
      'The directory of clips in files. Where it is set clips are kept in files; otherwise in Redis, and in files where there is none.',
    secret: false,
  },
  {
    name: 'AUDIO_CACHE_TTL',
    default: '86400',
    description: 'Seconds: the same as AUDIO_CACHE_TTL_SECONDS, of clips in files.',
    secret: false,
  },
  {
    name: 'AUDIO_CACHE_MAX_SIZE',
    default: '1073741824',
    description: 'Bytes of clips in files.',
    secret: false,
  },
  {
    name: 'AUDIO_CACHE_LOOKUP_TIMEOUT_MS',
    default: '50',
    description: 'What looking for a clip may cost before it is spoken anew.',
    secret: false,
  },
  {
    name: 'AUDIO_CACHE_PRICES',
    default: '',
    description:
      'What 1,000 characters cost, by provider, model and voice: elevenlabs=0.30,elevenlabs/eleven_flash_v2_5=0.15 in USD, or EUR:elevenlabs=0.28. For the statistics.',
    secret: false,
  },
  {
    name: 'SPEECH_PROVIDER',
    default: 'auto',
    description:
      'elevenlabs, espeak (the embedded voice), off, or auto: ElevenLabs where there is a key, otherwise the embedded voice where it is installed.',
    secret: false,
  },
  {
    name: 'SPEECH_VOICE',
    default: '',
    description:
      'Who speaks where nobody says; en for the embedded voice. With ElevenLabs the id of a voice: without one, each request has to name its own.',
    secret: false,
  },
  {
    name: 'ELEVENLABS_API_KEY',
    default: '',
    description: 'Of an ElevenLabs account: speech is spoken by ElevenLabs then.',
    secret: true,
  },
  {
    name: 'ELEVENLABS_BASE_URL',
    default: 'https://api.elevenlabs.io',
    description: 'Where ElevenLabs is spoken to; a regional address, say.',
    secret: false,
  },
  {
    name: 'ELEVENLABS_MODEL',
    default: 'eleven_multilingual_v2',
    description: 'The model of ElevenLabs.',
    secret: false,
  },
];
