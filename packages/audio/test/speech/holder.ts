/**
 * An instance that begins to speak and never ends, until it is killed. Arguments: the URL of Redis,
 * the prefix, how many pieces it says. Says "holding" when they are said.
 */
import { redisFleet } from '../../src/redis-fleet.ts';
import { createSpeechCache } from '../../src/speech-cache.ts';
import { piece, SlowVoice } from './support.ts';

const [url = '', prefix = '', count = '0'] = process.argv.slice(2);
const fleet = redisFleet({ url, prefix, timeout: '5s', lease: '2s' });
const speech = createSpeechCache({ fleet, lookupTimeout: '5s', firstByteTimeout: '10m' });
await speech.ready();
const voice = new SlowVoice();
const asked = speech.stream({ text: 'Un momento.', voice: 'lucia' }, voice.synthesize);
const utterance = await voice.utterance();
for (let seed = 1; seed <= Number(count); seed += 1) utterance.say(piece(seed));
if (Number(count) > 0) {
  const reader = (await asked).audio.getReader();
  for (let read = 0; read < Number(count); read += 1) await reader.read();
}
process.stdout.write('holding\n');
// Its own connection keeps the process alive.
await new Promise(() => {});
