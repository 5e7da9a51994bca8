/**
 * The service: the cache, the app and the socket, opened and closed as one.
 *
 *   opening    the environment is read; the cache connects. A configuration that can't be used
 *              ends here. A Supabase or Redis that is merely away does not.
 *   serving    requests are answered.
 *   draining   no new connections; requests under way get five seconds, then the cache gets
 *              CACHE_MS to bring to Supabase what is pending. What it can't stays in Redis.
 *   closed     nothing of it is left.
 */
import type { RequestListener } from 'node:http';
import { exportSpeechMetrics, wholeOrBroken } from '@cache/audio';
import { type Cache, ConfigError, createCache, type Logger, optionsFromEnv } from '@cache/core';
import { listen, serviceFromEnv, settled } from '@cache/http';
import { getRequestListener } from '@hono/node-server';
import { createApp } from './app.ts';
import { SimulatedCrm } from './crm.ts';
import { crmFromEnv } from './crm-env.ts';
import { openSpeech, type Speech } from './speech/speech.ts';

export interface OpenOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
}

export interface Service {
  readonly url: string;
  readonly cache: Cache;
  readonly adminToken: string;
  /** It was made up for this start: print it, or nobody knows it. */
  readonly adminTokenIsNew: boolean;
  readonly apiToken: string | undefined;
  /** Resolves when everything is drained and closed. Idempotent. */
  close(): Promise<void>;
}

const CACHE_MS = 5000;

/** @throws ConfigError, in one line, for what can't be used */
export async function openService({ env, logger }: OpenOptions): Promise<Service> {
  const options = serviceFromEnv(env);
  const crm = new SimulatedCrm(crmFromEnv(env));
  const cache = openCache(env, logger);
  let speech: Speech | undefined;
  try {
    speech = await openSpeech({ env, l2: optionsFromEnv(env).l2 });
    exportSpeechMetrics({ ...speech, speech: speech.cache, registry: cache.registry });
    await settled(cache, logger);
    const { adminToken, apiToken } = options.auth;
    const app = createApp({ cache, auth: options.auth, logger, crm, speech });
    const server = await listen(listenerOf(app.fetch), options);
    let closing: Promise<void> | undefined;
    const close = () => {
      closing ??= server.close().then(async () => {
        await speech?.close();
        await cache.close({ deadline: CACHE_MS });
      });
      return closing;
    };
    return {
      url: server.url,
      cache,
      adminToken,
      adminTokenIsNew: options.adminTokenIsNew,
      apiToken,
      close,
    };
  } catch (error) {
    await speech?.close();
    await cache.close({ deadline: 0 });
    throw error;
  }
}

function openCache(env: OpenOptions['env'], logger: Logger): Cache {
  const options = optionsFromEnv(env);
  if (options.l3 !== undefined) return createCache({ ...options, logger });
  throw new ConfigError(
    'SUPABASE_URL is not set: it takes the URL of the Supabase project that conversations are kept in, and SUPABASE_SECRET_KEY its secret key',
  );
}

/** What answers the requests of a socket: half a clip breaks the connection off. */
export function listenerOf(
  fetch: (request: Request) => Response | Promise<Response>,
): RequestListener {
  return getRequestListener(async (request, { outgoing }) =>
    wholeOrBroken(await fetch(request), outgoing),
  );
}
