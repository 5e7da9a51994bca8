/**
 * What `npm start` shows once everything runs: where it is, what to paste, and one line that
 * gives another shell what this start made up. What the environment configures is not repeated:
 * it may be a secret of somebody's real project.
 */
import type { Environment, RedisServer, SupabaseServer } from '@cache/testing';
import type { Service } from './service.ts';

/** The servers of this start's own, and what the service was configured with. */
interface Servers {
  readonly env: Environment;
  readonly redis: Pick<RedisServer, 'url'> | undefined;
  readonly supabase: Pick<SupabaseServer, 'url' | 'secretKey'> | undefined;
}

export interface StartText {
  readonly embedded: Servers;
  readonly service: Pick<Service, 'url' | 'adminToken' | 'adminTokenIsNew' | 'apiToken'>;
  /** Where the data stays, as the user would write it. */
  readonly data: string;
  readonly seconds: number;
}

export function startText({ embedded, service, data, seconds }: StartText): string {
  const { redis, supabase, env } = embedded;
  const { url, adminToken, apiToken } = service;
  const api = apiToken === undefined ? '' : ` -H 'authorization: Bearer ${apiToken}'`;
  const metrics = env.CACHE_METRICS_TOKEN?.trim()
    ? ` -H 'authorization: Bearer ${adminToken}'`
    : '';
  return [
    `Service      ${url}   (to browse: ${url}/docs)`,
    `Redis        ${redis?.url ?? (env.REDIS_URL === 'off' ? 'off' : 'as configured')}`,
    supabase === undefined
      ? 'Supabase     as configured'
      : `Supabase     ${supabase.url}   secret key ${supabase.secretKey}`,
    ...((redis ?? supabase) === undefined ? [] : [`Data         ${data}`]),
    `Admin token  ${adminToken}`,
    '',
    'To paste:',
    `  curl -s -i -X POST ${url}/conversations${api} -H 'content-type: application/json' -d '{"caller":"+49 30 1234567"}'`,
    `  curl -s -i ${url}/callers/+49301234567${api}`,
    `  curl -s ${url}/cache/metrics${metrics}`,
    `  curl -s -X POST ${url}/admin/cache/sync -H 'authorization: Bearer ${adminToken}'`,
    '',
    'For the programs and calls of the README, in another shell:',
    `  ${exportLine(embedded, service)}`,
    '',
    `Ready after ${seconds.toFixed(1)} s. Ctrl-C drains and stops all of it.`,
  ].join('\n');
}

/** The variables that another shell of this user can't have yet. */
function exportLine({ redis, supabase, env }: Servers, service: StartText['service']): string {
  const variables: Record<string, string | undefined> = {
    SUPABASE_URL: supabase?.url,
    SUPABASE_SECRET_KEY: supabase?.secretKey,
    REDIS_URL: redis?.url ?? (env.REDIS_URL === 'off' ? 'off' : undefined),
    CACHE_ADMIN_TOKEN: service.adminTokenIsNew ? service.adminToken : undefined,
    URL: service.url,
  };
  const parts = Object.entries(variables).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${quoted(value)}`],
  );
  return `export ${parts.join(' ')}`;
}

/** As a shell takes it, whatever is in it. */
function quoted(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}
