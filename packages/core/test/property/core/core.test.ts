/**
 * The real core under seeded schedules: three instances read and write through lines that delay
 * and lose, while their servers die, freeze, come back empty or from an old dump, and while
 * processes are killed. Deterministic: a seed that fails, fails again.
 *
 * Checked at every read: nothing older than what this instance acknowledged (G2). In the end: L3
 * holds what was acknowledged (G1), everybody agrees (G4), each item is there once in one order
 * and no update is lost (G12).
 *
 * Killed processes and lost data never meet in one schedule: two faults inside one flush interval
 * are a documented limit.
 */
import { expect, it } from 'vitest';
import { ConflictError } from '../../../src/errors.ts';
import { address } from '../../../src/model/key.ts';
import { SimulatedInstance } from './instance.ts';
import { DurableHost, RedisHost } from './servers.ts';
import { VirtualTime } from './virtual-time.ts';

type Family = 'redis' | 'crash' | 'lines';

const STEPS = 60;
const RECORDS = ['a', 'b'];
const LOGS = ['l'];
/** A log that is deleted now and then: everybody has to agree, on whatever is in it. */
const SHORT_LOG = 's';
const COUNTER = 'counter';

class Schedule {
  readonly #time: VirtualTime;
  readonly #redis: RedisHost = new RedisHost();
  readonly #l3: DurableHost;
  readonly #family: Family;
  #instances: SimulatedInstance[] = [];
  readonly #running = new Map<Promise<void>, SimulatedInstance>();
  /** The highest acknowledged version of a record, by instance and key. */
  readonly #floors = new Map<string, number>();
  /** Acknowledged items, by log; and by log and instance. */
  readonly #items = new Map<string, Set<string>>();
  readonly #highest = new Map<string, number>();
  readonly #lies: string[] = [];
  #counted = 0;
  #uncertain = 0;
  #writes = 0;
  acknowledged = 0;

  constructor(seed: number, family: Family) {
    this.#time = new VirtualTime(seed);
    this.#l3 = new DurableHost(this.#time);
    this.#family = family;
    for (let i = 0; i < 3; i += 1) this.#start();
  }

