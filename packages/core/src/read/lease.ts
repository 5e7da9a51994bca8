/**
 * A lease that this process holds while it loads. It is short, so that a holder that was killed
 * is soon replaced, and is extended while the load goes on. Where it is lost, the load's result is
 * still the answer for whoever waits here, and is not stored.
 */
import type { Clock } from '../clock.ts';
import type { Address } from '../model/key.ts';
import type { SharedDerived } from '../tiers/derived.ts';
import { Turn } from './turn.ts';

/** How long nobody else loads the key after this process has fallen silent. */
export const LEASE_MS = 1000;
const EXTEND_EVERY_MS = 300;

type Extension = Parameters<SharedDerived['extend']>[0][number];
type Return = Parameters<SharedDerived['letGo']>[0][number];

/** What the leases of one process ask L2 for; those of one turn travel together. */
export interface LeaseLines {
  readonly extend: Turn<Extension, 'held' | 'lost' | 'epoch'>;
  readonly letGo: Turn<Return, void>;
}

const MAX_BATCH = 500;

export function leaseLines(shared: SharedDerived): LeaseLines {
  return {
    extend: new Turn({ ask: (leases) => shared.extend(leases), maxBatch: MAX_BATCH }),
    letGo: new Turn({
      ask: async (leases) => {
        await shared.letGo(leases);
        return leases.map(() => undefined);
      },
      maxBatch: MAX_BATCH,
    }),
  };
}

export interface LeaseParts {
  readonly clock: Clock;
  readonly lines: LeaseLines;
  readonly address: Address;
  readonly token: number;
  readonly onLost: () => void;
}

export class Lease {
  readonly #parts: LeaseParts;
  #cancel: (() => void) | undefined;
  #isOver = false;

  constructor(parts: LeaseParts) {
    this.#parts = parts;
    this.#extendLater();
  }

  get token(): number {
    return this.#parts.token;
  }

  /** It is not extended any more: a fill gives it back. */
  end(): void {
    this.#isOver = true;
    this.#cancel?.();
  }

  /** Nothing will be stored: another may load. */
  async letGo(): Promise<void> {
    this.end();
    const { lines, address, token } = this.#parts;
    // Where it can't be given back it ends by itself.
    await lines.letGo.ask({ address, token }).catch(() => {});
  }

  #extendLater(): void {
    this.#cancel = this.#parts.clock.after(EXTEND_EVERY_MS, () => void this.#extend());
  }

  async #extend(): Promise<void> {
    const { lines, address, token, onLost } = this.#parts;
    const extension = { address, token, leaseMs: LEASE_MS };
    const reply = await lines.extend.ask(extension).catch(() => undefined);
    if (this.#isOver) return;
    if (reply === 'lost' || reply === 'epoch') onLost();
    else this.#extendLater();
  }
}
