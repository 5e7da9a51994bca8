/** Speech that has to be known to its end before anybody hears it: for a list, say. */
import { durationMs } from './media.ts';
import type { Provider } from './provider.ts';
import type { SpeechRequest } from './request.ts';
import type { SpeechCache } from './speech-cache.ts';

/** What was spoken. */
export interface Spoken {
  readonly key: string;
  /** Milliseconds; `undefined`: the format does not say. */
  readonly durationMs: number | undefined;
  /** Epoch milliseconds; `undefined`: it is kept nowhere, and spoken anew for whoever hears it. */
  readonly expiresAt: number | undefined;
}

/** Has it spoken where it is not there yet. Rejects as `SpeechCache.stream` does, or where it fails halfway. */
export async function haveSpoken(
  speech: SpeechCache,
  request: SpeechRequest,
  provider: Provider,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Spoken> {
  const { audio, key } = await speech.stream(request, provider, { signal });
  const bytes = new Uint8Array(await new Response(audio).arrayBuffer());
  const kept = await speech.kept(key, signal).catch(() => undefined);
  if (kept !== undefined) {
    return { key, durationMs: kept.metadata.durationMs, expiresAt: kept.metadata.expiresAt };
  }
  const { format } = speech.resolve(request, provider).request;
  return { key, durationMs: durationMs(bytes, format), expiresAt: undefined };
}
