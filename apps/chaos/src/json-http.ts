/** One question, one answer, both JSON, over HTTP on the loopback interface: how the parts talk. */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';

export interface JsonServer {
  readonly url: string;
  close(): void;
}

/** `answer` must not reject; what it returns is sent as JSON. */
export async function serveJson(
  answer: (path: string, body: unknown) => Promise<unknown>,
): Promise<JsonServer> {
  const server = createServer((request, response) => {
    read(request)
      .then((body) => answer(request.url ?? '/', body))
      .then(
        (result) => response.end(JSON.stringify(result ?? null)),
        (error: unknown) => {
          response.statusCode = 500;
          response.end(JSON.stringify({ error: String(error) }));
        },
      );
  });
  // Idle connections are not to be counted among what somebody forgot to close.
  server.keepAliveTimeout = 1000;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('a port was expected');
  return { url: `http://127.0.0.1:${address.port}`, close: () => server.close() };
}

async function read(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += String(chunk);
  return text === '' ? undefined : JSON.parse(text);
}

/** @throws where nobody answers, or not within `ms` */
export async function postJson(url: string, body: unknown, ms: number): Promise<unknown> {
  const response = await fetch(url, {
    method: 'POST',
    body: JSON.stringify(body ?? null),
    signal: AbortSignal.timeout(ms),
  });
  const answer: unknown = await response.json();
  if (response.status !== 200) throw new Error(`${url}: ${JSON.stringify(answer)}`);
  return answer;
}
