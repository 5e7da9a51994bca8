/** A program for `start-program.test.ts`: its folders of migrations and its data, by its arguments. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { startProgram } from '../../src/index.ts';

const [directory = '', ...migrations] = process.argv.slice(2);

await startProgram({
  directory,
  migrations,
  defaults: { GIVEN: 'by default', MADE_UP: 'by default' },
  onSignals: ({ drain }) => {
    process.on('SIGTERM', () => void drain('SIGTERM').then(() => process.exit(0)));
  },
  load: async () => async (options) => {
    const { SUPABASE_URL = '', SUPABASE_SECRET_KEY = '', GIVEN, MADE_UP, PORT } = options.env;
    if (GIVEN === 'wrong') {
      throw Object.assign(new Error('GIVEN takes a word, got "wrong"'), { code: 'CONFIG' });
    }
    const rows = async (table: string) => {
      const url = `${SUPABASE_URL}/rest/v1/${table}?select=count`;
      const headers = {
        apikey: SUPABASE_SECRET_KEY,
        authorization: `Bearer ${SUPABASE_SECRET_KEY}`,
      };
      return (await fetch(url, { headers })).status;
    };
    const seen = { GIVEN, MADE_UP, first: await rows('first'), second: await rows('second') };
    process.stdout.write(`${JSON.stringify(seen)}\n`);
    const server = createServer().listen(Number(PORT), '127.0.0.1');
    await once(server, 'listening');
    return {
      url: `http://127.0.0.1:${PORT}`,
      adminToken: 'boss',
      adminTokenIsNew: true,
      apiToken: undefined,
      close: async () => {
        server.close();
        await once(server, 'close');
        process.stdout.write('closed\n');
      },
    };
  },
  paste: ({ url }) => [`${url}/things`],
});
