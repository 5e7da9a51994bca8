/** The books in Supabase, as SQL functions of this app's migration answer. */
import { type DeepReadonly, type SupabaseOptions, UnavailableError } from '@cache/core';
import { z } from '@hono/zod-openapi';

/** A book, with the revision of each of its texts: segment 1 is the first. */
export type Book = DeepReadonly<z.infer<typeof bookSchema>>;
/** Which text of which book, spoken by whom. */
export type Place = z.infer<typeof placeSchema>;
/** Something that was spoken. */
export type StoredAudio = z.infer<typeof storedSchema>;
/** One line of a list. */
export type ListedAudio = z.infer<typeof listedSchema>;

/** What of a book is for listeners. */
export const titleSchema = z
  .object({
    id: z.int().openapi({ example: 42 }),
    documentId: z.string().openapi({ example: 'doc-456' }),
    titulo: z.string().openapi({ example: 'El ingenioso hidalgo' }),
    autor: z.string().openapi({ example: 'Miguel de Cervantes' }),
  })
  .openapi('Libro');
export const bookSchema = titleSchema.extend({ revisiones: z.array(z.string()) });
const placeSchema = z.object({
  bookId: z.int(),
  documentId: z.string(),
  voiceId: z.string(),
  segmentNum: z.int(),
  revision: z.string(),
});
const storedSchema = placeSchema.extend({
  audioId: z.int(),
  audioKey: z.string(),
  durationMs: z.int(),
});
const listedSchema = storedSchema.pick({ segmentNum: true, audioId: true, durationMs: true });
const addedSchema = z.object({ audioId: z.int(), isNew: z.boolean() });

/** A book as it is put. Texts that are left out stay as they are. */
export interface NewBook {
  readonly documentId: string;
  readonly titulo: string;
  readonly autor: string;
  readonly segmentos?: readonly string[] | undefined;
}

export class Library {
  readonly #client: NonNullable<SupabaseOptions['client']>;

  constructor(client: NonNullable<SupabaseOptions['client']>) {
    this.#client = client;
  }

  /** By its number or its document; `undefined` where there is none. */
  async book(name: string, signal: AbortSignal): Promise<Book | undefined> {
    return (await this.#ask('book', { name }, bookSchema.nullable(), signal)) ?? undefined;
  }

  async putBook(book: number, content: NewBook, signal: AbortSignal): Promise<void> {
    const { documentId: document, titulo, autor, segmentos: textos = null } = content;
    await this.#ask('put_book', { book, document, titulo, autor, textos }, z.unknown(), signal);
  }

  /** `undefined`: the text was edited, or there is no such segment. */
  async text(place: Place, signal: AbortSignal): Promise<string | undefined> {
    const { bookId: book, segmentNum: segment, revision: of_revision } = place;
    const args = { book, segment, of_revision };
    return (await this.#ask('text', args, z.string().nullable(), signal)) ?? undefined;
  }

  /** Idempotent: the same place has the same id. */
  add(place: Place, key: string, durationMs: number, signal: AbortSignal) {
    const { bookId: book, voiceId: voice, segmentNum: segment, revision: of_revision } = place;
    const args = { book, voice, segment, of_revision, key, duration: durationMs };
    return this.#ask('add_audio', args, addedSchema, signal);
  }

  async audio(audio: string, signal: AbortSignal): Promise<StoredAudio | undefined> {
    return (await this.#ask('audio', { audio }, storedSchema.nullable(), signal)) ?? undefined;
  }

  audios(book: number, voice: string, signal: AbortSignal): Promise<readonly ListedAudio[]> {
    return this.#ask('audios', { book, voice }, z.array(listedSchema), signal);
  }

  /** Rejects with `UnavailableError` where Supabase does not answer, or says no. */
  async #ask<T>(name: string, args: object, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    const { data, error } = await this.#client.rpc(`audiobooks_${name}`, args).abortSignal(signal);
    if (error === null) return schema.parse(data);
    throw new UnavailableError('the books in Supabase could not be asked', { cause: error });
  }
}
