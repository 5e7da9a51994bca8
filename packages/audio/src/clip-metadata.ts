/** What is known of a clip, read back from where it was stored: any part may be missing or wrong. */
import type { ClipMetadata } from './store.ts';

/** Kind of each field; one with a `?` may be left out. */
const FIELDS = {
  mediaType: 'string',
  contentType: 'string',
  tenant: 'string',
  provider: 'string',
  model: 'string',
  voice: 'string',
  language: 'string?',
  format: 'string',
  sampleRate: 'number?',
  durationMs: 'number?',
  characters: 'number',
  createdAt: 'number',
  expiresAt: 'number',
  staleUntil: 'number?',
  preview: 'string?',
  words: 'words?',
} as const satisfies Readonly<Record<keyof ClipMetadata, string>>;

/** Whether this is what is known of a clip, in every field. */
export function isClipMetadata(value: unknown): value is ClipMetadata {
  if (typeof value !== 'object' || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  return Object.entries(FIELDS).every(([name, kind]) => isOfKind(fields.get(name), kind));
}

/** Until when a store keeps it, in epoch milliseconds. */
export function keptUntil({ expiresAt, staleUntil }: ClipMetadata): number {
  return Math.max(expiresAt, staleUntil ?? expiresAt);
}

/** The same with a later end; an earlier one changes nothing. */
export function prolonged(metadata: ClipMetadata, expiresAt: number): ClipMetadata {
  const more = expiresAt - metadata.expiresAt;
  if (more <= 0) return metadata;
  const { staleUntil } = metadata;
  if (staleUntil === undefined) return { ...metadata, expiresAt };
  return { ...metadata, expiresAt, staleUntil: staleUntil + more };
}

function isOfKind(value: unknown, kind: (typeof FIELDS)[keyof ClipMetadata]): boolean {
  switch (kind) {
    case 'string':
      return typeof value === 'string';
    case 'string?':
      return value === undefined || typeof value === 'string';
    case 'number':
      return isFigure(value);
    case 'number?':
      return value === undefined || isFigure(value);
    case 'words?':
      return value === undefined || (Array.isArray(value) && value.every(isWord));
    default:
      return kind satisfies never;
  }
}

function isFigure(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value);
}

function isWord(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (!('word' in value && 'startMs' in value && 'endMs' in value)) return false;
  return typeof value.word === 'string' && isFigure(value.startMs) && isFigure(value.endMs);
}
