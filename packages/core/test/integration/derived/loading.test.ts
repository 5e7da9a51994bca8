/** Loaders that fail, hang or are not wanted any more. In L1 alone, with time held still. */
import { afterEach, describe, expect, it } from 'vitest';
import type { DerivedOptions } from '../../../src/derived-options.ts';
import { LoadError, TimeoutError } from '../../../src/errors.ts';
import { type Cache, createCache, type Derived, memory } from '../../../src/index.ts';
import { errorOf } from '../support.ts';
import { counted, Holder } from './caches.ts';
import { HeldClock, settled } from './held-clock.ts';

let cache: Cache;
afterEach(async () => {
  await cache.close();
});

/** Values that are fresh for a second and may be stale for five. */
function values(options: DerivedOptions<string, string>): {
  readonly values: Derived<string, string>;
  readonly clock: HeldClock;
} {
  const clock = new HeldClock();
  cache = createCache({ l1: memory(), clock, deadline: '1m' });
  const timely = { ttl: '1s', grace: '5s', jitter: 0, earlyRefresh: 0 } as const;
  return { values: cache.derived<string, string>('values', { ...timely, ...options }), clock };
}

/** Whether a promise is still open when everything that can go on has gone on. */
async function isOpen(work: Promise<unknown>): Promise<boolean> {
  const open = Symbol('open');
  const ended = work.catch(() => {});
  return (await Promise.race([ended, settled().then(() => open)])) === open;
}

describe('a loader that fails', () => {
  it('within the grace what is stale is served; afterwards a LoadError has what the loader threw as its cause', async () => {
    const cause = new Error('the source is away');
    const answers = ['one'];
    const { values: own, clock } = values({
      load: () => {
        const answer = answers.shift();
        if (answer === undefined) throw cause;
        return answer;
      },
    });
    expect(await own.lookup('k')).toEqual({ value: 'one', tier: 'load', freshness: 'fresh' });
    await clock.pass(999);
    expect(await own.lookup('k')).toEqual({ value: 'one', tier: 'l1', freshness: 'fresh' });
    await clock.pass(1);
    expect(await own.lookup('k')).toEqual({ value: 'one', tier: 'l1', freshness: 'stale' });
    await clock.pass(4999);
    expect(await own.lookup('k')).toEqual({ value: 'one', tier: 'l1', freshness: 'stale' });
    expect(await counted(cache, 'cache_stale_answers_total', { reason: 'failed' })).toBe(2);
    await clock.pass(2);
    const error = await errorOf(own.get('k'));
    expect(error).toBeInstanceOf(LoadError);
    expect(error).toMatchObject({ code: 'LOAD', cause });
    expect(await errorOf(own.get('never seen'))).toMatchObject({ code: 'LOAD', cause });
    answers.push('two');
    expect(await own.get('k')).toBe('two');
  });

  it('all who wait for it are told, and the next one loads anew', async () => {
    const holder = new Holder<string>();
    const { values: own } = values({ load: holder.load });
    const waiting = Array.from({ length: 10 }, () => errorOf(own.get('k')));
    (await holder.begun(1)).fail(new Error('no'));
    for (const error of await Promise.all(waiting)) expect(error).toBeInstanceOf(LoadError);
    const next = own.get('k');
    (await holder.begun(2)).answer('yes');
    expect(await next).toBe('yes');
    expect(holder.loads).toHaveLength(2);
  });

  it('what is thrown is not a value: a rejected undefined, null or text is a cause too', async () => {
    for (const cause of [undefined, null, 'text', 0]) {
      const { values: own } = values({ load: () => Promise.reject(cause) });
      const error = await errorOf(own.get('k'));
      expect(error).toBeInstanceOf(LoadError);
      if (cause !== undefined) expect(error).toMatchObject({ cause });
      await cache.close();
    }
  });
});

describe('a loader that hangs', () => {
  it('G5: after the soft timeout what is stale is the answer; the load goes on and is stored', async () => {
    const holder = new Holder<string>();
    const { values: own, clock } = values({ load: holder.load, soft: '80ms', hard: '2s' });
    const first = own.get('k');
    (await holder.begun(1)).answer('one');
    await first;
    await clock.pass(1500);
    const slow = own.lookup('k');
    await clock.pass(79);
    expect(await isOpen(slow)).toBe(true);
    await clock.pass(1);
    expect(await slow).toEqual({ value: 'one', tier: 'l1', freshness: 'stale' });
    expect(await counted(cache, 'cache_stale_answers_total', { reason: 'soft' })).toBe(1);
    const load = await holder.begun(2);
    expect(load.signal.aborted).toBe(false);
    load.answer('two');
    await settled();
    expect(await own.lookup('k')).toEqual({ value: 'two', tier: 'l1', freshness: 'fresh' });
    expect(holder.loads).toHaveLength(2);
  });

  it('G5: at the hard timeout it is aborted, with a TimeoutError where nothing is stale', async () => {
    const holder = new Holder<string>();
    const { values: own, clock } = values({ load: holder.load, soft: '80ms', hard: '2s' });
    const waiting = errorOf(own.get('k'));
    const load = await holder.begun(1);
    await clock.pass(1999);
    expect(await isOpen(waiting)).toBe(true);
    expect(load.signal.aborted).toBe(false);
    await clock.pass(1);
    const error = await waiting;
    expect(error).toBeInstanceOf(TimeoutError);
    expect(error).toMatchObject({ message: expect.stringContaining('loader of values') });
    expect(load.signal.aborted).toBe(true);
    // What it answers now is nobody's.
    load.answer('late');
    await settled();
    expect(await own.peek('k')).toBeUndefined();
  });

  it('without a soft timeout what is stale is the answer at the hard one', async () => {
    const holder = new Holder<string>();
    const { values: own, clock } = values({ load: holder.load, hard: '2s' });
    const first = own.get('k');
    (await holder.begun(1)).answer('one');
    await first;
    await clock.pass(1500);
    const slow = own.lookup('k');
    await clock.pass(1999);
    expect(await isOpen(slow)).toBe(true);
    await clock.pass(1);
    expect(await slow).toMatchObject({ value: 'one', freshness: 'stale' });
    expect(await counted(cache, 'cache_stale_answers_total', { reason: 'timeout' })).toBe(1);
  });
});

