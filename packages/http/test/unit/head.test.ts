/** HEAD: what GET would be answered with, without what that costs. */
import { expect, test } from 'vitest';
import { api, createRouter } from '../../src/index.ts';

test('HEAD is answered with the headers of GET, and what would have been its body is cancelled', async () => {
  let isCancelled = false;
  const router = createRouter();
  router.get('/sound', () => {
    const body = new ReadableStream<Uint8Array>({
      cancel: () => {
        isCancelled = true;
      },
    });
    return new Response(body, { headers: { 'content-type': 'audio/wav', 'content-length': '9' } });
  });
  const app = api({ title: 'Sounds', version: '1', routers: [router] });
  const answer = await app.request('/sound', { method: 'HEAD' });
  expect([answer.status, answer.body, isCancelled]).toEqual([200, null, true]);
  expect(Object.fromEntries(answer.headers)).toMatchObject({
    'content-type': 'audio/wav',
    'content-length': '9',
    'cache-control': 'no-store',
  });
});
