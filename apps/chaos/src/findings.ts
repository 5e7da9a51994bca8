/** What the oracle found: violations, each with what was going on, and how much was looked at. */
import type { Findings as Told, Violation } from './protocol.ts';
import type { Weather } from './weather.ts';

/** Of one guarantee; more of the same explain no more. */
const KEPT = 50;

export class Findings {
  readonly #weather: Weather;
  readonly #startedAt: number = performance.now();
  readonly #violations: Violation[] = [];
  readonly #figures = new Map<string, number>();
  cycle = 0;

  constructor(weather: Weather) {
    this.#weather = weather;
  }

  count(name: string, by = 1): void {
    this.#figures.set(name, (this.#figures.get(name) ?? 0) + by);
  }

  most(name: string, value: number): void {
    this.#figures.set(name, Math.max(Math.round(value), this.#figures.get(name) ?? 0));
  }

  /** `since`: from when on what was going on may have to do with it. */
  violation(guarantee: string, what: string, since: number): void {
    this.count(`violations ${guarantee}`);
    const same = this.#violations.filter((one) => one.guarantee === guarantee);
    if (same.length >= KEPT) return;
    const now = performance.now();
    const during = [...new Set(this.#weather.between(since, now))];
    const atSeconds = Math.round((now - this.#startedAt) / 100) / 10;
    this.#violations.push({ guarantee, what, atSeconds, cycle: this.cycle, during });
  }

  told(): Told {
    return { violations: this.#violations, figures: Object.fromEntries(this.#figures) };
  }
}
