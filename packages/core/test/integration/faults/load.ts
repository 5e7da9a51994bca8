/**
 * A steady load on one instance: turns are appended, a record is set and deleted, and every
 * acknowledged write is read back at once (G2). What was acknowledged is kept, for the oracle to
 * compare with L3 afterwards.
 */
import { expect } from 'vitest';
import { eventually, type Instance, type ItemRow, type Stage, turn } from '../support.ts';

export interface LoadOptions {
  /** Names this load's keys and items. */
  readonly name: string;
  /** A log that others append to as well. */
  readonly log: string;
}

export class Load {
  readonly instance: Instance;
  readonly name: string;
  readonly log: string;
  /** Ids of turns, in the order of their acknowledgement. */
  readonly appended: string[] = [];
  readonly errors: unknown[] = [];
  /** What was not as it had been acknowledged. */
  readonly lies: string[] = [];
  /** The slowest call, in milliseconds. */
  slowest = 0;
  rounds = 0;
  #last = 0;
  #isOver = false;
  #running: Promise<void> = Promise.resolve();

  constructor(instance: Instance, { name, log }: LoadOptions) {
    this.instance = instance;
    this.name = name;
    this.log = log;
  }

  get record(): string {
    return `${this.log}-${this.name}`;
  }

  start(): this {
    this.#running = this.#run();
    return this;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  /** Resolves after so many more rounds: the load has met whatever was done before. */
  async goesOn(rounds: number): Promise<void> {
    const until = this.rounds + rounds;
    while (this.rounds < until) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      this.rounds += 1;
      await this.#append(`${this.name}-${this.rounds}`);
      await this.#set(this.rounds);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async #append(id: string): Promise<void> {
    const { logs } = this.instance;
    const receipt = await this.#timed(() => logs.append(this.log, turn(id)));
    if (receipt === undefined) return;
    this.appended.push(id);
    const read = await this.#timed(() => logs.read(this.log));
    if (read === undefined) return;
    const there = new Set(read.map((item) => item.id));
    if (there.size !== read.length) this.lies.push(`an item twice after ${id}`);
    for (const own of this.appended) if (!there.has(own)) this.lies.push(`${own} after ${id}`);
  }

  async #set(n: number): Promise<void> {
    const { records } = this.instance;
    const receipt = await this.#timed(() => records.set(this.record, { n }));
    if (receipt !== undefined) this.#last = n;
    const read = await this.#timed(() => records.get(this.record));
    // A set that was rejected may have taken effect.
    if (this.errors.length === 0 && read?.n !== this.#last) {
      this.lies.push(`${this.#last} was set, ${read?.n} was read`);
    }
  }

  async #timed<T>(call: () => Promise<T>): Promise<T | undefined> {
    const start = performance.now();
    try {
      return await call();
    } catch (error) {
      this.errors.push(error);
      return undefined;
    } finally {
      this.slowest = Math.max(this.slowest, performance.now() - start);
    }
  }

  /** G1, G4, G12: what was acknowledged is in L3, once, and nothing else than what was sent. */
  async isWhole(stage: Pick<Stage, 'items' | 'row'>, others: readonly Load[] = []): Promise<void> {
    const loads = [this, ...others.filter((other) => other !== this)];
    const items = await stage.items(this.log);
    const ids = items.map(({ id }) => id);
    expect(new Set(ids).size, 'each item once').toBe(ids.length);
    for (const { appended } of loads) expect(ids).toEqual(expect.arrayContaining(appended));
    for (const load of loads) {
      expect((await stage.row(load.record))?.value).toEqual({ n: load.#last });
      inOrder(items, load.appended);
    }
    // What went around Redis at the last moment is made known to it within two seconds.
    await eventually(async () => {
      for (const { instance, log } of loads) {
        expect((await instance.logs.read(log)).map(({ id }) => id)).toEqual(ids);
      }
    }, 6000);
  }
}

/** One writer's turns are in the order in which he wrote them. */
function inOrder(items: readonly ItemRow[], appended: readonly string[]): void {
  const mine = new Set(appended);
  const there = items.flatMap(({ id }) => (mine.has(id) ? [id] : []));
  expect(there).toEqual(appended);
}
