/** The service: its books, its voice and its routes, on its environment. */
import { openSpeech, Popularity, type Provider } from '@cache/audio';
import { type Clock, type Logger, systemClock } from '@cache/core';
import { espeak } from '@cache/espeak';
import { openService, type ServiceEnvironment, serviceApi } from '@cache/http';
import { createClient } from '@supabase/supabase-js';
import { pino } from 'pino';
import { openLibrary } from './library.ts';
import { routes } from './routes.ts';
import { openShelf } from './shelf.ts';

export interface OpenOptions {
  readonly env: ServiceEnvironment;
  /** Default: lines of JSON on the standard output. */
  readonly logger?: Logger | undefined;
  /** Default: the embedded voice. Closed with the service. */
  readonly provider?: Provider | undefined;
  readonly clock?: Clock | undefined;
  /** Hearings of the last hour that make a book popular. Default 10. */
  readonly popularAt?: number | undefined;
}

/** A clip is kept as long as what says where it is; some minutes of samples. */
const POLICY = { ttls: { audiobook: '7d' }, maxClipBytes: 16 * 1024 * 1024 } as const;
/** A voice that never begins is found silent before who waits for it is refused. */
const SPEECH = { format: 'wav', policy: POLICY, firstByteTimeout: '50s' } as const;

/** Rejects with `ConfigError`, in one line, for what can't be used. */
export async function openAudiobooks(options: OpenOptions) {
  const { env, logger = pino({ base: null }), clock = systemClock, popularAt = 10 } = options;
  return await openService({
    env,
    logger,
    clock,
    keeps: 'the books',
    open: ({ l2, supabase, ...parts }) => {
      const { provider = espeak({ clock }) } = options;
      const speech = openSpeech({ ...parts, ...SPEECH, env, l2, provider });
      const auth = { persistSession: false, autoRefreshToken: false };
      const library = openLibrary(createClient(supabase.url, supabase.key, { auth }));
      const shelf = openShelf({ ...parts, library, speech: speech.cache, provider });
      const popularity = new Popularity({
        clock,
        threshold: popularAt,
        make: ({ book, voice, segment }, signal) => shelf.audio(book, voice, segment, signal),
      });
      const { fetch } = serviceApi({
        ...parts,
        title: 'Audiobooks',
        version: '1',
        description: 'Books, spoken once for everybody, and where each listener is.',
        routers: [routes(shelf, popularity, clock)],
      });
      return { fetch, shelf, popularity, closes: [popularity, shelf, speech, provider] };
    },
  });
}
