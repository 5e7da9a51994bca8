/** What is known of a clip, for tests that care for one field of it. */
import type { ClipMetadata } from '../../src/index.ts';

export function metadataOf(known: Partial<ClipMetadata> = {}): ClipMetadata {
  return {
    mediaType: 'audio/mpeg',
    contentType: 'other',
    tenant: 'default',
    provider: 'p',
    model: 'm',
    voice: 'v',
    format: 'mp3',
    characters: 3,
    createdAt: 0,
    expiresAt: 86_400_000,
    ...known,
  };
}
