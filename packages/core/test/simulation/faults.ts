/** What each fault does to the servers, the network and the processes, and how often. */
import type { Address } from '../../src/model/key.ts';
import type { SharedSnapshot } from '../model/shared-server.ts';
import type { FaultName } from './fault-names.ts';
import type { History } from './history.ts';
import type { Instance } from './instance.ts';
import type { Network } from './network.ts';
import type { Task, World } from './world.ts';

/** What the faults may lay hands on. */
export interface Stage {
  readonly world: World;
  readonly network: Network;
  readonly history: History;
  readonly addresses: readonly Address[];
  /** The processes that live, in changing order of birth. */
  readonly instances: Instance[];
  /** Starts another process in the place of this one. */
  readonly replace: (instance: Instance) => void;
}

const MAX_KILLS = 2;

export const FAULT_TASKS: Readonly<Partial<Record<FaultName, (stage: Stage) => Task>>> = {
  *cut({ world, instances }) {
    for (;;) {
      yield world.around(200);
      const instance = world.pick(instances);
      instance.isCut = true;
      instance.disconnect();
      instance.say(() => 'is cut off from Redis');
      yield world.around(150);
      instance.isCut = false;
      instance.say(() => 'reaches Redis again');
    }
  },
  *down({ world, network, instances }) {
    for (;;) {
      yield world.around(300);
      network.redis.up = false;
      for (const instance of instances) instance.disconnect();
      world.say(() => 'Redis is down');
      yield world.around(150);
      network.redis.up = true;
      world.say(() => 'Redis is up');
    }
  },
  *l3down({ world, network }) {
    for (;;) {
      yield world.around(250);
      network.supabase.up = false;
      world.say(() => 'Supabase is down');
      yield world.around(200);
      network.supabase.up = true;
      world.say(() => 'Supabase is up');
    }
  },
  *empty(stage) {
    const { world, network, history } = stage;
    for (;;) {
      yield world.around(400);
      history.losses.push(world.now);
      if (world.chance(0.5)) restart(stage, undefined);
      else network.redis.model.empty();
      network.redis.lease = undefined;
      world.say(() => 'Redis is empty');
    }
  },
  *regress(stage) {
    const { world, network, history } = stage;
    let dump: SharedSnapshot | undefined;
    for (;;) {
      yield world.around(120);
      if (dump === undefined || world.chance(0.6)) {
        dump = network.redis.model.snapshot();
        continue;
      }
      history.losses.push(world.now);
      restart(stage, dump);
      world.say(() => 'Redis restarts with an older dump');
    }
  },
  *kill({ world, instances, history, replace }) {
    for (let kills = 0; kills < MAX_KILLS; kills += 1) {
      yield world.around(450);
      const instance = world.pick(instances);
      instance.isAlive = false;
      history.kills.push(world.now);
      instance.say(() => 'is killed');
      replace(instance);
    }
  },
  *evict({ world, network, addresses }) {
    for (;;) {
      yield world.around(15);
      const address = world.pick(addresses);
      if (network.redis.model.evict(address)) world.say(() => `  evicts ${address.key}`);
    }
  },
  *l1({ world, instances, addresses }) {
    for (;;) {
      yield world.around(25);
      world.pick(instances).l1.delete(world.pick(addresses).id);
    }
  },
};

/** Every connection breaks; nobody has introduced himself to the new one. */
function restart(stage: Stage, dump: SharedSnapshot | undefined): void {
  stage.network.redis.model.restart(dump);
  stage.network.redis.lease = undefined;
  for (const instance of stage.instances) instance.disconnect();
}

/** Everything is up and connected again. */
export function heal({ network, instances }: Stage): void {
  network.redis.up = true;
  network.supabase.up = true;
  for (const instance of instances) instance.isCut = false;
}
