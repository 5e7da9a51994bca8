/** Text in, audio out: from its first byte on, paid for once. */
import { isKey, keptResponse, spoken, spokenFields } from '@cache/audio';
import {
  bearer,
  bodyRefusals,
  createRouter,
  type DocumentedHeader,
  ProblemError,
  type ProblemResponse,
  problems,
  type Router,
  refusals,
} from '@cache/http';
import { createRoute, z } from '@hono/zod-openapi';

import type { Speaker } from './speaker.ts';
import type { Speech } from './speech.ts';

const common = { tags: ['speech'], security: bearer };

const newSpeech = z.strictObject(spokenFields).openapi('NewSpeech');

/**
 * Audio, whose handlers answer with a `Response`: the content is optional to the compiler, which
 * would ask for text otherwise.
 */
interface AudioAnswer {
  readonly description: string;
  readonly content?: { readonly 'audio/*': { readonly schema: z.ZodString } };
  readonly headers: typeof speechHeaders;
}

const audio = { 'audio/*': { schema: z.string().openapi({ format: 'binary' }) } };

const described = (description: string): ProblemResponse => ({ ...problems[503], description });

export const speechHeaders: {
  'x-cache'?: DocumentedHeader;
  'x-audio-key': DocumentedHeader;
} = {
  'x-cache': {
    description:
      'Where it came from; coalesced: from a synthesis under way; stale: over its time, because the provider failed.',
    schema: {
      type: 'string',
      enum: ['l1', 'l2', 'file', 'coalesced', 'miss', 'stale'],
    },
  },
  'x-audio-key': {
    description: 'The key of the clip, for GET /speech/{key}.',
    schema: { type: 'string' },
  },
};

/** Of the routes that speak. */
export const spokenAnswers: {
  200: AudioAnswer;
} & Readonly<Record<422 | 502 | 503 | 504, ProblemResponse>> = {
  200: {
    description: 'The audio, from its first byte on. Where it fails halfway the answer breaks off.',
    content: audio,
    headers: speechHeaders,
  },
  422: described('It can not be spoken: no text, or a voice or format that is not known.'),
  502: described('The provider failed, or sent something else than audio: try again.'),
  503: described('Nobody speaks here, or the provider is busy: Retry-After says how long.'),
  504: described('The provider did not begin in time, or cache-control said only-if-cached.'),
};

const speak = createRoute({
  ...common,
  method: 'post',
  path: '/speech',
  summary: 'Speaks a text, or plays what was spoken before',
  description:
    'A sentence that is being spoken already is joined. cache-control of the request: no-store speaks for this listener alone, no-cache anew, only-if-cached never.',
  request: {
    body: { required: true, content: { 'application/json': { schema: newSpeech } } },
  },
  responses: {
    ...spokenAnswers,
    ...bodyRefusals,
    413: described('The body is over 1 MB, or the text over what the provider takes at once.'),
  },
});

const play = createRoute({
  ...common,
  method: 'get',
  path: '/speech/{key}',
  summary: 'A clip that is kept, or a range of it',
  request: {
    params: z.object({
      key: z.string().openapi({ description: 'As x-audio-key has it.', example: '0'.repeat(64) }),
    }),
    headers: z.object({
      range: z.string().optional().openapi({ example: 'bytes=0-1023' }),
      'if-range': z.string().optional().openapi({ description: 'An ETag.' }),
    }),
  },
  responses: {
    200: { description: 'The whole clip.', content: audio },
    206: { description: 'The range that was asked for.', content: audio },
    304: { description: 'It is the one of the ETag.' },
    ...refusals,
    404: { ...problems[404], description: 'No clip is kept under this key.' },
    416: described('The range begins behind the end of the clip.'),
    503: problems[503],
  },
});

export function speechRouter(speech: Speech, speaker: Speaker): Router {
  const router = createRouter();

  router.openapi(speak, async (c) => {
    return await speaker.say(c.req.valid('json'), c.req.raw.headers, c.req.raw.signal);
  });

  router.openapi(play, async (c) => {
    const { key } = c.req.valid('param');
    const kept = isKey(key)
      ? await spoken(() => keptResponse(speech.cache, key, c.req.raw))
      : undefined;
    if (kept === undefined) throw new ProblemError(404, 'No clip is kept under this key.');
    return kept;
  });

  return router;
}
