/**
 * The administration of a speech cache over HTTP, for an application to mount beside @cache/http's
 * routes: `api({ routers: [audioRoutes({…}), ...cacheRouters({…})] })`. All of it needs the admin
 * token.
 *
 * Sources: the hotel agent's audio cache (`/admin/audio-cache…`) and the audio cache on the file
 * system (`/api/audio-cache…`), whose two routes answer 404 where clips are not kept in files.
 */
import {
  type AuthOptions,
  bearer,
  createRouter,
  json,
  ProblemError,
  problems,
  type Router,
  Tokens,
} from '@cache/http';
import { createRoute, z } from '@hono/zod-openapi';
import type { ClipCompression } from './clip-compression.ts';
import { FirstBytes } from './first-bytes.ts';
import { isKey } from './request.ts';
import { requestOf, spokenFields } from './request-schema.ts';
import { fileStatsOf, fileStatsSchema, statsOf, statsSchema } from './route-answers.ts';
import type { SpeechCache } from './speech-cache.ts';
import { spoken } from './speech-problems.ts';

export interface AudioRoutesOptions {
  readonly speech: Pick<
    SpeechCache,
    'stats' | 'clear' | 'delete' | 'cleanup' | 'resolve' | 'subscribe'
  >;
  /** Without an admin token, nobody may use these routes. */
  readonly auth?: AuthOptions | undefined;
  /** What the store was given to compress with, for the statistics. */
  readonly compression?: ClipCompression | undefined;
  /** For the statistics: false where nothing is kept. Default true. */
  readonly enabled?: boolean | undefined;
  /** For the statistics: of clips whose content type says nothing else. */
  readonly ttlSeconds?: number | undefined;
}

const common = { tags: ['audio cache'], security: bearer };
const closed = { 401: problems[401], 503: problems[503] };

const clearedSchema = z.object({ deleted: z.int() }).openapi('AudioCacheCleared');
const deletedSchema = z.object({ deleted: z.boolean(), key: z.string() }).openapi('ClipDeleted');
const cleanupSchema = z
  .object({
    result: z.enum(['done', 'idle', 'busy', 'failed']),
    entries_removed: z.int(),
    freed_bytes: z.int(),
    ms: z.number(),
  })
  .openapi('AudioCacheCleanup');

const entrySchema = z
  .strictObject({
    key: z.string().optional().openapi({ description: 'As x-audio-key has it.' }),
    tenant: z.string().optional(),
    model: z.string().optional(),
    ...spokenFields,
  })
  .openapi('ClipToDelete');

const stats = createRoute({
  ...common,
  method: 'get',
  path: '/admin/audio-cache/stats',
  summary: 'What the speech cache holds and has done, with its configuration',
  description: 'Counts of use are of this instance since its start; what is held is everybody’s.',
  responses: { 200: json('As of now.', statsSchema), ...closed },
});

const clear = createRoute({
  ...common,
  method: 'delete',
  path: '/admin/audio-cache',
  summary: 'Delete every clip, or every clip of one tenant',
  request: { query: z.object({ tenant: z.string().min(1).optional() }) },
  responses: {
    200: json('How many there were.', clearedSchema),
    400: problems[400],
    ...closed,
  },
});

const remove = createRoute({
  ...common,
  method: 'delete',
  path: '/admin/audio-cache/entry',
  summary: 'Delete one clip, by its key or by the request that it answers',
  description: 'By its key also as ?key=, for clients that send no body with DELETE.',
  request: {
    query: z.object({ key: z.string().optional() }),
    body: { content: { 'application/json': { schema: entrySchema } } },
  },
  responses: {
    200: json('It is gone, everywhere.', deletedSchema),
    400: problems[400],
    404: { ...problems[404], description: 'There is no such clip.' },
    413: problems[413],
    422: { ...problems[422], description: 'The request can not be spoken, so it has no clip.' },
    ...closed,
  },
});

