/**
 * What a voice agent is asked to say, made up from a seed: not recorded, but the same for every
 * policy and on every machine.
 */

export interface Sentence {
  readonly key: string;
  readonly contentType: string;
  readonly characters: number;
  readonly bytes: number;
}

export interface Asked {
  /** Milliseconds since the beginning. */
  readonly at: number;
  readonly sentence: Sentence;
}

export interface Workload {
  readonly name: string;
  readonly asked: readonly Asked[];
}

const HOUR_MS = 3_600_000;
const CHARACTERS_PER_SECOND = 15;
/** Bytes of a second: MP3 at 128 kbit/s, WAV and PCM at 16 kHz, µ-law at 8 kHz. */
const BYTES_PER_SECOND = [16_000, 32_000, 8_000] as const;
const RECURRING = ['common_responses', 'error_messages', 'hotel_location', 'room_options'] as const;

/** A small generator with a seed: mulberry32. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Sentences whose popularity follows Zipf's law (exponent 0.9), in mixed formats and lengths. */
export function zipf(seed: number, requests: number): Workload {
  const draw = random(seed);
  const sentences = Array.from({ length: 6_000 }, (_, n) => sentence(`z${n}`, n, draw));
  const pick = zipfian(sentences.length, 0.9, draw);
  const asked = Array.from({ length: requests }, (_, n) => ({
    at: n * 500,
    sentence: sentences[pick()] ?? made(),
  }));
  return {
    name: `Zipf 0.9 over 6,000 sentences, ${requests.toLocaleString('en')} requests`,
    asked,
  };
}

/**
 * Twenty-four hours of calls: more by day than by night; each has a greeting, some turns of which
 * about half are said once and never again (names, dates, prices), and whose popular sentences
 * change from hour to hour.
 */
export function dayOfCalls(seed: number, calls: number): Workload {
  const draw = random(seed);
  const greetings = Array.from({ length: 6 }, (_, n) => ({
    ...sentence(`g${n}`, 0, draw),
    contentType: 'welcome_message',
  }));
  const recurring = Array.from({ length: 3_000 }, (_, n) => sentence(`r${n}`, n, draw));
  const pick = zipfian(recurring.length, 1, draw);
  const asked: Asked[] = [];
  for (let call = 0; call < calls; call += 1) {
    let at = timeOfDay(draw) * 24 * HOUR_MS;
    asked.push({ at, sentence: greetings[Math.floor(draw() * 6)] ?? made() });
    const turns = 3 + Math.floor(draw() * 8);
    for (let turn = 0; turn < turns; turn += 1) {
      at += 8_000 + draw() * 12_000;
      const drift = Math.floor(at / HOUR_MS) * 40;
      const once = draw() < 0.45;
      const known = recurring[(pick() + drift) % recurring.length] ?? made();
      asked.push({ at, sentence: once ? onlyOnce(`o${call}-${turn}`, draw) : known });
    }
  }
  asked.sort((a, b) => a.at - b.at);
  const requests = asked.length.toLocaleString('en');
  return {
    name: `a day of ${calls.toLocaleString('en')} calls with drift, ${requests} requests`,
    asked,
  };
}

function sentence(key: string, popularity: number, draw: () => number): Sentence {
  const format = BYTES_PER_SECOND[Math.floor(draw() * 3)] ?? 16_000;
  const characters = 15 + Math.floor(draw() ** 2 * 320);
  const isRecurring = popularity < 400 && draw() < 0.5;
  const type = RECURRING[Math.floor(draw() * RECURRING.length)] ?? 'common_responses';
  return {
    key,
    contentType: isRecurring ? type : 'availability_response',
    characters,
    bytes: Math.round((characters / CHARACTERS_PER_SECOND) * format),
  };
}

function onlyOnce(key: string, draw: () => number): Sentence {
  return { ...sentence(key, 1_000_000, draw), contentType: 'availability_response' };
}

/** Draws ranks: the first is the most popular. */
function zipfian(count: number, exponent: number, draw: () => number): () => number {
  const sums: number[] = [];
  let sum = 0;
  for (let n = 1; n <= count; n += 1) {
    sum += n ** -exponent;
    sums.push(sum);
  }
  return () => {
    const wanted = draw() * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] ?? 0) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

/** Around two in the afternoon, seldom at night. */
function timeOfDay(draw: () => number): number {
  const around = (draw() + draw() + draw()) / 3;
  return (around + 14 / 24 - 0.5 + 1) % 1;
}

function made(): Sentence {
  throw new Error('the workload drew a sentence that there is not');
}
