/** What a synthesis costs, by model and voice, from the configuration. */
import { ConfigError } from '@cache/core';
import type { ResolvedRequest } from './provider.ts';

export interface Prices {
  /** ISO 4217. Default `'USD'`. */
  readonly currency?: string | undefined;
  /**
   * Price of 1,000 characters, by `provider/model/voice`, `provider/model`, `provider`, or `*`. The
   * most exact one counts.
   */
  readonly perThousandCharacters: Readonly<Record<string, number>>;
}

/** The price of one character of a request, in the currency of the configuration. */
export type PriceOf = (request: Pick<ResolvedRequest, 'provider' | 'model' | 'voice'>) => number;

/** Throws `ConfigError`. Without prices everything is free. */
export function resolvePrices(prices: Prices | undefined): {
  readonly currency: string;
  readonly priceOf: PriceOf;
} {
  const table = new Map(Object.entries(prices?.perThousandCharacters ?? {}));
  for (const price of table.values()) {
    if (!(Number.isFinite(price) && price >= 0)) {
      throw new ConfigError('option "prices" takes amounts of 0 and more');
    }
  }
  const currency = prices?.currency ?? 'USD';
  if (!/^[A-Z]{3}$/.test(currency))
    throw new ConfigError('option "prices.currency" takes three letters');
  return {
    currency,
    priceOf: ({ provider, model, voice }) => {
      const names = [`${provider}/${model}/${voice}`, `${provider}/${model}`, provider, '*'];
      for (const name of names) {
        const price = table.get(name);
        if (price !== undefined) return price / 1000;
      }
      return 0;
    },
  };
}
