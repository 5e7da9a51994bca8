/**
 * `npm start`: everything for a first look. Servers of its own where none are configured, then
 * the service, then what to paste. Its data is under `.data/` and is there the next time.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drainOnSignals } from '@cache/http/shutdown';
import { startProgram } from '@cache/testing';
import { MIGRATIONS } from './embedded.ts';

const DATA = fileURLToPath(new URL('../../../.data', import.meta.url));

await startProgram({
  directory: DATA,
  migrations: MIGRATIONS,
  onSignals: drainOnSignals,
  // Speech is kept on the disk, with the rest of what is there at the next start.
  defaults: { AUDIO_CACHE_DIR: join(DATA, 'audio') },
  load: async () => (await import('./service.ts')).openDemo,
  paste: ({ url, api, metrics, admin, json }) => [
    `-i -X POST ${url}/conversations${api}${json} -d '{"caller":"+49 30 1234567"}'`,
    `-i ${url}/callers/+49301234567${api}`,
    `${url}/cache/metrics${metrics}`,
    `-X POST ${url}/admin/cache/sync${admin}`,
  ],
});
