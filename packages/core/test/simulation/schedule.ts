/**
 * One schedule: a fleet of three processes with two callers each, two values and two logs, and
 * the faults asked for; then everything heals, and what is left is looked at.
 */
import { type Address, address } from '../../src/model/key.ts';
import { versionAt } from '../../src/model/version.ts';
import { DurableModel } from '../model/durable-model.ts';
import { Bus } from './bus.ts';
import { checkEnd, isLog } from './check.ts';
import { FAULT_NAMES } from './fault-names.ts';
import { FAULT_TASKS, heal, type Stage } from './faults.ts';
import { History, type Violation } from './history.ts';
import { Instance } from './instance.ts';
import { excuseFor } from './limits.ts';
import { append, createEmpty, deleteLog } from './logging.ts';
import { Network, Redis, Supabase } from './network.ts';
import { read } from './reading.ts';
import { update } from './updating.ts';
import { drainLoop, heartbeatLoop, upkeepLoop } from './upkeep.ts';
import { WeakShared } from './weakened.ts';
import { type Task, World, type WorldOptions } from './world.ts';
import { writeValue } from './writing.ts';

export interface Outcome {
  /** What no documented limit excuses. */
  readonly violations: readonly Violation[];
  readonly excused: number;
  readonly acknowledged: number;
  readonly events: number;
  readonly lines: readonly string[];
}

const PROCESSES = 3;
const LONG_AGO_MS = 5000;
const CALLERS = 2;
const CALLS = 8;
const CALLS_OF_SUCCESSOR = 4;
const THINK_MS = 45;
/** Half of what two clocks may differ by without a warning. */
const SKEW_MS = 250;
/** How long after the faults everything has to be quiet. */
const QUIET_WITHIN_MS = 20_000;
const LOOK_EVERY_MS = 60;

const ADDRESSES: readonly Address[] = [
  address('v', 'a'),
  address('v', 'b'),
  address('l', 'x'),
  address('l', 'y'),
];

export function runSchedule(options: WorldOptions): Outcome {
  const world = new World(options);
  const fleet = new Fleet(world);
  fleet.start(options);
  fleet.run();
  const { history } = fleet;
  const violations = history.violations.filter(
    (violation) => excuseFor(violation, history, options.faults) === undefined,
  );
  return {
    violations,
    excused: history.violations.length - violations.length,
    acknowledged: history.acknowledged.length,
    events: world.events,
    lines: world.lines,
  };
}

class Fleet implements Stage {
  readonly world: World;
  readonly network: Network;
  readonly history: History;
  readonly addresses = ADDRESSES;
  readonly instances: Instance[] = [];
  readonly #bus: Bus;
  #born = 0;

  constructor(world: World) {
    this.world = world;
    this.history = new History(world);
    this.#bus = new Bus(world, () => this.instances);
    const publish = this.#bus.publish.bind(this.#bus);
    const shared = new WeakShared({ publish }, (rule) => world.rule(rule));
    // Redis has been up for long: versions are where the clocks are.
    shared.handshake(0, shared.runId, 1 + world.below(2 ** 40), versionAt(world.now - LONG_AGO_MS));
    this.network = new Network(world, new Redis(shared), new Supabase(new DurableModel()));
  }

  start(options: WorldOptions): void {
    const { world } = this;
    const spread = options.faults.has('skew') ? SKEW_MS : 5;
    for (let process = 0; process < PROCESSES; process += 1) {
      this.#launch((2 * world.random() - 1) * spread, CALLS);
    }
    for (const name of FAULT_NAMES) {
      const task = options.faults.has(name) ? FAULT_TASKS[name] : undefined;
      if (task !== undefined) world.spawn(task(this), () => !world.faultsEnded);
    }
  }

