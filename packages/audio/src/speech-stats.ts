/** What a speech cache has done since it was opened, and what it holds. */
import type { CompressionCounts } from './clip-compression.ts';
import type { CleanupReport, SpeechEvent, SpeechSource } from './speech-events.ts';
import type { ClipEntry } from './store.ts';

/** What {@link SpeechCache.stats} says. Counts of use are this process's; the store is everybody's. */
export interface SpeechStats {
  readonly store:
    | { readonly name: string; readonly entries: number; readonly bytes: number }
    | undefined;
  readonly memory: { readonly entries: number; readonly bytes: number };
  /** Clips that are being looked up or spoken now. */
  readonly underWay: number;
  /** Listeners who were answered, by where from. */
  readonly answered: Readonly<Record<SpeechSource, number>>;
  readonly hits: number;
  readonly misses: number;
  /** Of the listeners; `undefined` where there was none. */
  readonly hitRatio: number | undefined;
  /** Of the characters: what the provider charges for. */
  readonly hitRatioByCharacters: number | undefined;
  readonly syntheses: number;
  readonly synthesisFailures: number;
  readonly money: { readonly currency: string; readonly saved: number; readonly spent: number };
  readonly cleanup: {
    readonly maxBytes: number;
    readonly startAt: number;
    readonly downTo: number;
    readonly policy: string;
    readonly last: (CleanupReport & { readonly at: number }) | undefined;
  };
  readonly compression: CompressionCounts | undefined;
  readonly byVoice: readonly VoiceUse[];
  readonly mostAccessed: readonly ClipEntry[];
}

export interface VoiceUse {
  readonly voice: string;
  readonly entries: number;
  readonly bytes: number;
  readonly accessCount: number;
}

const MOST_ACCESSED = 10;

/** Counts events. */
export class SpeechCounts {
  readonly #answered: Record<SpeechSource, number> = {
    l1: 0,
    l2: 0,
    file: 0,
    storage: 0,
    coalesced: 0,
    miss: 0,
    stale: 0,
  };
  #characters = 0;
  #charactersPaid = 0;
  #syntheses = 0;
  #failures = 0;
  #saved = 0;
  #spent = 0;

  count(event: SpeechEvent): void {
    if (event.type === 'answered') {
      this.#answered[event.source] += 1;
      this.#characters += event.characters;
      if (event.source === 'miss') this.#charactersPaid += event.characters;
      else this.#saved += event.price;
    } else if (event.type === 'synthesized') {
      this.#syntheses += 1;
      this.#spent += event.price;
    } else if (event.type === 'synthesis-failed') {
      this.#failures += 1;
    }
  }

  get answered(): Readonly<Record<SpeechSource, number>> {
    return { ...this.#answered };
  }

  figures(): Pick<
    SpeechStats,
    | 'answered'
    | 'hits'
    | 'misses'
    | 'hitRatio'
    | 'hitRatioByCharacters'
    | 'syntheses'
    | 'synthesisFailures'
  > & { readonly saved: number; readonly spent: number } {
    const misses = this.#answered.miss;
    const all = Object.values(this.#answered).reduce((sum, count) => sum + count, 0);
    return {
      answered: this.answered,
      hits: all - misses,
      misses,
      hitRatio: all === 0 ? undefined : (all - misses) / all,
      hitRatioByCharacters:
        this.#characters === 0
          ? undefined
          : (this.#characters - this.#charactersPaid) / this.#characters,
      syntheses: this.#syntheses,
      synthesisFailures: this.#failures,
      saved: this.#saved,
      spent: this.#spent,
    };
  }
}

/** What the entries of a store say together. */
export async function surveyed(entries: AsyncIterable<ClipEntry>): Promise<{
  readonly byVoice: readonly VoiceUse[];
  readonly mostAccessed: readonly ClipEntry[];
}> {
  const voices = new Map<string, VoiceUse>();
  let most: ClipEntry[] = [];
  for await (const entry of entries) {
    const { voice } = entry.metadata;
    const so = voices.get(voice) ?? { voice, entries: 0, bytes: 0, accessCount: 0 };
    voices.set(voice, {
      voice,
      entries: so.entries + 1,
      bytes: so.bytes + entry.storedBytes,
      accessCount: so.accessCount + entry.accessCount,
    });
    most.push(entry);
    if (most.length > MOST_ACCESSED * 10) most = topOf(most);
  }
  return {
    byVoice: [...voices.values()].sort((a, b) => b.accessCount - a.accessCount),
    mostAccessed: topOf(most),
  };
}

function topOf(entries: readonly ClipEntry[]): ClipEntry[] {
  return entries.toSorted((a, b) => b.accessCount - a.accessCount).slice(0, MOST_ACCESSED);
}
