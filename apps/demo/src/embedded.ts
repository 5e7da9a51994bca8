/** Servers for whatever the environment does not configure, with this project's migrations. */
import { fileURLToPath } from 'node:url';
import { type Embedded, type EmbeddedOptions, startEmbedded as start } from '@cache/testing';

/** The project's migrations, from the sources and from the build alike. */
export const MIGRATIONS: string = fileURLToPath(
  new URL('../../../supabase/migrations', import.meta.url),
);

export async function startEmbedded(
  options: Omit<EmbeddedOptions, 'migrations'>,
): Promise<Embedded> {
  return await start({ ...options, migrations: MIGRATIONS });
}
