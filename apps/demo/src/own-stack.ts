/**
 * Servers and instances of the service that nobody else uses, whatever the environment
 * configures: what is played or broken here must not end up in somebody's Supabase.
 */
import type { Embedded, RedisServer, ServiceProcess, SupabaseServer } from '@cache/testing';
import { startEmbedded } from './embedded.ts';
import { startService } from './service-process.ts';

export interface OwnStackOptions {
  readonly instances: number;
  /** For every instance. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly say: (line: string) => void;
}

export interface OwnStack extends AsyncDisposable {
  /** Absent where the machine has no redis-server. */
  readonly redis: RedisServer | undefined;
  readonly supabase: SupabaseServer;
  readonly services: readonly ServiceProcess[];
  /** One more instance of the service. It ends with the others. */
  another(): Promise<ServiceProcess>;
  close(): Promise<void>;
}

/** What a configured environment must not bring along. */
const NOT_INHERITED = {
  REDIS_HOST: '',
  REDIS_PORT: '',
  REDIS_PASSWORD: '',
  SUPABASE_SERVICE_ROLE_KEY: '',
  CACHE_API_TOKEN: '',
  CACHE_METRICS_TOKEN: '',
  AUDIO_CACHE_ENABLED: '',
  AUDIO_CACHE_DIR: '',
  // Nobody's account is charged for what is tried here.
  ELEVENLABS_API_KEY: '',
  SPEECH_PROVIDER: 'off',
};

export async function startOwnStack(options: OwnStackOptions): Promise<OwnStack> {
  const embedded = await startEmbedded({ env: {}, say: options.say });
  const services: ServiceProcess[] = [];
  const close = async () => {
    await Promise.all(services.map((service) => service.stop()));
    await embedded.close();
  };
  const another = async () => {
    const service = await startService({ env: envOf(embedded, options.env) });
    services.push(service);
    return service;
  };
  try {
    const { redis, supabase } = embedded;
    if (supabase === undefined) throw new Error('an embedded Supabase was expected');
    await Promise.all(Array.from({ length: options.instances }, another));
    return { redis, supabase, services, another, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

function envOf(embedded: Embedded, own: OwnStackOptions['env']): Record<string, string> {
  const env: Record<string, string> = { ...NOT_INHERITED };
  for (const [name, value] of Object.entries(embedded.env))
    if (value !== undefined) env[name] = value;
  return { ...env, ...own };
}
