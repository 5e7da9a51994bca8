/**
 * What a program for a first look shows once everything runs: where it is, what to paste, and one
 * line that gives another shell what this start made up. What the environment configures is not
 * repeated: it may be a secret of somebody's real project.
 */
import type { Environment } from './embedded.ts';
import type { RedisServer } from './redis.ts';
import type { SupabaseServer } from './supabase.ts';

/** The servers of this start's own, and what the service was configured with. */
interface Servers {
  readonly env: Environment;
  readonly redis: Pick<RedisServer, 'url'> | undefined;
  readonly supabase: Pick<SupabaseServer, 'url' | 'secretKey'> | undefined;
}

/** Of the service: where it is and who gets in. */
export interface ShownService {
  readonly url: string;
  readonly adminToken: string;
  /** It was made up for this start. */
  readonly adminTokenIsNew: boolean;
  readonly apiToken: string | undefined;
}

/** Parts of the calls to paste: a header begins with a space, and is empty where none is needed. */
export interface PasteParts {
  readonly url: string;
  /** Of the application's routes. */
  readonly api: string;
  /** Of the metrics. */
  readonly metrics: string;
  /** Of the administration. */
  readonly admin: string;
  /** The body is JSON. */
  readonly json: string;
}

/** Calls for a first look, each after `curl -s`. */
export type Paste = (parts: PasteParts) => readonly string[];

/** What {@link startText} takes. */
export interface StartText {
  readonly embedded: Servers;
  readonly service: ShownService;
  readonly paste: Paste;
  /** Where the data stays, as the user would write it. */
  readonly data: string;
  readonly seconds: number;
}

/** @internal */
export function startText({ embedded, service, paste, data, seconds }: StartText): string {
  const { redis, supabase, env } = embedded;
  const { url, adminToken, apiToken } = service;
  const admin = headerOf(`authorization: Bearer ${adminToken}`);
  const calls = paste({
    url,
    api: apiToken === undefined ? '' : headerOf(`authorization: Bearer ${apiToken}`),
    metrics: env.CACHE_METRICS_TOKEN?.trim() ? admin : '',
    admin,
    json: headerOf('content-type: application/json'),
  });
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
    ...calls.map((call) => `  curl -s ${call}`),
    '',
    'For the programs and calls of the README, in another shell:',
    `  ${exportLine(embedded, service)}`,
    '',
    `Ready after ${seconds.toFixed(1)} s. Ctrl-C drains and stops all of it.`,
  ].join('\n');
}

function headerOf(header: string): string {
  return ` -H '${header}'`;
}

/** The variables that another shell of this user can't have yet. */
function exportLine({ redis, supabase, env }: Servers, service: ShownService): string {
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
