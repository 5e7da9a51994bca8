/**
 * How a cache comes to its servers.
 *
 *   opening    both are being connected to. Calls work, with whoever answers.
 *   open       L3 agreed to be used: the migrations are there, the shards are the same.
 *   waiting    L3 is away; tried again every second, while the cache works without it.
 *   misused    L3 said that the configuration is wrong. Final: every call says so too, because
 *              writing under the wrong shards, say, would lose writes.
 *
 * L2 is never waited for beyond its first second: where it does not answer, its breaker opens.
 */
import { within } from './deadline.ts';
import { ClosedError, ConfigError, TierError, UnavailableError } from './errors.ts';
import type { AssemblyInput, SharedSide } from './parts.ts';
import type { DurableTier } from './tiers/tier.ts';

const RETRY_MS = 1000;
const PATIENCE_MS = 1000;

export class Opening {
  readonly #input: AssemblyInput;
  readonly #durable: DurableTier | undefined;
  readonly #shared: SharedSide | undefined;
  readonly #proven: (ms: number) => Promise<void>;
  #misuse: ConfigError | undefined;
  #attempt: Promise<void> | undefined;
  #cancel: (() => void) | undefined;

  /**
   * `durable` is absent where the cache has no L3: then there is nothing to agree on. `proven`
   * resolves when the bus is alive, or after so many ms: L1 is not served before.
   */
  constructor(
    input: AssemblyInput,
    durable: DurableTier | undefined,
    shared: SharedSide | undefined,
    proven: (ms: number) => Promise<void>,
  ) {
    this.#input = input;
    this.#durable = durable;
    this.#shared = shared;
    this.#proven = proven;
  }

  start(): void {
    const shared = this.#connectShared();
    this.#try(shared);
  }

  /** Resolves when open; rejects with the last attempt. */
  async ready(): Promise<void> {
    this.check();
    await this.#attempt;
    this.check();
  }

  close(): void {
    this.#cancel?.();
  }

  /** Throws where the cache is closed or misused. */
  check(): void {
    if (this.#input.isClosed()) throw new ClosedError('the cache is closed');
    if (this.#misuse !== undefined) throw this.#misuse;
  }

  #try(shared: Promise<void>): void {
    const { clock } = this.#input.options;
    const start = clock.monotonic();
    this.#attempt = Promise.allSettled([shared, this.#connectDurable()]).then((outcomes) => {
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
      this.#input.events.emit({ type: 'ready', ms: clock.monotonic() - start });
    });
    this.#attempt.catch((error: unknown) => {
      if (error instanceof ConfigError) return;
      if (this.#input.isClosed()) return;
      this.#cancel = clock.after(RETRY_MS, () => this.#try(shared));
    });
  }

  async #connectDurable(): Promise<void> {
    try {
      await this.#durable?.connect(this.#input.options.l2?.shards);
    } catch (error) {
      if (error instanceof ConfigError) {
        this.#misuse = error;
        throw error;
      }
      throw new UnavailableError('Supabase does not answer', { cause: error });
    }
  }

  async #connectShared(): Promise<void> {
    const { l2, clock } = this.#input.options;
    if (this.#shared === undefined || l2 === undefined) return;
    const { tier, guard } = this.#shared;
    const patience = Math.max(PATIENCE_MS, l2.timeoutMs);
    const late = () => new TierError(`Redis did not answer within ${patience} ms`, 'timeout');
    try {
      await within(tier.connect(), patience, late, clock);
      guard.began();
      await this.#proven(patience);
    } catch (error) {
      guard.began();
      if (error instanceof ConfigError) throw error;
      guard.open(error instanceof Error ? error.message : String(error));
    }
  }
}