const cleanup = createRoute({
  ...common,
  method: 'post',
  path: '/admin/audio-cache/cleanup',
  summary: 'Make room now',
  description:
    'What runs by itself at the threshold. idle: there is room; busy: another instance is at it.',
  responses: {
    200: json('What went.', cleanupSchema),
    401: problems[401],
    503: { ...problems[503], description: 'The store did not do what it was asked.' },
  },
});

const notFiles = { ...problems[404], description: 'Clips are not kept in files here.' };

const fileStats = createRoute({
  ...common,
  method: 'get',
  path: '/api/audio-cache/stats',
  summary: 'The clips in files: how large, how useful, whose voices',
  responses: { 200: json('As of now.', fileStatsSchema), 404: notFiles, ...closed },
});

const fileClear = createRoute({
  ...common,
  method: 'post',
  path: '/api/audio-cache/clear',
  summary: 'Delete every clip in files',
  responses: { 200: json('How many there were.', clearedSchema), 404: notFiles, ...closed },
});

export function audioRoutes(options: AudioRoutesOptions): Router {
  const { speech, compression, enabled = true, ttlSeconds } = options;
  const tokens = new Tokens(options.auth ?? {});
  const firstBytes = new FirstBytes();
  speech.subscribe(firstBytes.count);
  const router = createRouter();
  router.use('/admin/audio-cache', tokens.admin);
  router.use('/admin/audio-cache/*', tokens.admin);
  router.use('/api/audio-cache/*', tokens.admin);

  router.openapi(stats, async (c) => {
    const { signal } = c.req.raw;
    const known = await spoken(() => speech.stats({ signal }));
    const figures = firstBytes.figures();
    return c.json(
      statsOf({ stats: known, enabled, ttlSeconds, firstBytes: figures, compression }),
      200,
    );
  });

  router.openapi(clear, async (c) => {
    const { tenant } = c.req.valid('query');
    return c.json({ deleted: await spoken(() => speech.clear({ tenant })) }, 200);
  });

  router.openapi(remove, async (c) => {
    const { key: given, tenant, model, ...asked } = c.req.valid('json');
    const key = given ?? c.req.valid('query').key;
    if (key !== undefined && !isKey(key)) throw noSuchClip();
    const isSaid = asked.text !== undefined || asked.ssml !== undefined;
    if ((key === undefined) !== isSaid) {
      throw new ProblemError(
        400,
        'Give either a key, or the request: text or ssml, voice and so on.',
      );
    }
    const found = await spoken(
      async () => key ?? speech.resolve({ ...requestOf(asked), tenant, model }).key,
    );
    if (!(await spoken(() => speech.delete(found)))) throw noSuchClip();
    return c.json({ deleted: true, key: found }, 200);
  });

  router.openapi(cleanup, async (c) => {
    const { result, removed, freedBytes, ms } = await spoken(() => speech.cleanup());
    const report = { result, entries_removed: removed, freed_bytes: freedBytes, ms };
    if (result === 'failed') {
      throw new ProblemError(503, 'The store did not do what it was asked.', report);
    }
    return c.json(report, 200);
  });

  router.openapi(fileStats, async (c) => {
    const known = await spoken(() => speech.stats({ signal: c.req.raw.signal }));
    if (known.store?.name !== 'file') throw noFiles();
    return c.json(fileStatsOf(known, known.store), 200);
  });

  router.openapi(fileClear, async (c) => {
    const { store } = await spoken(() => speech.stats({ signal: c.req.raw.signal }));
    if (store?.name !== 'file') throw noFiles();
    return c.json({ deleted: await spoken(() => speech.clear()) }, 200);
  });
  return router;
}

function noSuchClip(): ProblemError {
  return new ProblemError(404, 'There is no such clip.');
}

function noFiles(): ProblemError {
  return new ProblemError(404, 'Clips are not kept in files here: see /admin/audio-cache/stats.');
}
