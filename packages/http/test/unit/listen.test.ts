/** Who is on the other end of a socket may stand still: not for ever, and not for nothing. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Server } from 'node:http';
import { connect } from 'node:net';
import { until } from '@cache/testing';
import { expect, test } from 'vitest';
import { listen, listenerOf } from '../../src/index.ts';

const anywhere = { host: '127.0.0.1', port: 0 };

test('a client that stops reading is let go, and what it was told is cancelled', async () => {
  let isCancelled = false;
  const endless = () =>
    new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)),
      cancel: () => {
        isCancelled = true;
      },
    });
  const server = await listen(
    listenerOf(() => new Response(endless(), { headers: { 'content-type': 'audio/wav' } })),
    { ...anywhere, idleMs: 200 },
  );
  const client = connect(Number(new URL(server.url).port), '127.0.0.1');
  client.pause().on('error', () => {});
  client.write('GET / HTTP/1.1\r\nhost: here\r\n\r\n');
  await until(() => isCancelled, 'its answer is cancelled', 5000);
  client.destroy();
  await server.close();
});

test('an answer that begins after a minute, as a voice with many texts before it does, is not cut off', async () => {
  let idleMs = 0;
  const note = (request: unknown) => {
    const isObject = typeof request === 'object' && request !== null && 'server' in request;
    if (isObject && request.server instanceof Server) idleMs = request.server.timeout;
  };
  subscribe('http.server.request.start', note);
  const server = await listen(
    listenerOf(() => new Response('here')),
    anywhere,
  );
  expect(await (await fetch(server.url)).text()).toBe('here');
  unsubscribe('http.server.request.start', note);
  await server.close();
  expect(idleMs).toBeGreaterThan(90_000);
});
