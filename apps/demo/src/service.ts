/** The service: its cache, the CRM, the voice and the routes, on its environment. */
import type { Logger } from '@cache/core';
import { openService, type Service, type ServiceEnvironment } from '@cache/http';
import { pino } from 'pino';
import { createApp } from './app.ts';
import { SimulatedCrm } from './crm.ts';
import { crmFromEnv } from './crm-env.ts';
import { openSpoken } from './speech/speech.ts';

export interface OpenOptions {
  readonly env: ServiceEnvironment;
  /** Default: lines of JSON on the standard output. */
  readonly logger?: Logger | undefined;
}

/** Rejects with `ConfigError`, in one line, for what can't be used. */
export async function openDemo({
  env,
  logger = pino({ base: null }),
}: OpenOptions): Promise<Service> {
  const crm = new SimulatedCrm(crmFromEnv(env));
  return await openService({
    env,
    logger,
    keeps: 'conversations',
    open: async ({ cache, auth, l2 }) => {
      const speech = await openSpoken({ env, l2, cache });
      const { fetch } = createApp({ cache, auth, logger, crm, speech });
      return { fetch, closes: [speech] };
    },
  });
}
