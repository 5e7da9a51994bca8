/** How slow and how unreliable the simulated CRM is, as the environment says. */
import { ConfigError } from '@cache/core';
import type { CrmOptions } from './crm.ts';

/** A variable of the CRM, as documentation shows it. */
export interface CrmVariable {
  readonly name: 'CRM_DELAY_MS' | 'CRM_FAILURE_RATE';
  readonly default: string;
  readonly description: string;
  readonly secret: boolean;
}

/** Every variable that {@link crmFromEnv} reads. */
export const crmVariables: readonly CrmVariable[] = [
  {
    name: 'CRM_DELAY_MS',
    default: '150',
    description: "Milliseconds that the demo's simulated CRM takes for an answer.",
    secret: false,
  },
  {
    name: 'CRM_FAILURE_RATE',
    default: '0',
    description: 'The part of the questions, from 0 to 1, that the simulated CRM fails.',
    secret: false,
  },
];

type Environment = Readonly<Record<string, string | undefined>>;

const MAX_DELAY_MS = 60_000;

/** @throws ConfigError, in one line, for what can't be used */
export function crmFromEnv(env: Environment): CrmOptions {
  return {
    delayMs: number(env, 'CRM_DELAY_MS', 150, /^\d{1,5}$/, MAX_DELAY_MS),
    failureRate: number(env, 'CRM_FAILURE_RATE', 0, /^\d?\.?\d{1,9}$/, 1),
  };
}

function number(
  env: Environment,
  name: CrmVariable['name'],
  fallback: number,
  form: RegExp,
  most: number,
): number {
  const text = env[name]?.trim();
  if (text === undefined || text === '') return fallback;
  const value = form.test(text) ? Number(text) : Number.NaN;
  if (value <= most) return value;
  const kind = most === 1 ? 'a part' : 'whole milliseconds';
  throw new ConfigError(`${name} takes ${kind}, from 0 to ${most}, got ${JSON.stringify(text)}`);
}