describe('a caller who does not wait to the end', () => {
  it("G5: one caller's deadline ends that caller's wait; the load goes on, and is stored though nobody else waits", async () => {
    const holder = new Holder<string>();
    const { values: own, clock } = values({ load: holder.load });
    const hasty = errorOf(own.get('k', { deadline: '100ms' }));
    const patient = own.get('k');
    const load = await holder.begun(1);
    await clock.pass(100);
    expect(await hasty).toBeInstanceOf(TimeoutError);
    expect(await isOpen(patient)).toBe(true);
    load.answer('one');
    expect(await patient).toBe('one');

    const alone = errorOf(own.get('other', { deadline: '100ms' }));
    const other = await holder.begun(2);
    await clock.pass(100);
    expect(await alone).toBeInstanceOf(TimeoutError);
    expect(other.signal.aborted).toBe(false);
    other.answer('two');
    await settled();
    expect(await own.lookup('other')).toEqual({ value: 'two', tier: 'l1', freshness: 'fresh' });
    expect(holder.loads).toHaveLength(2);
  });

  it('at its deadline it is content with what is stale', async () => {
    const holder = new Holder<string>();
    const { values: own, clock } = values({ load: holder.load });
    const first = own.get('k');
    (await holder.begun(1)).answer('one');
    await first;
    await clock.pass(1500);
    const hasty = own.lookup('k', { deadline: '100ms' });
    await clock.pass(100);
    expect(await hasty).toMatchObject({ value: 'one', freshness: 'stale' });
    expect(await counted(cache, 'cache_stale_answers_total', { reason: 'deadline' })).toBe(1);
  });

  it("G5: the abort of one waiter ends only its own wait; the last one's aborts the load", async () => {
    const holder = new Holder<string>();
    const { values: own } = values({ load: holder.load });
    const [first, second] = [new AbortController(), new AbortController()];
    const one = errorOf(own.get('k', { signal: first.signal }));
    const two = errorOf(own.get('k', { signal: second.signal }));
    const load = await holder.begun(1);
    first.abort(new Error('one has gone'));
    expect(await one).toBe(first.signal.reason);
    expect(await isOpen(two)).toBe(true);
    expect(load.signal.aborted).toBe(false);
    second.abort(new Error('two has gone'));
    expect(await two).toBe(second.signal.reason);
    expect(load.signal.aborted).toBe(true);
    // What was aborted is no answer for who asks next.
    const next = own.get('k');
    (await holder.begun(2)).answer('anew');
    expect(await next).toBe('anew');
    expect(await counted(cache, 'cache_load_duration_seconds', { outcome: 'aborted' })).not.toBe(0);
  });

  it('who left at a deadline still wants the value: an abort of the last other does not end the load', async () => {
    const holder = new Holder<string>();
    const { values: own, clock } = values({ load: holder.load });
    const controller = new AbortController();
    const hasty = errorOf(own.get('k', { deadline: '100ms' }));
    const aborted = errorOf(own.get('k', { signal: controller.signal }));
    const load = await holder.begun(1);
    await clock.pass(100);
    await hasty;
    controller.abort();
    await aborted;
    expect(load.signal.aborted).toBe(false);
    load.answer('one');
    await settled();
    expect(await own.peek('k')).toBe('one');
  });

  it('a call that was aborted before it began loads nothing', async () => {
    const holder = new Holder<string>();
    const { values: own } = values({ load: holder.load });
    const reason = new Error('too late');
    expect(await errorOf(own.get('k', { signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(holder.loads).toHaveLength(0);
  });

  it('close() ends every load and every wait', async () => {
    const holder = new Holder<string>();
    const { values: own } = values({ load: holder.load });
    const waiting = [errorOf(own.get('k')), errorOf(own.get('k')), errorOf(own.refresh('r'))];
    const load = await holder.begun(2);
    await cache.close();
    for (const error of await Promise.all(waiting)) expect(error).toMatchObject({ code: 'CLOSED' });
    expect(load.signal.aborted).toBe(true);
    expect(await errorOf(own.get('k'))).toMatchObject({ code: 'CLOSED' });
  });
});
