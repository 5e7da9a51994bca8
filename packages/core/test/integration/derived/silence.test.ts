/** A bus that has fallen silent while the commands of Redis go on; and a Redis that is full. */
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { until } from '../support.ts';
import { Caches, counted, Holder } from './caches.ts';

const LONG = { ttl: '10m', jitter: 0, earlyRefresh: 0, hard: '60s' } as const;

let caches: Caches;
beforeEach(async () => {
  caches = await Caches.start();
});
afterEach(async () => {
  await caches[Symbol.asyncDispose]();
});

/** Passes everything on, but nothing that comes through a subscription once it is silenced. */
class SilentBus implements AsyncDisposable {
  isSilent = false;
  readonly #server: Server;

  constructor(targetPort: number) {
    this.#server = createServer((client) => {
      const target = connect(targetPort, '127.0.0.1');
      let isSubscription = false;
      client.on('data', (chunk: Buffer) => {
        if (/subscribe\r\n/i.test(chunk.toString('latin1'))) isSubscription = true;
        target.write(chunk);
      });
      target.on('data', (chunk: Buffer) => {
        if (!isSubscription || !this.isSilent) client.write(chunk);
      });
      const end = () => {
        client.destroy();
        target.destroy();
      };
      for (const socket of [client, target]) socket.on('error', end).on('close', end);
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('not a TCP server');
    return `redis://127.0.0.1:${address.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<unknown>((resolve) => this.#server.close(resolve));
  }
}

it('G3: a load that began before an invalidation is not joined after it, though the bus never told', async () => {
  await using bus = new SilentBus(caches.server.port);
  const url = await bus.listen();
  const [deaf, other] = [
    await caches.ready({ l2: { url }, bus: { gapTtl: '500ms' } }),
    await caches.ready(),
  ];
  const holder = new Holder<string>();
  const values = deaf.derived<string, string>('v', {
    ...LONG,
    load: holder.load,
    tags: () => ['t'],
  });
  bus.isSilent = true;
  await until(() => !deaf.stats().bus.connected, 'the bus is known to be silent');
  const first = values.get('k');
  const load = await holder.begun(1);
  await other.invalidateTags(['t']);
  const began = performance.now();
  await until(() => performance.now() - began > 60, 'a message would have arrived');
  const second = values.get('k');
  holder.next = 'new';
  load.answer('old');
  expect(await second).toBe('new');
  // Who asked before the invalidation may be given either.
  expect(['old', 'new']).toContain(await first);
  await caches.closeAll();
});

it('a Redis that is full refuses what was loaded, and takes the lease back: the next one loads at once', async () => {
  const [a, b] = [await caches.ready(), await caches.ready()];
  const holder = new Holder<string>();
  const define = { ...LONG, load: holder.load } as const;
  const first = a.derived<string, string>('v', define).get('k');
  const load = await holder.begun(1);
  const admin = new Redis(caches.server.url);
  await admin.config('SET', 'maxmemory', '1');
  admin.disconnect();
  load.answer('a');
  expect(await first).toBe('a');
  await until(() => a.stats().derived.inFlight === 0, 'the load has ended, with all that follows');
  holder.next = 'b';
  expect(await b.derived<string, string>('v', define).get('k')).toBe('b');
  expect(await counted(b, 'cache_leases_total', { outcome: 'waited' })).toBe(0);
});
