/** The spans of one call: get, then the tiers that were asked, then what was asked of L3. */
import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Context,
  type ContextManager,
  context,
  ROOT_CONTEXT,
  trace,
} from '@opentelemetry/api';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Instance, Stage, turn } from '../support.ts';

/** What `@opentelemetry/context-async-hooks` does, as far as it is needed here. */
class AsyncContext implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();
  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT;
  }
  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    active: Context,
    run: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(active, () => Reflect.apply(run, thisArg, args));
  }
  bind<T>(_active: Context, target: T): T {
    return target;
  }
  enable(): this {
    return this;
  }
  disable(): this {
    this.#storage.disable();
    return this;
  }
}

const exporter: InMemorySpanExporter = new InMemorySpanExporter();
const provider: BasicTracerProvider = new BasicTracerProvider({
  spanProcessors: [new SimpleSpanProcessor(exporter)],
});
let stage: Stage;
let one: Instance;
beforeAll(async () => {
  context.setGlobalContextManager(new AsyncContext());
  trace.setGlobalTracerProvider(provider);
  stage = await Stage.start();
  one = await stage.ready();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
  await provider.shutdown();
});

/** The spans that a call opened, each with the name of the one around it. */
async function spansOf(call: () => Promise<unknown>): Promise<readonly string[]> {
  exporter.reset();
  const root = trace.getTracer('test').startSpan('test');
  await context.with(trace.setSpan(context.active(), root), call);
  root.end();
  const spans = exporter.getFinishedSpans();
  const traceId = root.spanContext().traceId;
  const mine = spans.filter((span) => span.spanContext().traceId === traceId);
  const nameOf = (span: ReadableSpan) =>
    mine.find((other) => other.spanContext().spanId === span.parentSpanContext?.spanId)?.name;
  return mine.flatMap((span) => (span.name === 'test' ? [] : [`${nameOf(span)} > ${span.name}`]));
}

it('a cold get is a span around that of Redis and that of L3', async () => {
  const key = stage.key('secret');
  await one.records.set(key, { n: 1 }, { durability: 'through' });
  await one.records.forget(key);
  const spans = await spansOf(() => one.records.get(key));
  expect(spans).toEqual(
    expect.arrayContaining([
      'test > cache.get',
      'cache.get > cache.l2.read',
      'cache.get > cache.l3.read',
    ]),
  );
});

it('a hit of L1 opens no span', async () => {
  const key = stage.key('secret');
  await one.records.set(key, { n: 1 });
  expect(await spansOf(() => one.records.get(key))).toEqual([]);
});

it('writes are spans around the tier that held them; no attribute names a key or a value', async () => {
  const key = stage.key('secret');
  expect(await spansOf(() => one.records.set(key, { n: 987 }))).toEqual(
    expect.arrayContaining(['test > cache.set', 'cache.set > cache.l2.put']),
  );
  expect(await spansOf(() => one.logs.append(key, turn('1')))).toEqual(
    expect.arrayContaining(['test > cache.append', 'cache.append > cache.l2.append']),
  );
  expect(await spansOf(() => one.records.update(key, () => ({ n: 987 })))).toEqual(
    expect.arrayContaining(['test > cache.update', 'cache.update > cache.l3.compare_and_set']),
  );
  const told = exporter.getFinishedSpans().map(({ name, attributes, events }) => ({
    name,
    attributes,
    events,
  }));
  expect(JSON.stringify(told)).not.toMatch(/secret|987/);
  expect(told.find(({ name }) => name === 'cache.update')?.attributes).toMatchObject({
    'cache.namespace': 'counts',
  });
});

it('a call that fails says so in its span', async () => {
  exporter.reset();
  await one.records
    .update(stage.key(), () => {
      throw new Error('no');
    })
    .catch(() => {});
  const span = exporter.getFinishedSpans().find(({ name }) => name === 'cache.update');
  expect(span?.status.code).toBe(2);
});
