/** What clients send and are answered, and what is stored of a listener. */
import { z } from '@hono/zod-openapi';

const DAY_MS = 86_400_000;

/** Of documents and voices: nothing that a key is put together with, or that a URL loses. */
export const name = z.string().regex(/^(?!\.\.?$)[\w.+-]{1,128}$/, 'takes letters, digits, _.+-');
/** Of books and audios. */
export const number = z.string().regex(/^[1-9]\d{0,14}$/, 'takes a whole number above 0');
const text = z
  .string()
  .trim()
  .regex(/^[^\0]+$/, 'takes text, and no U+0000')
  .refine((one) => one.isWellFormed(), 'takes whole characters, and no half of one');
const texts = z.array(text.max(5000)).max(10_000);
const ms = z.int().nonnegative();
const segment = z.int().min(1).max(10_000);

export const book = z
  .object({ id: z.int(), documentId: z.string(), titulo: z.string(), autor: z.string() })
  .openapi('Libro', { example: { id: 42, documentId: 'doc-456', titulo: 'Quijote', autor: '…' } });

export const newBook = z
  .object({ documentId: name, titulo: text, autor: text, segmentos: texts.optional() })
  .openapi('NuevoLibro');
/** A book as it is put. Texts that are left out stay as they are. */
export type NewBook = z.infer<typeof newBook>;

export const listed = z.object({ segmentNum: z.int(), audioId: z.int(), durationMs: z.int() });
export const list = z
  .object({
    audios: z.array(listed.extend({ audioUrl: z.string() })),
    count: z.int(),
    cachedAt: z.string(),
  })
  .openapi('Audios');
export const wanted = z
  .strictObject({ voice: name, segments: z.array(segment).min(1).max(20) })
  .openapi('WantedAudios', { example: { voice: 'es-mx', segments: [1, 2] } });

/** `heard_at`: epoch milliseconds, by the clock of the service. */
export const progress = z
  .object({ voice_id: z.string(), segment_id: segment, intra_ms: ms, heard_at: ms })
  .openapi('Progress');
/** `ago_ms`: how long ago it was heard. Not a time: clocks of devices disagree. */
export const newProgress = progress
  .omit({ heard_at: true })
  .extend({
    voice_id: name,
    intra_ms: ms.max(DAY_MS),
    ago_ms: ms.max(365 * DAY_MS).default(0),
  })
  .openapi('NewProgress', { example: { voice_id: 'es-mx', segment_id: 1, intra_ms: 0 } });
