/** A clip, made of what was just spoken, or handed in: its life, and what is known of it. */
import type { Clock } from '@cache/core';
import { lifeMs, type Policy } from './content-types.ts';
import { durationMs } from './media.ts';
import type { Asked } from './request.ts';
import type { Clip, ClipMetadata } from './store.ts';

/** The audio of a clip, whole. */
export interface Audio {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly words?: ClipMetadata['words'];
}

/** The clip of a request; its time begins now. The bytes are not copied. */
export function newClip(asked: Asked, policy: Policy, clock: Clock, audio: Audio): Clip {
  const { request, contentType, characters } = asked;
  const { bytes, mediaType, words } = audio;
  const createdAt = clock.now();
  const expiresAt = createdAt + lifeMs(policy, contentType, clock);
  const preview = previewOf(asked, policy.previewCharacters);
  const sounds = durationMs(bytes, request.format);
  return {
    bytes,
    metadata: Object.freeze({
      mediaType,
      contentType,
      tenant: request.tenant,
      provider: request.provider,
      model: request.model,
      voice: request.voice,
      ...(request.language === undefined ? {} : { language: request.language }),
      format: request.format.codec,
      sampleRate: request.format.sampleRate,
      ...(sounds === undefined ? {} : { durationMs: sounds }),
      characters,
      createdAt,
      expiresAt,
      ...(policy.staleMs === 0 ? {} : { staleUntil: expiresAt + policy.staleMs }),
      ...(preview === '' ? {} : { preview }),
      ...(words === undefined ? {} : { words }),
    }),
  };
}

/** The first code points of a text; of no more of it than that takes. */
function previewOf({ request }: Asked, characters: number): string {
  const text = request.input.kind === 'text' ? request.input.text : '';
  return [...text.slice(0, characters * 2)].slice(0, characters).join('');
}
