/**
 * How long listeners waited for their first byte, by where it came from. Bounded: a histogram for
 * each source, with slots that grow by a twentieth, so that a percentile is right to 5 %.
 */
import type { SpeechEvent, SpeechSource } from './speech-events.ts';

export interface FirstByteFigures {
  readonly count: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

const LEAST_MS = 0.01;
const GROWTH = 1.05;
/** Up to about two minutes. */
const SLOTS = 336;

/** Counts the event `answered`. */
export class FirstBytes {
  readonly #slots = new Map<SpeechSource, Uint32Array>();

  readonly count = (event: SpeechEvent): void => {
    if (event.type !== 'answered') return;
    const slots = this.#slots.get(event.source) ?? new Uint32Array(SLOTS);
    this.#slots.set(event.source, slots);
    const at = slotOf(event.ms);
    slots[at] = (slots[at] ?? 0) + 1;
  };

  /** Of the sources that answered so far. */
  figures(): Readonly<Record<string, FirstByteFigures>> {
    return Object.fromEntries(
      [...this.#slots].map(([source, slots]) => [source, figuresOf(slots)]),
    );
  }
}

function slotOf(ms: number): number {
  if (!(ms > LEAST_MS)) return 0;
  return Math.min(SLOTS - 1, Math.ceil(Math.log(ms / LEAST_MS) / Math.log(GROWTH)));
}

function figuresOf(slots: Uint32Array): FirstByteFigures {
  const count = slots.reduce((sum, clips) => sum + clips, 0);
  const upTo = (part: number) => {
    let below = 0;
    for (const [slot, clips] of slots.entries()) {
      below += clips;
      if (below >= count * part) return round(LEAST_MS * GROWTH ** slot);
    }
    return 0;
  };
  return { count, p50: upTo(0.5), p95: upTo(0.95), p99: upTo(0.99) };
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
