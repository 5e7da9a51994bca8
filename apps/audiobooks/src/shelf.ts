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
import { type Clip, durationMs, type Provider, type SpeechCache } from '@cache/audio';
import {
  type Cache,
  type Clock,
  type Derived,
  type DerivedLookup,
  LoadError,
  type MappedTable,
  type Records,
  table,
  UnavailableError,
} from '@cache/core';
import { isNoAnswer } from '@cache/http';
import { z } from '@hono/zod-openapi';
import type { Book, Library, ListedAudio, NewBook, Place, StoredAudio } from './library.ts';

/** An audio, and where it is heard. */
export type Audio = StoredAudio & { readonly audioUrl: string; readonly cachedAt: string };
/** What there is of a book in one voice. */
export interface AudioList {
  readonly audios: readonly (ListedAudio & { readonly audioUrl: string })[];
  readonly count: number;
  readonly cachedAt: string;
}

export const progressSchema = z
  .object({
    voice_id: z.string(),
    segment_id: z.int().min(1),
    intra_ms: z.int().min(0),
    heard_at: z
      .int()
      .nonnegative()
      .openapi({ description: 'Epoch milliseconds, by the clock of the service.' }),
  })
  .openapi('Progress');
export type Progress = z.infer<typeof progressSchema>;

export const progressTable: MappedTable<keyof Progress, 'user_id' | 'document_id'> = table({
  name: 'progress',
  key: ['user_id', 'document_id'],
  columns: {
    voice_id: 'voice_id',
    segment_id: 'segment_id',
    intra_ms: 'intra_ms',
    heard_at: 'heard_at',
  },
  scope: ['user', 'user_id'],
});

export interface ShelfParts {
  readonly cache: Cache;
  readonly library: Library;
  readonly speech: SpeechCache;
  readonly provider: Provider;
  readonly clock: Clock;
}

const AUDIO_TTL_MS = 7 * 86_400_000;
/** A voice that speaks for everybody takes its time. */
const MAKING = '60s';
/** An invalidation that Redis could not be told of is told again. */
const AGAIN_MS = 1000;

export class Shelf {
  readonly progress: Records<Progress>;
  readonly #parts: ShelfParts;
  readonly #books: Derived<string, Book | undefined>;
  readonly #audios: Derived<string, Audio | undefined>;
  readonly #lists: Derived<string, AudioList>;
  readonly #owed = new Set<string>();
  #cancel: (() => void) | undefined;

