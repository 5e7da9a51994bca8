/** What Prometheus is told of a speech cache. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, UnavailableError } from '@cache/core';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  ClipCompression,
  createFileStore,
  exportSpeechMetrics,
  NotCachedError,
  type SpeechCache,
  speechMetricNames,
} from '../../src/index.ts';
import { Caches, heard, piece, SlowVoice, saying } from '../speech/support.ts';

const SAMPLES = new Uint8Array(64 * 1024);
const PRICES = { currency: 'EUR', perThousandCharacters: { '*': 100 } };

let directory: string;
let caches: Caches;
let registry: Registry;
let speech: SpeechCache;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cache-speech-'));
  caches = new Caches();
  registry = new Registry();
  const compression = new ClipCompression({ thresholdBytes: 1024 });
  const store = createFileStore({ dir: directory, compression });
  const requests = { format: 'pcm' } as const;
  speech = caches.open({
    store,
    compression,
    requests,
    prices: PRICES,
    cleanup: { maxBytes: 200_000 },
  });
  exportSpeechMetrics({ speech, registry, store, compression, currency: 'EUR' });
});

afterEach(async () => {
  await caches[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const figureOf = (name: string, labels: Readonly<Record<string, string>> = {}) =>
  figureIn(registry, name, labels);

async function figureIn(from: Registry, name: string, labels: Readonly<Record<string, string>>) {
  const text = await from.metrics();
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  const line = text
    .split('\n')
    .find(
      (one) => new RegExp(`^${name}[{ ]`).test(one) && wanted.every((part) => one.includes(part)),
    );
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}

async function say(text: string): Promise<void> {
  await heard(await speech.stream({ text, voice: 'v' }, saying(SAMPLES).synthesize));
}

test('every metric that is listed is exported, and is taken away again', async () => {
  const text = await registry.metrics();
  expect(speechMetricNames.filter((name) => !text.includes(`# TYPE ${name} `))).toEqual([]);
  expect(registry.getMetricsAsArray()).toHaveLength(speechMetricNames.length);
  expect(() => exportSpeechMetrics({ speech, registry })).toThrow(/audio_cache_operations_total/);
  const other = new Registry();
  exportSpeechMetrics({ speech, registry: other })();
  expect(other.getMetricsAsArray()).toEqual([]);
});

describe('source: the hotel agent’s audio cache (2025-10-07)', () => {
  test('audio_cache_operations_total counts get by hit and miss, set and delete', async () => {
    await say('one');
    await caches.told(speech, 'stored');
    await say('one');
    await speech.delete({ text: 'one', voice: 'v' });
    const get = (result: string) =>
      figureOf('audio_cache_operations_total', { operation: 'get', result });
    expect([await get('miss'), await get('hit')]).toEqual([1, 1]);
    expect(await figureOf('audio_cache_operations_total', { operation: 'set' })).toBe(1);
    expect(await figureOf('audio_cache_operations_total', { operation: 'delete' })).toBe(1);
  });

  test('audio_cache_size_entries and audio_cache_memory_bytes are those of the store', async () => {
    await say('one');
    await caches.told(speech, 'stored');
    expect(await figureOf('audio_cache_size_entries')).toBe(1);
    const { store } = await speech.stats();
    expect(await figureOf('audio_cache_memory_bytes')).toBe(store?.bytes);
  });

  test('audio_cache_cleanup_total, _freed_bytes and _entries_removed count the clean-up', async () => {
    for (const text of ['one', 'two', 'three']) {
      const audio = { bytes: withMp3Head(new Uint8Array(60_000)), mediaType: 'audio/mpeg' };
      await speech.put({ text, voice: 'v', format: 'mp3' }, audio);
    }
    const { result, removed, freedBytes } = await speech.cleanup();
    expect([result, removed]).toEqual(['done', 1]);
    expect(await figureOf('audio_cache_cleanup_total', { result: 'done' })).toBe(1);
    expect(await figureOf('audio_cache_cleanup_entries_removed')).toBe(1);
    expect(await figureOf('audio_cache_cleanup_freed_bytes')).toBe(freedBytes);
  });

  test('audio_cache_compression_operations_total, _bytes_saved and _ratio tell of compression', async () => {
    await say('one');
    await caches.told(speech, 'stored');
    const operation = (name: string) =>
      figureOf('audio_cache_compression_operations_total', { operation: name });
    expect([await operation('compress'), await operation('decompress')]).toEqual([1, 0]);
    expect(await figureOf('audio_cache_compression_bytes_saved')).toBeGreaterThan(60_000);
    expect(await figureOf('audio_cache_compression_ratio_bucket', { le: '10' })).toBe(0);
    expect(await figureOf('audio_cache_compression_ratio_bucket', { le: '+Inf' })).toBe(1);
    expect(await figureOf('audio_cache_compression_ratio_sum')).toBeGreaterThan(10);
    expect(await figureOf('audio_cache_compression_ratio_count')).toBe(1);
    // Buckets are cumulative: what shrank to about a half is in each above 3, too.
    const bytes = piece(1, SAMPLES.length).map((byte) => byte & 15);
    await speech.put({ text: 'two', voice: 'v' }, { bytes, mediaType: 'audio/x-raw' });
    const upTo = (le: string) => figureOf('audio_cache_compression_ratio_bucket', { le });
    expect([await upTo('1.25'), await upTo('10'), await upTo('+Inf')]).toEqual([0, 1, 2]);
  });
});

describe('what the sources lack', () => {
  test('characters, money and the time to the first byte', async () => {
    await say('ten chars.');
    await say('ten chars.');
    await say('ten chars.');
    await say('10 others.');
    expect(await figureOf('audio_cache_characters_total', { result: 'hit' })).toBe(20);
    expect(await figureOf('audio_cache_character_hit_ratio')).toBe(0.5);
    expect(await figureOf('audio_cache_money_saved_total', { currency: 'EUR' })).toBeCloseTo(2);
    expect(await figureOf('audio_cache_money_spent_total', { currency: 'EUR' })).toBeCloseTo(2);
    expect(await figureOf('audio_cache_first_byte_seconds_count', { source: 'l1' })).toBe(2);
    expect(await figureOf('audio_cache_syntheses_total', { result: 'done' })).toBe(2);
  });

  test('listeners who joined, and syntheses that failed', async () => {
    const voice = new SlowVoice('audio/x-raw');
    const request = { text: 'slow', voice: 'v' };
    const first = speech.stream(request, voice.synthesize);
    const utterance = await voice.utterance();
    utterance.say(SAMPLES);
    await first;
    const second = await speech.stream(request, voice.synthesize);
    expect(second.source).toBe('coalesced');
    expect(await figureOf('audio_cache_coalesced_listeners_total')).toBe(1);
    utterance.fail(new Error('broken'));
    await expect(heard(second)).rejects.toThrow();
    await caches.told(speech, 'synthesis-failed');
    expect(await figureOf('audio_cache_syntheses_total', { result: 'broken' })).toBe(1);
  });

  test('a miss is what is not cached: not a store that can not say, and not a listener who hangs up', async () => {
    const own = new Registry();
    const of = (result: string, from = registry) =>
      figureIn(from, 'audio_cache_operations_total', { operation: 'get', result });
    const request = { text: 'one', voice: 'v' };
    const { synthesize } = saying(SAMPLES);
    const mode = 'only-if-cached';
    await expect(speech.stream(request, synthesize, { mode })).rejects.toThrow(NotCachedError);
    expect([await of('miss'), await of('error')]).toEqual([1, undefined]);

    const slow = new SlowVoice('audio/basic');
    const gone = new AbortController();
    const hangsUp = speech.stream(request, slow.synthesize, { signal: gone.signal });
    await slow.utterance();
    gone.abort();
    await expect(hangsUp).rejects.toThrow();
    expect([await of('miss'), await of('error')]).toEqual([1, undefined]);

    const lost = caches.open({ store: createFileStore({ dir: '/dev/null/clips' }) });
    exportSpeechMetrics({ speech: lost, registry: own });
    await expect(lost.stream(request, synthesize, { mode })).rejects.toThrow(UnavailableError);
    expect([await of('miss', own), await of('error', own)]).toEqual([0, 1]);
  });

  test('a store that can not say leaves what it last said', async () => {
    await say('one');
    await caches.told(speech, 'stored');
    const late = new Registry();
    let isAway = false;
    const store = {
      usage: async () => {
        if (isAway) throw new Error('away');
        return { entries: 3, bytes: 30 };
      },
    };
    const files = createFileStore({ dir: directory });
    const partly = Object.assign(Object.create(files), store);
    exportSpeechMetrics({ speech, registry: late, store: partly, clock: systemClock });
    expect(await late.getSingleMetricAsString('audio_cache_size_entries')).toMatch(/ 3$/);
    isAway = true;
    expect(await late.getSingleMetricAsString('audio_cache_size_entries')).toMatch(/ 3$/);
    await files.close();
  });
});

function withMp3Head(bytes: Uint8Array): Uint8Array {
  bytes.set([0xff, 0xfb, 0x90, 0xc4]);
  return bytes;
}
