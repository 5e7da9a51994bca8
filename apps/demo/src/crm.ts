/**
 * Where profiles come from: a CRM of somebody else's, simulated. It answers late and, where it is
 * told to, fails; whom it knows depends on the number alone. Nothing here caches.
 */
import { createHash } from 'node:crypto';
import { type Clock, systemClock } from '@cache/core';

/** What the CRM knows of a caller. */
export interface Customer {
  readonly name: string;
  /** ISO 639-1. */
  readonly language: string;
  readonly tier: CustomerTier;
  readonly openOrders: number;
}

export type CustomerTier = (typeof CUSTOMER_TIERS)[number];
export const CUSTOMER_TIERS = ['basic', 'plus', 'vip'] as const;

export interface Crm {
  /** `undefined`: it knows nobody by this number. Rejects where it is out of order. */
  byPhone(phone: string, options: { readonly signal: AbortSignal }): Promise<Customer | undefined>;
}

export interface CrmOptions {
  /** Milliseconds that every answer takes. */
  readonly delayMs: number;
  /** The part of the questions, from 0 to 1, that fail. */
  readonly failureRate: number;
}

/** It did not answer. */
export class CrmError extends Error {
  constructor() {
    super('the CRM is out of order');
    this.name = 'CrmError';
  }
}

const NAMES = ['Ada', 'Alan', 'Barbara', 'Edsger', 'Grace', 'Hedy', 'Leslie', 'Margaret'] as const;
const LANGUAGES = { '+33': 'fr', '+34': 'es', '+39': 'it', '+49': 'de' } as const;
const MAX_OPEN_ORDERS = 5;

export class SimulatedCrm implements Crm {
  readonly #options: CrmOptions;
  readonly #clock: Clock;

  constructor(options: CrmOptions, clock: Clock = systemClock) {
    this.#options = options;
    this.#clock = clock;
  }

  async byPhone(
    phone: string,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<Customer | undefined> {
    const { delayMs, failureRate } = this.#options;
    await elapsed(delayMs, signal, this.#clock);
    if (this.#clock.random53() < failureRate * 2 ** 53) throw new CrmError();
    return customerOf(phone);
  }
}

/** Numbers that end in 00 belong to nobody. */
function customerOf(phone: string): Customer | undefined {
  if (phone.endsWith('00')) return undefined;
  const [name = 0, tier = 0, orders = 0] = createHash('sha256').update(phone).digest();
  return {
    name: NAMES[name % NAMES.length] ?? NAMES[0],
    language: Object.entries(LANGUAGES).find(([code]) => phone.startsWith(code))?.[1] ?? 'en',
    tier: CUSTOMER_TIERS[tier % CUSTOMER_TIERS.length] ?? CUSTOMER_TIERS[0],
    openOrders: orders % (MAX_OPEN_ORDERS + 1),
  };
}

function elapsed(ms: number, signal: AbortSignal, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const onAbort = () => {
      cancel();
      reject(signal.reason);
    };
    const cancel = clock.after(ms, () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