  constructor(parts: ShelfParts) {
    this.#parts = parts;
    const { cache, library } = parts;
    this.progress = cache.records('progress', { table: progressTable, schema: progressSchema });
    this.#books = cache.derived('book', {
      load: (name: string, { signal }) => library.book(name, signal),
      ttl: '1d',
      // A listener can go on while Supabase is away.
      grace: '1d',
      soft: '80ms',
      tags: (name, book) => [name, ...(book ? [String(book.id)] : [])].map(bookTag),
    });
    this.#audios = cache.derived('audio', { ttl: AUDIO_TTL_MS, hard: MAKING });
    this.#lists = cache.derived('book_audios', {
      load: (key: string, { signal }) => this.#listed(...listOf(key), signal),
      ttl: '1h',
      grace: '1h',
      tags: (key) => [audiosTag(listOf(key)[0])],
    });
  }

  /** By its number or its document. */
  book(name: string): Promise<Book | undefined> {
    return this.#books.get(name);
  }

  async putBook(id: number, book: NewBook, signal: AbortSignal): Promise<void> {
    const before = await this.#parts.library.book(String(id), signal);
    await this.#parts.library.putBook(id, book, signal);
    const names = [String(id), book.documentId, ...(before ? [before.documentId] : [])];
    await this.#invalidate([...names.map(bookTag), audiosTag(id)]);
  }

  /** Its lists, in every voice, are made anew by whoever asks for one next. */
  async invalidateBookAudios(bookId: number): Promise<void> {
    await this.#invalidate([audiosTag(bookId)]);
  }

  list(bookId: number, voiceId: string): Promise<DerivedLookup<AudioList>> {
    return this.#lists.lookup(`${bookId}:${voiceId}`);
  }

  /** Of one segment as its text is now; made where nobody has asked for it. `undefined`: no such. */
  async audio(name: string, voiceId: string, segmentNum: number): Promise<Audio | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      const book = await this.book(name);
      const revision = book?.revisiones[segmentNum - 1];
      if (book === undefined || revision === undefined) return undefined;
      const place = { bookId: book.id, documentId: book.documentId, voiceId, segmentNum, revision };
      const key = `${book.documentId}:${voiceId}:${segmentNum}:${revision}`;
      try {
        return await this.#audios.getOrSet(
          key,
          async (_key, { signal, ttl }) => {
            const { audio, clip } = await this.#make(place, signal);
            // What it was made from is there for no longer.
            ttl(
              Math.max(
                1,
                Math.min(AUDIO_TTL_MS, clip.metadata.expiresAt - this.#parts.clock.now()),
              ),
            );
            return audio;
          },
          { deadline: MAKING },
        );
      } catch (error) {
        if (!(error instanceof LoadError && error.cause instanceof EditedError)) throw error;
        // The book is another one than this instance has heard of.
        await this.#invalidate([bookTag(name), bookTag(String(book.id))]);
        if (attempt === ATTEMPTS) throw new UnavailableError('the book is being edited', {});
      }
    }
  }

  /** The bytes of an audio that was made; spoken again where they are gone and its text is not. */
  async heard(id: string, signal: AbortSignal): Promise<{ audio: Audio; clip: Clip } | undefined> {
    const { speech, library } = this.#parts;
    const audio = await this.#audios.getOrSet(id, async (_key, context) => {
      const stored = await library.audio(id, context.signal);
      return stored && this.#answer(stored);
    });
    if (audio === undefined) return undefined;
    const clip = await speech.get(audio.audioKey, { signal }).catch(() => undefined);
    if (clip !== undefined) return { audio, clip };
    return await this.#make(audio, signal).catch((error: unknown) => {
      if (error instanceof EditedError) return undefined;
      throw error;
    });
  }

  close(): void {
    this.#cancel?.();
  }

  async #make(place: Place, signal: AbortSignal): Promise<{ audio: Audio; clip: Clip }> {
    const { library, speech, provider } = this.#parts;
    const text = await library.text(place, signal);
    if (text === undefined) throw new EditedError('the text was edited');
    const request = { text, voice: place.voiceId, contentType: 'audiobook' };
    const { audio: spoken, key, mediaType } = await speech.stream(request, provider, { signal });
    const bytes = new Uint8Array(await new Response(spoken).arrayBuffer());
    const kept = await speech.get(key, { signal }).catch(() => undefined);
    const clip = kept ?? this.#unkept(bytes, mediaType, place.voiceId, text);
    const { durationMs: length = 0 } = clip.metadata;
    const { audioId, isNew } = await library.add(place, key, length, signal);
    if (isNew) await this.invalidateBookAudios(place.bookId);
    return { audio: this.#answer({ ...place, audioId, audioKey: key, durationMs: length }), clip };
  }

  /** Nothing is kept here, or there is no room: what was spoken is heard all the same. */
  #unkept(bytes: Uint8Array, mediaType: string, voice: string, text: string): Clip {
    const { provider, clock } = this.#parts;
    const now = clock.now();
    const about = { tenant: 'default', provider: provider.name, model: 'default', voice };
    const format = { codec: 'wav', sampleRate: 22_050 } as const;
    const length = durationMs(bytes, format);
    return {
      bytes,
      metadata: {
        ...about,
        mediaType,
        contentType: 'audiobook',
        format: format.codec,
        durationMs: length,
        characters: text.length,
        createdAt: now,
        expiresAt: now,
      },
    };
  }

  async #listed(bookId: number, voiceId: string, signal: AbortSignal): Promise<AudioList> {
    const { library, clock } = this.#parts;
    const listed = await library.audios(bookId, voiceId, signal);
    const audios = listed.map((audio) => ({ ...audio, audioUrl: urlOf(audio.audioId) }));
    return { audios, count: audios.length, cachedAt: new Date(clock.now()).toISOString() };
  }

  #answer(stored: StoredAudio): Audio {
    const cachedAt = new Date(this.#parts.clock.now()).toISOString();
    return { ...stored, audioUrl: urlOf(stored.audioId), cachedAt };
  }

  /**
   * Without Redis the service goes on: this instance knows at once, the others and Redis as soon
   * as it is back.
   */
  async #invalidate(tags: readonly string[]): Promise<void> {
    const { cache, clock } = this.#parts;
    try {
      await cache.invalidateTags(tags);
      for (const tag of tags) this.#owed.delete(tag);
    } catch (error) {
      if (!isNoAnswer(error)) throw error;
      for (const tag of tags) this.#owed.add(tag);
      this.#cancel?.();
      this.#cancel = clock.after(AGAIN_MS, () => {
        this.#invalidate([...this.#owed]).catch(() => undefined);
      });
    }
  }
}

/** How often a book may be edited under a request. */
const ATTEMPTS = 3;

class EditedError extends Error {
  override readonly name = 'EditedError';
}

function listOf(key: string): [bookId: number, voiceId: string] {
  const colon = key.indexOf(':');
  return [Number(key.slice(0, colon)), key.slice(colon + 1)];
}

function bookTag(name: string): string {
  return `book-${name}`;
}

function audiosTag(bookId: number): string {
  return `book_audios-${bookId}`;
}

function urlOf(audioId: number): string {
  return `/tts/audio/${audioId}`;
}
