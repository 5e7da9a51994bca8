/** HTTP ranges of stored clips (RFC 9110, 14). */
import { ProblemError } from '@cache/http';
import { describe, expect, test } from 'vitest';
import { clipResponse, createSpeechCache, keptResponse } from '../../src/index.ts';
import { wav } from '../sounds.ts';
import { metadataOf } from './support.ts';

const key = 'ab'.repeat(32);
const bytes = Uint8Array.from({ length: 1000 }, (_, at) => at % 251);
const clip = {
  bytes,
  metadata: metadataOf({ mediaType: 'audio/wav', createdAt: 1_700_000_000_000 }),
};

const ask = (headers: Readonly<Record<string, string>> = {}) =>
  clipResponse(key, clip, new Headers(headers));

async function heard(response: Response): Promise<Uint8Array> {
  return new Uint8Array(await response.arrayBuffer());
}

test('without a range it is the whole clip, and says that it takes ranges', async () => {
  const whole = ask();
  expect(whole.status).toBe(200);
  expect(Object.fromEntries(whole.headers)).toMatchObject({
    'accept-ranges': 'bytes',
    'content-length': '1000',
    'content-type': 'audio/wav',
    'x-audio-key': key,
  });
  expect(await heard(whole)).toEqual(bytes);
});

describe('one range is 206', () => {
  const cases: readonly (readonly [string, number, number])[] = [
    ['bytes=0-0', 0, 0],
    ['bytes=10-19', 10, 19],
    ['bytes=990-', 990, 999],
    ['bytes=990-5000', 990, 999],
    ['bytes=-10', 990, 999],
    ['bytes=-5000', 0, 999],
    ['Bytes=999-999', 999, 999],
  ];
  test.each(cases)('%s', async (range, from, to) => {
    const part = ask({ range });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe(`bytes ${from}-${to}/1000`);
    expect(part.headers.get('content-length')).toBe(String(to - from + 1));
    expect(await heard(part)).toEqual(bytes.slice(from, to + 1));
  });
});

test.each(['bytes=1000-', 'bytes=5000-6000', 'bytes=-0'])('%s is 416, with the length', (range) => {
  const refused = () => ask({ range });
  expect(refused).toThrow(ProblemError);
  try {
    refused();
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    expect([error.problem.status, error.headers['content-range']]).toEqual([416, 'bytes */1000']);
  }
});

test.each(['bytes=9-3', 'bytes=-', 'bytes=a-b', 'bytes=0-1,5-6', 'lines=0-3', '0-3'])(
  '%s is no range that is understood: the whole clip',
  (range) => {
    expect(ask({ range }).status).toBe(200);
  },
);

test('If-Range with another ETag gives the whole clip, with its own the range', () => {
  const etag = ask().headers.get('etag') ?? '';
  const range = 'bytes=0-9';
  expect(ask({ range, 'if-range': etag }).status).toBe(206);
  expect(ask({ range, 'if-range': '"another"' }).status).toBe(200);
  expect(ask({ range, 'if-range': new Date(1_700_000_000_000).toUTCString() }).status).toBe(200);
});

test('If-None-Match with its ETag is 304, without a body', async () => {
  const etag = ask().headers.get('etag') ?? '';
  const same = ask({ 'if-none-match': `"x", W/${etag}` });
  expect([same.status, (await heard(same)).byteLength]).toEqual([304, 0]);
  expect(ask({ 'if-none-match': '"x"' }).status).toBe(200);
});

test('a clip that was spoken anew has another ETag', () => {
  const later = { ...clip, metadata: { ...clip.metadata, createdAt: 1_700_000_000_001 } };
  const etag = clipResponse(key, later, new Headers()).headers.get('etag');
  expect(etag).not.toBe(ask().headers.get('etag'));
});

describe('of a clip that a speech cache keeps', () => {
  const MB = 1024 * 1024;
  const asked = { text: 'One.', voice: 'ada', format: 'wav' } as const;
  const get = (headers: Record<string, string> = {}) => new Request('http://here/', { headers });

  test('one byte is answered without a copy of the whole', async () => {
    await using speech = createSpeechCache({ policy: { maxClipBytes: 9 * MB } });
    await speech.put(asked, { bytes: wav(8 * MB), mediaType: 'audio/wav' });
    const { key } = speech.resolve(asked);
    const before = process.memoryUsage().arrayBuffers;
    const answers = [];
    for (let times = 0; times < 10; times += 1) {
      answers.push(await keptResponse(speech, key, get({ range: 'bytes=0-0' })));
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * MB);
    for (const answer of answers)
      expect([answer?.status, await answer?.text()]).toEqual([206, 'R']);
  });

  test('who writes to what he was given changes it for nobody else', async () => {
    await using speech = createSpeechCache();
    await speech.put(asked, { bytes: wav(1000), mediaType: 'audio/wav' });
    const { key } = speech.resolve(asked);
    for await (const piece of (await keptResponse(speech, key, get()))?.body ?? []) piece.fill(0);
    const again = await keptResponse(speech, key, get());
    expect(again && (await heard(again))).toEqual(new Uint8Array(wav(1000)));
  });

  test('what is not kept is no answer', async () => {
    await using speech = createSpeechCache();
    expect(await keptResponse(speech, key, get())).toBeUndefined();
  });
});
