/** The bus on virtual time, over a line that can fall silent without a word. */
import { expect, it } from 'vitest';
import { Bus } from '../../../src/coherence/bus.ts';
import { Copies, type Copy } from '../../../src/coherence/copies.ts';
import { type AddressId, address } from '../../../src/model/key.ts';
import { VirtualTime } from '../../property/core/virtual-time.ts';

const { id } = address('numbers', 'a');
const GAP_MS = 5000;
const COPY: Copy = {
  kind: 'value',
  value: 1,
  version: 1,
  intent: 1,
  expiresAt: 0,
  bytes: 1,
  storedAt: 0,
};

class Line {
  readonly time: VirtualTime = new VirtualTime(1);
  readonly near: Map<AddressId, Copy> = new Map();
  readonly copies: Copies;
  readonly bus: Bus;
  readonly heartbeats: string[] = [];
  isDeaf = false;
  isAside = false;
  gaps = 0;
  subscriptions = 1;

  constructor() {
    const clock = this.time.clock(0, () => true);
    const say = async (message: string) => {
      if (!this.isDeaf) this.time.after(2, () => this.bus.hear(message));
    };
    const { near } = this;
    const tier = {
      get: (of: AddressId) => near.get(of),
      set: (of: AddressId, copy: Copy) => void near.set(of, copy),
      delete: (of: AddressId) => void near.delete(of),
      clear: () => near.clear(),
    };
    this.copies = new Copies(tier, { isAlive: () => this.bus.alive });
    this.bus = new Bus({
      clock,
      instance: 'i',
      gapMs: GAP_MS,
      line: {
        heartbeat: (_, message) => {
          this.heartbeats.push(message);
          return say(message);
        },
        publish: (message) => say(message).then(() => 1),
      },
      onKey: () => {},
      onFree: () => {},
      onTag: () => {},
      onGap: () => {
        this.gaps += 1;
        this.copies.empty();
      },
      onAlive: () => {},
      onReceived: () => {},
      onPublished: () => {},
      onPeer: () => {},
      onDeaf: () => {
        this.subscriptions += 1;
        this.bus.subscribed();
      },
      isAside: () => this.isAside,
      onQuestion: async () => ({ flushed: 0, refused: 0, failed: 0 }),
    });
    this.bus.start();
  }

  hold(): void {
    const ticket = this.copies.enter(id);
    this.copies.offer(ticket, COPY);
    this.copies.leave(ticket);
  }
}

it('G3: while the bus hears its own heartbeats L1 is served', async () => {
  const line = new Line();
  await line.time.pass(10);
  line.hold();
  await line.time.pass(3 * GAP_MS);
  expect(line.copies.get(id)).toBe(COPY);
  await line.bus.close();
});

it('G3: a bus that has heard nothing for gapTtl proves nothing: L1 is not served, and emptied', async () => {
  const line = new Line();
  await line.time.pass(10);
  line.hold();
  const gaps = line.gaps;
  line.isDeaf = true;
  await line.time.pass(GAP_MS - 1000);
  expect(line.copies.get(id), 'within gapTtl').toBe(COPY);
  await line.time.pass(1001);
  expect(line.copies.get(id), 'L1 is served although the bus is silent').toBeUndefined();
  await line.time.pass(1001);
  expect([line.gaps - gaps, line.near.size], 'it is emptied, once').toEqual([1, 0]);
  line.isDeaf = false;
  await line.time.pass(1001);
  expect(line.bus.alive, 'proven again').toBe(true);
  await line.bus.close();
});

it('a bus whose heartbeats are sent and not heard subscribes anew, now and then, until it hears', async () => {
  const line = new Line();
  await line.time.pass(10);
  line.isDeaf = true;
  await line.time.pass(GAP_MS);
  expect(line.subscriptions, 'not while it is proven').toBe(1);
  await line.time.pass(6000);
  expect(line.subscriptions).toBeGreaterThan(1);
  expect(line.subscriptions).toBeLessThan(4);
  line.isDeaf = false;
  await line.time.pass(3001);
  expect(line.bus.alive).toBe(true);
  const { subscriptions } = line;
  await line.time.pass(3 * GAP_MS);
  expect(line.subscriptions).toBe(subscriptions);
  await line.bus.close();
});

it('G1: what is held aside is told at once, and again once somebody was answered without it', async () => {
  const line = new Line();
  await line.time.pass(10);
  line.heartbeats.length = 0;
  line.isAside = true;
  line.bus.tellAside();
  line.bus.tellAside();
  expect(line.heartbeats).toEqual(['h i 2 a']);
  line.bus.hear('q other 1');
  line.bus.tellAside();
  expect(line.heartbeats).toEqual(['h i 2 a', 'h i 3 a']);
  line.isAside = false;
  await line.time.pass(1000);
  expect(line.heartbeats.at(-1)).toBe('h i 4');
  line.bus.stop();
  line.bus.tellAside();
  expect(line.heartbeats).toHaveLength(3);
});
