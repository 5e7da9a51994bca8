/** `npm start -- audiobooks`: everything for a first look, as the README of this app shows it. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drainOnSignals } from '@cache/http/shutdown';
import { startProgram } from '@cache/testing';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const DATA = join(ROOT, '.data', 'audiobooks');

await startProgram({
  directory: DATA,
  migrations: ['supabase/migrations', 'apps/audiobooks/migrations'].map((one) => join(ROOT, one)),
  onSignals: drainOnSignals,
  // Speech is kept on the disk, with the rest of what is there at the next start.
  defaults: { AUDIO_CACHE_DIR: join(DATA, 'audio') },
  load: async () => (await import('./service.ts')).openAudiobooks,
  paste: ({ url, api, admin, json }) => [
    `-X PUT ${url}/books/42${api}${json} -d '{"documentId":"doc-456","titulo":"Don Quijote","autor":"Cervantes","segmentos":["En un lugar de la Mancha.","De cuyo nombre no quiero acordarme."]}'`,
    `-X POST ${url}/tts/libro/42/audios${api}${json} -d '{"voice":"es-mx","segments":[1,2]}'`,
    `-o segment.wav ${url}/tts/audio/1${api}`,
    `${url}/health${admin}`,
  ],
});
