/** `npm start -- audiobooks`: everything for a first look, as the README of this app shows it. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drainOnSignals } from '@cache/http/shutdown';
import { type Environment, startProgram } from '@cache/testing';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const DATA = join(ROOT, '.data', 'audiobooks');

await startProgram({
  directory: DATA,
  migrations: [
    join(ROOT, 'supabase/migrations'),
    fileURLToPath(new URL('../migrations', import.meta.url)),
  ],
  onSignals: drainOnSignals,
  load: async () => {
    const [{ openService }, { pino }] = await Promise.all([import('./service.ts'), import('pino')]);
    return async (env: Environment) => {
      const kept = { ...env, AUDIO_CACHE_DIR: env.AUDIO_CACHE_DIR?.trim() || join(DATA, 'audio') };
      return await openService({ env: kept, logger: pino({ base: null }) });
    };
  },
  text: ({ embedded: { redis, supabase }, service: { url, adminToken } }) => {
    const body = `-H 'content-type: application/json' -d`;
    return [
      `Audiobooks   ${url}   (to browse: ${url}/docs)`,
      `Redis        ${redis?.url ?? 'as configured, or off'}`,
      `Supabase     ${supabase?.url ?? 'as configured'}`,
      `Admin token  ${adminToken}`,
      '',
      'To paste:',
      `  curl -s -X PUT ${url}/books/42 ${body} '{"documentId":"doc-456","titulo":"Don Quijote","autor":"Cervantes","segmentos":["En un lugar de la Mancha.","De cuyo nombre no quiero acordarme."]}'`,
      `  curl -s -X POST ${url}/tts/libro/42/audios ${body} '{"voice":"es-mx","segments":[1,2]}'`,
      `  curl -s -o segment.wav ${url}/tts/audio/1`,
      `  curl -s ${url}/health -H 'authorization: Bearer ${adminToken}'`,
      '',
      'Ctrl-C drains and stops all of it.',
    ].join('\n');
  },
});
