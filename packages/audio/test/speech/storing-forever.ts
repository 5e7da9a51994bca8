/**
 * An instance that has sentences spoken and stored until it is killed. Arguments: the URL of Redis,
 * a seed. Says "storing" when the first one is stored, which nobody else asks for.
 */
import { SynthesisError } from '../../src/errors.ts';
import { redisFleet } from '../../src/redis-fleet.ts';
import { redisStore } from '../../src/redis-store.ts';
import { createSpeechCache } from '../../src/speech-cache.ts';
import { heard } from './pieces.ts';
import { ownOf, sentenceOf, spokenOf } from './sentences.ts';

const [url = '', seed = '0'] = process.argv.slice(2);
const store = redisStore({ url, prefix: 'kill:', timeout: '5s' });
const fleet = redisFleet({ url, prefix: 'kill:', timeout: '5s' });
const speech = createSpeechCache({ store, fleet, lookupTimeout: '5s' });
await Promise.all([speech.ready(), store.ready()]);
speech.subscribe(({ type }) => {
  if (type === 'stored') process.stdout.write('storing\n');
});
const own = ownOf(Number(seed));
await heard(await speech.stream(own, spokenOf(own.text)));
for (let n = Number(seed); ; n += 1) {
  const some = [0, 1, 2].map(async (at) => {
    const sentence = sentenceOf((n * 3 + at) % 40);
    const mode = n % 3 === 0 ? 'refresh' : 'default';
    try {
      await heard(await speech.stream(sentence, spokenOf(sentence.text), { mode }));
    } catch (error) {
      // Another was killed while it spoke this one, and a part of it was heard here.
      if (!(error instanceof SynthesisError && error.reason === 'interrupted')) throw error;
    }
  });
  await Promise.all(some);
  if (n % 4 === 3) await speech.delete(sentenceOf(n % 40));
}