  #start(): void {
    this.#writes += 1;
    const skewMs = this.#time.below(400) - 200;
    const name = `i${this.#writes}`;
    this.#instances.push(new SimulatedInstance(name, this.#time, this.#redis, this.#l3, skewMs));
  }

  async run(): Promise<readonly string[]> {
    const time = this.#time;
    await time.pass(500);
    for (let step = 0; step < STEPS; step += 1) {
      if (time.chance(0.1)) this.#redis.save();
      if (time.chance(0.15)) this.#fault();
      const burst = 1 + time.below(6);
      for (let i = 0; i < burst; i += 1) this.#operation();
      await time.pass(time.chance(0.2) ? time.below(1500) : time.below(40));
    }
    await this.#end();
    return this.#lies;
  }

  // ------------------------------------------------------------ faults

  #fault(): void {
    const time = this.#time;
    const roll = time.below(10);
    const instance = time.pick(this.#instances);
    if (roll < 2) {
      this.#redis.state = this.#redis.state === 'up' ? 'frozen' : this.#redis.state;
      time.after(time.below(3000), () => this.#redis.thaw());
    } else if (roll < 4) {
      instance.line.cut();
      time.after(time.below(4000), () => instance.line.heal());
    } else if (roll < 6) {
      this.#l3.state = time.chance(0.5) ? 'down' : 'lossy';
      time.after(time.below(4000), () => {
        this.#l3.state = 'up';
      });
    } else if (this.#family === 'redis') {
      if (roll === 6) this.#redis.model.empty();
      else this.#redis.restart(time.chance(0.7));
    } else if (this.#family === 'crash' && this.#instances.length > 1) {
      this.#instances = this.#instances.filter((one) => one !== instance);
      instance.crash();
      time.after(time.below(2000), () => this.#start());
    }
  }

  // ------------------------------------------------------------ operations

  #operation(): void {
    const instance = this.#time.pick(this.#instances);
    const work = this.#any(instance).catch((error: unknown) => {
      if (instance.isAlive && !(error instanceof Error && 'code' in error)) throw error;
    });
    this.#running.set(work, instance);
    void work.finally(() => this.#running.delete(work));
  }

  async #any(instance: SimulatedInstance): Promise<void> {
    const time = this.#time;
    const roll = time.below(20);
    const key = time.pick(RECORDS);
    const log = time.pick(LOGS);
    this.#writes += 1;
    const n = this.#writes;
    if (roll < 6) await this.#read(instance, key);
    else if (roll < 9) await this.#readLog(instance, log);
    else if (roll < 12) this.#held(instance, key, await instance.records.set(key, n));
    else if (roll < 13) this.#held(instance, key, await instance.records.delete(key));
    else if (roll < 14) await this.#create(instance, key, n);
    else if (roll < 15) {
      this.#held(instance, key, await instance.records.set(key, n, { durability: 'through' }));
    } else if (roll < 17) await this.#append(instance, log, String(n));
    else if (roll < 18) await this.#short(instance, String(n));
    else await this.#count(instance);
  }

  #held(instance: SimulatedInstance, key: string, { version }: { version: number }): void {
    this.acknowledged += 1;
    const mine = `${instance.name} ${key}`;
    this.#floors.set(mine, Math.max(version, this.#floors.get(mine) ?? 0));
    this.#highest.set(key, Math.max(version, this.#highest.get(key) ?? 0));
  }

  async #create(instance: SimulatedInstance, key: string, n: number): Promise<void> {
    try {
      this.#held(instance, key, await instance.records.create(key, n));
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
    }
  }

  async #append(instance: SimulatedInstance, log: string, id: string): Promise<void> {
    await instance.logs.append(log, { id });
    this.acknowledged += 1;
    for (const place of [log, `${instance.name} ${log}`]) {
      this.#items.set(place, (this.#items.get(place) ?? new Set()).add(id));
    }
  }

  async #short(instance: SimulatedInstance, id: string): Promise<void> {
    if (this.#time.chance(0.3)) await instance.logs.delete(SHORT_LOG);
    else await instance.logs.append(SHORT_LOG, { id });
  }

  async #count(instance: SimulatedInstance): Promise<void> {
    try {
      this.#held(instance, COUNTER, await instance.records.update(COUNTER, (n) => (n ?? 0) + 1));
      this.#counted += 1;
    } catch (error) {
      if (Object(error).outcome !== 'none') this.#uncertain += 1;
      throw error;
    }
  }

  async #read(instance: SimulatedInstance, key: string): Promise<void> {
    const floor = this.#floors.get(`${instance.name} ${key}`) ?? 0;
    const version = await instance.version(key);
    if (version < floor)
      this.#lies.push(`G2: ${instance.name} read ${version} of ${key}, not ${floor}`);
  }

  async #readLog(instance: SimulatedInstance, log: string): Promise<void> {
    const floor = [...(this.#items.get(`${instance.name} ${log}`) ?? [])];
    const ids = (await instance.logs.read(log)).map(({ id }) => id);
    if (new Set(ids).size < ids.length) this.#lies.push(`G12: an item of ${log} twice`);
    for (const id of floor) {
      if (!ids.includes(id)) this.#lies.push(`G2: ${instance.name} read ${log} without its ${id}`);
    }
  }

  // ------------------------------------------------------------ the end

  /** All servers are up, nobody writes: after a while everybody agrees with L3, and L3 with us. */
  async #end(): Promise<void> {
    const time = this.#time;
    this.#l3.state = 'up';
    if (this.#redis.state === 'down') this.#redis.restart(false);
    this.#redis.thaw();
    for (const { line } of this.#instances) line.heal();
    await time.pass(30_000);
    // Those of a killed process never do.
    const running = [...this.#running.values()].filter((instance) => instance.isAlive);
    if (running.length > 0) this.#lies.push('G5: a call never ended');
    for (let round = 0; round < 3; round += 1) {
      for (const instance of this.#instances) await this.#during(instance.sync());
      await time.pass(2000);
    }
    for (const instance of this.#instances) {
      if (!instance.isHealthy) this.#lies.push(`${instance.name} is not healthy in the end`);
      if (instance.outbox.size > 0) this.#lies.push(`${instance.name} still holds something`);
      if (instance.copies.inFlight > 0) this.#lies.push(`${instance.name} has a fence left`);
    }
    const { total } = this.#redis.model.pending(Number.MAX_SAFE_INTEGER, 100);
    if (total > 0) this.#lies.push(`${total} keys are pending in the end`);
    for (const key of [...RECORDS, COUNTER]) await this.#agree(key);
    for (const log of [...LOGS, SHORT_LOG]) await this.#agreeOnLog(log);
  }

  async #during<T>(work: Promise<T>): Promise<T | undefined> {
    const state: { value: T | undefined; isOver: boolean } = { value: undefined, isOver: false };
    work
      .then((value) => {
        state.value = value;
      })
      .catch((error: unknown) => this.#lies.push(`in the end: ${String(error)}`))
      .finally(() => {
        state.isOver = true;
      });
    for (let waits = 0; !state.isOver && waits < 500; waits += 1) await this.#time.pass(50);
    return state.value;
  }

  async #agree(key: string): Promise<void> {
    const row = this.#l3.model.read(address('numbers', key));
    const version = row?.version ?? 0;
    const highest = this.#highest.get(key) ?? 0;
    if (version < highest) this.#lies.push(`G1: L3 has ${version} of ${key}, not ${highest}`);
    for (const instance of this.#instances) {
      const read = await this.#during(instance.version(key));
      if (read !== version) {
        this.#lies.push(`G4: ${instance.name} reads ${read} of ${key}, L3 has ${version}`);
      }
    }
    if (key !== COUNTER) return;
    const n = Number(row?.payload === undefined ? 0 : Buffer.from(row.payload.bytes).toString());
    if (n < this.#counted || n > this.#counted + this.#uncertain) {
      this.#lies.push(
        `G12: ${n} counted, ${this.#counted} acknowledged, ${this.#uncertain} unknown`,
      );
    }
  }

  async #agreeOnLog(log: string): Promise<void> {
    const there = this.#l3.model.readLog(address('items', log))?.items.map(({ id }) => id) ?? [];
    if (new Set(there).size < there.length) this.#lies.push(`G12: L3 has an item of ${log} twice`);
    for (const id of this.#items.get(log) ?? []) {
      if (!there.includes(id)) this.#lies.push(`G1: L3 has ${log} without its ${id}`);
    }
    for (const instance of this.#instances) {
      const read = await this.#during(instance.logs.read(log));
      const ids = read?.map(({ id }) => id).join(' ');
      if (ids !== there.join(' ')) {
        this.#lies.push(`G4: ${instance.name} reads ${log} as ${ids}, L3 has ${there.join(' ')}`);
      }
    }
  }
}

const SEEDS = Number(process.env.CORE_SEEDS ?? 40);
const FIRST = Number(process.env.CORE_SEED ?? 1);

for (const family of ['lines', 'redis', 'crash'] as const) {
  it(`G1, G2, G4, G12: ${SEEDS} schedules, with faults of the kind "${family}", are kept`, async () => {
    let acknowledged = 0;
    for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1) {
      const schedule = new Schedule(seed, family);
      const lies = await schedule.run();
      acknowledged += schedule.acknowledged;
      expect(lies, `seed ${seed} of "${family}"`).toEqual([]);
    }
    expect(acknowledged, 'writes that were acknowledged').toBeGreaterThan(SEEDS * 20);
  }, 120_000);
}
