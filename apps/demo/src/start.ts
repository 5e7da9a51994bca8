/**
 * `npm start`: everything for a first look. Servers of its own where none are configured, then
 * the service, then what to paste. Its data is under `.data/` and is there the next time.
 */
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drainOnSignals } from '@cache/http/shutdown';
import { type Environment, startProgram } from '@cache/testing';
import { MIGRATIONS } from './embedded.ts';
import { startText } from './start-text.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const DATA = join(ROOT, '.data');

await startProgram({
  directory: DATA,
  migrations: MIGRATIONS,
  onSignals: drainOnSignals,
  load: async () => {
    const [{ openService }, { pino }] = await Promise.all([import('./service.ts'), import('pino')]);
    return async (env: Environment) => {
      // Speech is kept on the disk, with the rest of what is there at the next start.
      const audio = env.AUDIO_CACHE_DIR?.trim() || join(DATA, 'audio');
      const logger = pino({ base: null });
      return await openService({ env: { ...env, AUDIO_CACHE_DIR: audio }, logger });
    };
  },
  text: (started) => {
    const data = relative(process.cwd(), DATA) || DATA;
    return startText({ ...started, data, seconds: process.uptime() });
  },
});
