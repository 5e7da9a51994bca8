/**
 * @cache/core beside a peer, in one run, on one machine, on the same Redis: compare the ratios,
 * never the absolute figures. `npm run bench`, or one part of it: `npm run bench invalidation`.
 */
import { benchAudioCleanup } from './audio-cleanup.ts';
import { benchAudiobooks } from './audiobooks.ts';
import { benchEncryption } from './encryption.ts';
import { benchInvalidation } from './invalidation.ts';
import { benchTiers } from './tiers.ts';

const PARTS: Readonly<Record<string, () => Promise<void>>> = {
  tiers: benchTiers,
  invalidation: benchInvalidation,
  encryption: benchEncryption,
  'audio-cleanup': benchAudioCleanup,
  audiobooks: benchAudiobooks,
};

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !Object.hasOwn(PARTS, name));
if (unknown !== undefined) {
  console.error(`unknown part ${unknown}: one of ${Object.keys(PARTS).join(', ')}`);
  process.exit(2);
}
for (const [name, run] of Object.entries(PARTS)) {
  if (asked.length === 0 || asked.includes(name)) await run();
}
process.exit(0);
