/** A `redis-server` process from settings of redis.conf, by name; `undefined` ones are left out. */
import { MissingRedisError } from './errors.ts';
import { ServerProcess } from './server-process.ts';

/**
 * @throws MissingRedisError where the machine has no `redis-server`
 */
export async function launchRedis(
  settings: Readonly<Record<string, string | undefined>>,
  { before = [], name = 'redis-server', ready = /Ready to accept connections/ }: LaunchOptions = {},
): Promise<ServerProcess> {
  const args = Object.entries(settings).flatMap(([setting, value]) =>
    value === undefined ? [] : [`--${setting}`, value],
  );
  try {
    return await ServerProcess.start({
      name,
      command: 'redis-server',
      args: [...before, ...args],
      ready,
    });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new MissingRedisError({ cause: error });
    }
    throw error;
  }
}

export interface LaunchOptions {
  /** Arguments that go first: the path of a configuration file, say. */
  readonly before?: readonly string[];
  readonly name?: string;
  readonly ready?: RegExp;
}
