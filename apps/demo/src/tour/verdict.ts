/** What became of everything that was acknowledged: Supabase alone is asked. */
import type { Turn } from '../conversations.ts';
import type { Acknowledged } from './speaker.ts';

export interface TourVerdict {
  readonly acknowledged: number;
  readonly found: number;
  readonly lost: number;
  /** Sentences that are there more than once, under whatever id. */
  readonly doubled: number;
  /** Reads that lacked what the same instance had acknowledged. */
  readonly stale: number;
  /** An instance and Supabase have the same turns in the same order. */
  readonly sameOrder: boolean;
}

export function verdictOf(input: {
  readonly acknowledged: readonly Acknowledged[];
  readonly stored: readonly Turn[];
  /** As the instance that is left reads it. */
  readonly read: readonly string[];
  readonly stale: number;
}): TourVerdict {
  const { acknowledged, stored, read, stale } = input;
  const texts = new Map<string, number>();
  for (const { text } of stored) texts.set(text, (texts.get(text) ?? 0) + 1);
  const found = acknowledged.filter(({ text }) => texts.has(text)).length;
  const doubled = [...texts.values()].filter((count) => count > 1).length;
  const sameOrder =
    read.length === stored.length && stored.every(({ id }, index) => id === read[index]);
  const lost = acknowledged.length - found;
  return { acknowledged: acknowledged.length, found, lost, doubled, stale, sameOrder };
}

export function isClean({ lost, doubled, stale, sameOrder }: TourVerdict): boolean {
  return lost + doubled + stale === 0 && sameOrder;
}
