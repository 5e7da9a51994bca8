/** The service in a process of its own. */
import { extname } from 'node:path';
import { type ServiceProcess, startServiceProcess } from '@cache/testing';

/** The program beside this file: TypeScript in the repository, JavaScript where it was built. */
const MAIN = new URL(`./main${extname(import.meta.url)}`, import.meta.url);

/** Starts the service and waits until it listens. */
export async function startService({
  env,
}: {
  /** PORT is a free one and CACHE_ADMIN_TOKEN a random one where they are not given. */
  readonly env: Readonly<Record<string, string>>;
}): Promise<ServiceProcess> {
  return await startServiceProcess({ program: MAIN, env });
}
