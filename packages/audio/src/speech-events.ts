/** What happens in a speech cache. No event carries a text, or audio. */
import type { SynthesisProblem } from './errors.ts';
import type { Asked } from './request.ts';

/** Where audio came from. `stale`: from a store, after its time, because the provider failed. */
export type SpeechSource = 'l1' | 'l2' | 'file' | 'storage' | 'coalesced' | 'miss' | 'stale';

interface About {
  readonly tenant: string;
  readonly provider: string;
  readonly model: string;
  readonly voice: string;
  readonly contentType: string;
  readonly characters: number;
}

export type SpeechEvent =
  /** A listener has, or is about to be given, the first byte. `ms`: since he asked. */
  | ({
      readonly type: 'answered';
      readonly source: SpeechSource;
      readonly ms: number;
      /** What one synthesis of it costs, in the currency of the configuration. */
      readonly price: number;
    } & About)
  /** A listener was given nothing. */
  | ({
      readonly type: 'unanswered';
      readonly reason: SynthesisProblem | 'not-cached' | 'aborted';
    } & About)
  | ({
      readonly type: 'synthesized';
      readonly ms: number;
      readonly bytes: number;
      readonly price: number;
    } & About)
  | ({ readonly type: 'synthesis-failed'; readonly reason: SynthesisProblem } & About)
  | { readonly type: 'stored'; readonly bytes: number; readonly ms: number }
  | {
      readonly type: 'not-stored';
      /**
       * `over`: longer than a clip may be. `first-use`: not admitted. `voided`: deleted meanwhile.
       * `full`: no room. `failed`: the store could not.
       */
      readonly reason: 'over' | 'first-use' | 'voided' | 'full' | 'failed';
    }
  | { readonly type: 'deleted'; readonly clips: number }
  /** Something that the cache rests on could not say, and was passed by. */
  | { readonly type: 'degraded'; readonly part: 'store' | 'fleet' }
  | ({ readonly type: 'cleanup' } & CleanupReport)
  | { readonly type: 'warmed'; readonly done: number; readonly failed: number };

/** One run of the clean-up. */
export interface CleanupReport {
  /** `busy`: another is at it. `idle`: there is room. */
  readonly result: 'done' | 'idle' | 'busy' | 'failed';
  readonly removed: number;
  readonly freedBytes: number;
  readonly ms: number;
}

export type SpeechListener = (event: SpeechEvent) => void;

/** Tells everybody; one listener's fault is not another's. */
export class SpeechEvents {
  readonly #listeners = new Set<SpeechListener>();

  subscribe(listener: SpeechListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  emit(event: SpeechEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch {
        // Watching is not to break what is watched.
      }
    }
  }

  clear(): void {
    this.#listeners.clear();
  }
}

/** What an event says of a request: never its text. */
export function about({ request, contentType, characters }: Asked): About {
  const { tenant, provider, model, voice } = request;
  return { tenant, provider, model, voice, contentType, characters };
}
