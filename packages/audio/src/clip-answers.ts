/** How a route documents what {@link clipResponse} answers with. */
import { type ProblemResponse, problems } from '@cache/http';
import { z } from '@hono/zod-openapi';

/** Audio, as a body. */
const sound = { 'audio/*': { schema: z.string().openapi({ format: 'binary' }) } };

/** For `responses` of a route whose handler answers with a `Response`. */
export const clipAnswers: Readonly<
  Record<200 | 206, { description: string; content: { 'audio/*': { schema: z.ZodString } } }>
> & { readonly 304: { description: string }; readonly 416: ProblemResponse } = {
  200: { description: 'The whole clip.', content: sound },
  206: { description: 'The range that was asked for.', content: sound },
  304: { description: 'It is the one of the ETag.' },
  416: problems[416],
};
