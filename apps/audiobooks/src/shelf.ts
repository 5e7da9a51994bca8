/**
 * The four namespaces of the service, with the keys and times of its source (an audiobook
 * service's Redis cache), and what makes them old:
 *
 *   audio        {documentId}:{voiceId}:{segmentNum}:{revision}, or {audioId}   derived   7 d
 *   book_audios  {bookId}:{voiceId}                                             derived   1 h
 *   progress     {userId}:{documentId}                                          record    1 h in L2
 *   book         {bookId}, or {documentId}                                      derived   1 d
 *
 * A new audio makes the lists of its book old; an edited book itself and its lists. An edited text
 * has another revision, so its audio has another key, and the old one is in no list any more.
 */
import {
  haveSpoken,
  keptResponse,
  type Provider,
  type SpeechCache,
  StoreError,
  speechResponse,
  spoken,
} from '@cache/audio';
import { table } from '@cache/core';
import { Invalidations, ProblemError, type ServiceParts } from '@cache/http';
import type { Library, Place, StoredAudio } from './library.ts';
import * as schemas from './schemas.ts';

/** An audio, and where it is heard. */
export type Audio = StoredAudio & { readonly audioUrl: string; readonly cachedAt: string };
export type Shelf = ReturnType<typeof openShelf>;

export const progressTable = table({
  name: 'progress',
  key: ['user_id', 'document_id'],
  columns: ['voice_id', 'segment_id', 'intra_ms', 'heard_at'],
  scope: ['user', 'user_id'],
});

export interface ShelfParts extends Pick<ServiceParts, 'cache' | 'clock'> {
  readonly library: Library;
  readonly speech: SpeechCache;
  readonly provider: Provider;
}

/** A voice that speaks for everybody, one text at a time, takes its time. */
const MAKING = '60s';

export function openShelf({ cache, library, speech, provider, clock }: ShelfParts) {
  const invalidations = new Invalidations(cache, clock);
  const progress = cache.records('progress', { table: progressTable, schema: schemas.progress });
  const books = cache.derived('book', {
    load: (name: string, { signal }) => library.book(name, signal),
    ttl: '1d',
    // A listener can go on while Supabase is away.
    grace: '1d',
    soft: '80ms',
    tags: (name, book) => [`book-${name}`, ...(book ? [`book-${book.id}`] : [])],
  });
  const audios = cache.derived<string, Audio | undefined>('audio', { ttl: '7d', hard: MAKING });
  const lists = cache.derived('book_audios', {
    load: async (key: string, { signal }) => {
      const [book, voice = ''] = key.split(':');
      const listed = await library.audios(Number(book), voice, signal);
      return cached({ audios: listed.map(audible), count: listed.length });
    },
    ttl: '1h',
    grace: '1h',
    tags: (key) => [`book_audios-${key.split(':')[0]}`],
  });

  /** Its lists, in every voice, are made anew by whoever asks for one next. */
  const invalidateBookAudios = (bookId: number) =>
    invalidations.invalidate([`book_audios-${bookId}`]);

  async function make(place: Place, signal: AbortSignal) {
    const { bookId, documentId } = place;
    const text = await library.text(place, signal);
    if (text === undefined) {
      // The book is another one than this instance has heard of.
      await invalidations.invalidate([`book-${bookId}`, `book-${documentId}`]);
      throw new ProblemError(503, 'The book is being edited: try again.');
    }
    const speaking = () => haveSpoken(speech, requestOf(place, text), provider, { signal });
    const { key, durationMs = 0, expiresAt = clock.now() } = await spoken(speaking);
    // Also where the answer is lost: the list may have it by then.
    const added = library.add(place, key, durationMs, signal);
    const { audioId } = await added.finally(() => invalidateBookAudios(bookId));
    const audio = audible({ ...place, audioId, audioKey: key, durationMs });
    return { audio: cached(audio), expiresAt };
  }

  const cached = <T extends object>(value: T) => {
    return { ...value, cachedAt: new Date(clock.now()).toISOString() };
  };

  return {
    progress,
    invalidateBookAudios,

    /** By its number or its document. */
    book: (name: string) => books.get(name),

    async putBook(id: number, book: schemas.NewBook): Promise<void> {
      // The name that its document had before bears the tag of its number, too.
      const names = [`book-${id}`, `book-${book.documentId}`];
      // Whoever hangs up, and an answer that is lost, do not take back what is written.
      const put = library.putBook(id, book);
      await put.finally(() => invalidations.invalidate([...names, `book_audios-${id}`]));
    },

    list: (bookId: number, voiceId: string) => lists.lookup(`${bookId}:${voiceId}`),

    /** Of a segment as its text is now; made where nobody has asked for it. `undefined`: no such. */
    async audio(name: string, voiceId: string, segmentNum: number, abort?: AbortSignal) {
      const book = await books.get(name);
      const revision = book?.revisiones[segmentNum - 1];
      if (book === undefined || revision === undefined) return undefined;
      const { id: bookId, documentId } = book;
      return await audios.getOrSet(
        `${documentId}:${voiceId}:${segmentNum}:${revision}`,
        async (_key, { signal, ttl }) => {
          const place = { bookId, documentId, voiceId, segmentNum, revision };
          const { audio, expiresAt } = await make(place, signal);
          // What it was made from is there for no longer.
          ttl(Math.max(1, expiresAt - clock.now()));
          return audio;
        },
        { deadline: MAKING, signal: abort },
      );
    },

    /** An audio that was made; as it is spoken again where its bytes are gone and its text is not. */
    async heard(id: string, request: Request) {
      const audio = await audios.getOrSet(id, async (_key, loading) => {
        const stored = await library.audio(id, loading.signal);
        return stored && cached(audible(stored));
      });
      if (audio === undefined) return undefined;
      const kept = await keptResponse(speech, audio.audioKey, request).catch((error: unknown) => {
        // Who can't say is passed by; a range that there is not stays one.
        if (!(error instanceof StoreError)) throw error;
      });
      if (kept) return { audio, answer: kept };
      const text = await library.text(audio, request.signal);
      if (text === undefined) return undefined;
      if (request.method === 'HEAD') return { audio, answer: new Response() };
      const options = { signal: request.signal };
      const speaking = () => speech.stream(requestOf(audio, text), provider, options);
      return { audio, answer: speechResponse(await spoken(speaking)) };
    },

    close: () => invalidations.close(),
  };
}

function requestOf({ voiceId }: Place, text: string) {
  return { text, voice: voiceId, contentType: 'audiobook' };
}

function audible<T extends { readonly audioId: number }>(one: T) {
  return { ...one, audioUrl: `/tts/audio/${one.audioId}` };
}