  #launch(skew: number, calls: number): void {
    const { world } = this;
    const instance = new Instance(this.#born, this.network, this.#bus, this.history, skew);
    this.#born += 1;
    this.instances.push(instance);
    const isAlive = (): boolean => instance.isAlive;
    world.spawn(drainLoop(instance), isAlive);
    world.spawn(upkeepLoop(instance), isAlive);
    world.spawn(heartbeatLoop(instance), isAlive);
    for (let caller = 0; caller < CALLERS; caller += 1) {
      world.spawn(this.#caller(instance, calls), isAlive);
      this.#callersOf.set(instance, (this.#callersOf.get(instance) ?? 0) + 1);
    }
  }

  readonly #callersOf = new Map<Instance, number>();

  *#caller(instance: Instance, calls: number): Task {
    const { world } = this;
    for (let call = 0; call < calls; call += 1) {
      yield world.around(THINK_MS);
      yield* this.#call(instance);
    }
    this.#callersOf.set(instance, (this.#callersOf.get(instance) ?? 0) - 1);
  }

  *#call(instance: Instance): Task {
    const { world } = this;
    const target = world.pick(ADDRESSES);
    const dice = world.random();
    if (isLog(target)) {
      if (dice < 0.45) yield* append(instance, target, false);
      else if (dice < 0.55) yield* append(instance, target, true);
      else if (dice < 0.62) yield* deleteLog(instance, target);
      else if (dice < 0.66) yield* createEmpty(instance, target);
      else yield* read(instance, target, 'log');
      return;
    }
    if (dice < 0.27) yield* writeValue(instance, target, 'set');
    else if (dice < 0.38) yield* writeValue(instance, target, 'delete');
    else if (dice < 0.44) yield* writeValue(instance, target, 'create');
    else if (dice < 0.64) yield* update(instance, target);
    else yield* read(instance, target, 'value');
  }

  readonly replace = (instance: Instance): void => {
    this.instances.splice(this.instances.indexOf(instance), 1);
    this.#callersOf.delete(instance);
    this.#launch(instance.skew, CALLS_OF_SUCCESSOR);
  };

  /** To the end of the calls, to the end of the faults, and on until nothing moves. */
  run(): void {
    const { world, history } = this;
    this.#until(() => [...this.#callersOf.values()].every((callers) => callers === 0), 60_000);
    world.endFaults();
    heal(this);
    const isQuiet = this.#until(() => this.#busy() === undefined, QUIET_WITHIN_MS);
    if (!isQuiet) history.violate('not quiescent', () => this.#busy() ?? '');
    // What was published last is heard.
    this.#until(() => false, LOOK_EVERY_MS);
    checkEnd(this);
    this.#lastReads();
  }

  /** Looks now and then; false where it did not come true in time. */
  #until(isTrue: () => boolean, within: number): boolean {
    const { world } = this;
    const end = world.now + within;
    let nextLook = world.now + LOOK_EVERY_MS;
    while (world.now < end) {
      if (!world.step()) return isTrue();
      if (world.now < nextLook) continue;
      nextLook = world.now + LOOK_EVERY_MS;
      if (isTrue()) return true;
    }
    return false;
  }

  /** Who still has something to do. */
  #busy(): string | undefined {
    const { world } = this;
    const { redis, supabase } = this.network;
    const epoch = redis.model.epochOf(redis.model.runId);
    for (const instance of this.instances) {
      if (world.rule('scripts-quote-epoch') && instance.epoch !== epoch) {
        return `P${instance.id} is in another epoch`;
      }
      if (instance.isOpen) return `P${instance.id} has an open breaker`;
      if (instance.mustDrain) return `P${instance.id} has to drain`;
      if (instance.outbox.size > 0) return `P${instance.id} holds ${instance.outbox.size}`;
    }
    const marks = supabase.model.marks(Number.MAX_SAFE_INTEGER).length;
    if (marks > 0) return `${marks} marks`;
    const pending = redis.model.pending(Number.POSITIVE_INFINITY, 10);
    if (pending.total > 0) return `pending: ${pending.addresses.map(({ key }) => key).join(' ')}`;
    if (redis.lateCommands + supabase.lateCommands > 0) return 'late commands';
    return undefined;
  }

  /** Every instance reads every key once more. */
  #lastReads(): void {
    const { world } = this;
    let left = 0;
    for (const instance of this.instances) {
      for (const target of ADDRESSES) {
        left += 1;
        world.spawn(
          this.#lastRead(instance, target, () => {
            left -= 1;
          }),
        );
      }
    }
    this.#until(() => left === 0, 1000);
  }

  *#lastRead(instance: Instance, target: Address, done: () => void): Task {
    yield* read(instance, target, isLog(target) ? 'log' : 'value');
    done();
  }
}
