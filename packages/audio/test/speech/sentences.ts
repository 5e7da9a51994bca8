/** Sentences whose audio can be told from their text: a mixture of two would be found out. */
import { createHash } from 'node:crypto';
import type { Synthesis } from '../../src/provider.ts';
import { piece } from './pieces.ts';

export function sentenceOf(n: number): { readonly text: string; readonly voice: string } {
  return { text: `Frase número ${n}.`, voice: 'lucia' };
}

/** The one that only the instance of this seed says: no other stores, refreshes or deletes it. */
export function ownOf(seed: number): { readonly text: string; readonly voice: string } {
  return { text: `Frase propia ${seed}.`, voice: 'lucia' };
}

/** In three pieces, of a length of their own. */
export function piecesOf(text: string): readonly Uint8Array[] {
  const seed = createHash('sha256').update(text).digest().readUInt32LE();
  return [0, 1, 2].map((at) => piece(seed + at, 5_000 + (seed % 40_000)));
}

export function spokenOf(text: string): () => Promise<Synthesis> {
  return async () => ({
    mediaType: 'audio/mpeg',
    audio: (async function* () {
      for (const bytes of piecesOf(text)) {
        yield bytes;
        await new Promise((next) => setImmediate(next));
      }
    })(),
  });
}
