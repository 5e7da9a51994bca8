/** The books in Supabase, as the SQL functions of this app's migration answer. */
import { type SupabaseOptions, UnavailableError } from '@cache/core';
import { ProblemError } from '@cache/http';
import { z } from '@hono/zod-openapi';
import * as schemas from './schemas.ts';

/** SQL says null. */
const orNone = <T>(schema: z.ZodType<T>) => schema.nullable().transform((one) => one ?? undefined);
const revisedSchema = schemas.book.extend({ revisiones: z.array(z.string()) });
const placeSchema = z.object({
  bookId: z.int(),
  documentId: z.string(),
  voiceId: z.string(),
  segmentNum: z.int(),
  revision: z.string(),
});
const storedSchema = placeSchema.extend({ ...schemas.listed.shape, audioKey: z.string() });

/** Which text of which book, spoken by whom. */
export type Place = z.infer<typeof placeSchema>;
/** Something that was spoken. */
export type StoredAudio = z.infer<typeof storedSchema>;
export type Library = ReturnType<typeof openLibrary>;

/** What a call may take, whoever waits for it. */
const ASK_MS = 10_000;

export function openLibrary(client: NonNullable<SupabaseOptions['client']>) {
  /** Rejects with `UnavailableError` where Supabase does not answer, or can't. */
  async function ask<T>(name: string, args: object, schema: z.ZodType<T>, caller?: AbortSignal) {
    const signal = AbortSignal.any([AbortSignal.timeout(ASK_MS), ...(caller ? [caller] : [])]);
    const { data, error } = await client.rpc(`audiobooks_${name}`, args).abortSignal(signal);
    if (error === null) return schema.parse(data);
    if (error.code === '23505') throw new ProblemError(409, 'Another book has this document.');
    // What it is, is wrong: trying again won't help.
    if (/^22|^23514$/.test(error.code ?? '')) throw new ProblemError(422, 'No book can hold this.');
    throw new UnavailableError('the books in Supabase could not be asked', { cause: error });
  }
  return {
    /** By its number or its document; with the revision of each of its texts, segment 1 first. */
    book: (name: string, signal: AbortSignal) =>
      ask('book', { name }, orNone(revisedSchema), signal),
    putBook: (book: number, content: schemas.NewBook) => {
      const { documentId: document, titulo, autor, segmentos: textos = null } = content;
      return ask('put_book', { book, document, titulo, autor, textos }, z.unknown());
    },
    /** `undefined`: the text was edited, or there is no such segment. */
    text: ({ bookId: book, segmentNum: segment, revision }: Place, signal: AbortSignal) =>
      ask('text', { book, segment, of_revision: revision }, orNone(z.string()), signal),
    /** Idempotent: the same place has the same id. */
    add: (place: Place, key: string, duration: number, signal: AbortSignal) => {
      const { bookId: book, voiceId: voice, segmentNum: segment, revision: of_revision } = place;
      const args = { book, voice, segment, of_revision, key, duration };
      return ask('add_audio', args, z.object({ audioId: z.int() }), signal);
    },
    audio: (audio: string, signal: AbortSignal) =>
      ask('audio', { audio }, orNone(storedSchema), signal),
    audios: (book: number, voice: string, signal: AbortSignal) =>
      ask('audios', { book, voice }, z.array(schemas.listed), signal),
  };
}
