/**
 * A stored clip as an HTTP answer: whole, or the one range that was asked for (RFC 9110, 14). Several
 * ranges at once are answered with the whole, which the RFC allows and no player asks for.
 */
import { ProblemError } from '@cache/http';
import { streamOf } from './listening.ts';
import type { SpeechCache } from './speech-cache.ts';
import type { Clip } from './store.ts';

interface Range {
  readonly from: number;
  /** Of the last byte. */
  readonly to: number;
}

/**
 * {@link clipResponse} of a clip that is kept; `undefined`: there is none. Throws as that does, and
 * `StoreError` where nobody can say. The clip is not copied: a listener is given copies of its parts.
 */
export async function keptResponse(
  speech: SpeechCache,
  key: string,
  { headers, signal }: Request,
): Promise<Response | undefined> {
  const clip = await speech.kept(key, signal);
  return clip && clipResponse(key, clip, headers);
}

/** 200, 206 or 304. Throws `ProblemError` 416 for a range that the clip does not have. */
export function clipResponse(key: string, clip: Clip, request: Headers): Response {
  const length = clip.bytes.byteLength;
  // Spoken anew it is another one under the same key.
  const etag = `"${key.slice(0, 32)}-${clip.metadata.createdAt.toString(36)}"`;
  const headers = {
    'accept-ranges': 'bytes',
    etag,
    'last-modified': new Date(clip.metadata.createdAt).toUTCString(),
    // It may be deleted at any time: whoever has a copy has to ask.
    'cache-control': 'private, no-cache',
    'x-audio-key': key,
  };
  if (tagsOf(request.get('if-none-match')).some((tag) => tag === etag || tag === '*')) {
    return new Response(null, { status: 304, headers });
  }
  const type = { 'content-type': clip.metadata.mediaType };
  const range = isSame(request.get('if-range'), etag)
    ? rangeOf(request.get('range'), length)
    : undefined;
  if (range === 'none') {
    throw new ProblemError(
      416,
      `The clip has ${length} bytes.`,
      {},
      {
        'content-range': `bytes */${length}`,
        'accept-ranges': 'bytes',
      },
    );
  }
  if (range === undefined) {
    const whole = { ...headers, ...type, 'content-length': String(length) };
    return new Response(streamOf(clip.bytes), { status: 200, headers: whole });
  }
  const { from, to } = range;
  const partial = {
    ...headers,
    ...type,
    'content-length': String(to - from + 1),
    'content-range': `bytes ${from}-${to}/${length}`,
  };
  return new Response(streamOf(clip.bytes.subarray(from, to + 1)), {
    status: 206,
    headers: partial,
  });
}

/** `undefined`: no range that is understood, so the whole. `none`: it begins behind the end. */
export function rangeOf(header: string | null, length: number): Range | 'none' | undefined {
  const [, first = '', last = ''] =
    /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(header?.trim() ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const count = Math.min(Number(last), length);
    return count === 0 ? 'none' : { from: length - count, to: length - 1 };
  }
  const from = Number(first);
  const to = last === '' ? length - 1 : Math.min(Number(last), length - 1);
  if (last !== '' && Number(last) < from) return undefined;
  return from >= length ? 'none' : { from, to };
}

/** A date can't be told from another within its second, so it never holds. */
function isSame(ifRange: string | null, etag: string): boolean {
  return ifRange === null || ifRange.trim() === etag;
}

function tagsOf(header: string | null): readonly string[] {
  return (header ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
}
