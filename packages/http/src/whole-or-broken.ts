/**
 * An answer that fails halfway must not look whole to whoever reads it. A server that ends such an
 * answer in good order, with an error as its last words, makes half a clip into a whole one: here
 * the connection is broken off instead, which every client tells from an end.
 */
import type { RequestListener } from 'node:http';
import { getRequestListener } from '@hono/node-server';

/** The connection that an answer goes out on: `ServerResponse` of Node, say. */
export interface Outgoing {
  destroy(): unknown;
}

/** A web-standard handler, as {@link api} and its routers are. */
export type Fetch = (request: Request) => Response | Promise<Response>;

/** What answers the requests of a socket: half an answer breaks the connection off. */
export function listenerOf(fetch: Fetch): RequestListener {
  return getRequestListener(async (request, { outgoing }) =>
    wholeOrBroken(await fetch(request), outgoing),
  );
}

/** The same answer; where its body fails, `outgoing` is destroyed. Bodies that are no audio stay. */
export function wholeOrBroken(answer: Response, outgoing: Outgoing): Response {
  // Asked first: whoever looks at a body of text has it made into a stream.
  if (answer.headers.get('content-type')?.startsWith('audio/') !== true) return answer;
  const { body, status, headers } = answer;
  if (body === null) return answer;
  const reader = body.getReader();
  const guarded = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch {
          // First, so that what ends the answer in good order comes too late.
          outgoing.destroy();
          controller.close();
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  return new Response(guarded, { status, headers });
}
