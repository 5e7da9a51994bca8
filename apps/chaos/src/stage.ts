/** What is struck: the servers, the links to them, one pair for each instance, and the instances. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type RedisServer,
  ServerProcess,
  type SupabaseServer,
  startProxy,
  startRedis,
  startSupabase,
  type Proxy as TcpProxy,
} from '@cache/testing';
import { postJson } from './json-http.ts';
import {
  type Answer,
  answerSchema,
  type Call,
  type InstanceAddress,
  type WorkerSettings,
} from './protocol.ts';

const MIGRATIONS = fileURLToPath(new URL('../../../supabase/migrations', import.meta.url));
const PATIENCE_MS = 30_000;

export type JournalMode = 'off' | 'fallback' | 'always';

export interface StageOptions {
  readonly instances: number;
  readonly database: 'postgres' | 'pglite';
  readonly journal: JournalMode;
  readonly settings: Pick<WorkerSettings, 'deadlineMs' | 'intervalMs' | 'trace'>;
}

/** One place for an instance: its links stay when its process is another. */
export interface Place {
  readonly slot: number;
  readonly redis: TcpProxy;
  readonly supabase: TcpProxy;
  /** Outlives its processes, as their disk does. */
  readonly journal: WorkerSettings['journal'];
  offsetMs: number;
  starts: number;
  process: ServerProcess | undefined;
  address: InstanceAddress | undefined;
}

export class Stage implements AsyncDisposable {
  readonly redis: RedisServer;
  readonly supabase: SupabaseServer;
  readonly places: readonly Place[];
  readonly #settings: StageOptions['settings'];
  readonly #owned: AsyncDisposableStack;
  sourceUrl = '';

  private constructor(
    redis: RedisServer,
    supabase: SupabaseServer,
    places: readonly Place[],
    settings: StageOptions['settings'],
    owned: AsyncDisposableStack,
  ) {
    this.redis = redis;
    this.supabase = supabase;
    this.places = places;
    this.#settings = settings;
    this.#owned = owned;
  }

  static async open({ instances, database, journal, settings }: StageOptions): Promise<Stage> {
    await using owned = new AsyncDisposableStack();
    // Redis with an append-only file, so that it can come back with its data.
    const dataDir = await mkdtemp(join(tmpdir(), 'cache-chaos-'));
    owned.defer(() => rm(dataDir, { recursive: true, force: true }));
    const redis = owned.use(await startRedis({ dataDir: join(dataDir, 'redis') }));
    const supabase = owned.use(await startSupabase({ migrations: MIGRATIONS, driver: database }));
    const places: Place[] = [];
    for (let slot = 1; slot <= instances; slot += 1) {
      const dir = join(dataDir, `journal-${slot}`);
      await mkdir(dir);
      places.push({
        slot,
        redis: owned.use(await startProxy(redis.port)),
        supabase: owned.use(await startProxy(supabase.port)),
        journal: journal === 'off' ? undefined : { dir, mode: journal },
        offsetMs: 0,
        starts: 0,
        process: undefined,
        address: undefined,
      });
    }
    return new Stage(redis, supabase, places, settings, owned.move());
  }

  place(slot: number): Place {
    const place = this.places[slot - 1];
    if (place === undefined) throw new Error(`there is no instance ${slot}`);
    return place;
  }

  get addresses(): readonly InstanceAddress[] {
    return this.places.flatMap(({ address }) => (address === undefined ? [] : [address]));
  }

  /** Starts a new process in this place. */
  async start(place: Place): Promise<InstanceAddress> {
    const id = `${place.slot}.${place.starts + 1}`;
    const settings: WorkerSettings = {
      name: id,
      redisUrl: place.redis.through(this.redis.url),
      supabaseUrl: place.supabase.through(this.supabase.url),
      supabaseKey: this.supabase.secretKey,
      sourceUrl: this.sourceUrl,
      offsetMs: place.offsetMs,
      journal: place.journal,
      ...this.#settings,
    };
    place.process = await startProgram(`instance ${id}`, 'worker.ts', settings);
    place.starts += 1;
    place.address = { id, slot: place.slot, url: listeningAt(place.process) };
    return place.address;
  }

  async kill(place: Place): Promise<void> {
    place.address = undefined;
    await place.process?.kill();
    place.process = undefined;
  }

  /** @throws where it does not answer */
  async ask(place: Place, call: Call): Promise<Answer> {
    if (place.address === undefined) throw new Error(`instance ${place.slot} is not there`);
    return answerSchema.parse(await postJson(place.address.url, call, PATIENCE_MS));
  }

  /** Every link as it was. */
  heal(): void {
    for (const { redis, supabase } of this.places) {
      for (const link of [redis, supabase]) {
        link.delay(0);
        link.heal();
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.places.map((place) => this.kill(place)));
    await this.#owned.disposeAsync();
  }
}

/** A program of this folder, in a process of its own that ends with this one. */
export async function startProgram(
  name: string,
  file: string,
  settings: object,
): Promise<ServerProcess> {
  const program = fileURLToPath(new URL(file, import.meta.url));
  const flags = ['--conditions=@cache/source', '--expose-gc'];
  return await ServerProcess.start({
    name,
    command: process.execPath,
    args: [...flags, program, JSON.stringify(settings)],
    env: { NODE_OPTIONS: '' },
    ready: /^listening /m,
  });
}

export function listeningAt({ output }: ServerProcess): string {
  return /^listening (\S+)$/m.exec(output)?.[1] ?? '';
}
