/** What goes wrong in a schedule, by family: it heals by itself, sooner or later. */
import type { DerivedInstance } from './instance.ts';
import type { Family, World } from './world.ts';

const FAULTY = ['lines', 'redis', 'crash', 'persist'] as const satisfies readonly Family[];

export function fault(world: World): void {
  const { time } = world;
  const family = world.family === 'all' ? time.pick(FAULTY) : world.family;
  const instance = time.pick(world.instances);
  world.trace(`${instance.name} a fault of ${family}`);
  if (family === 'lines') lineFault(world, instance);
  else if (family === 'redis') redisFault(world);
  else if (family === 'persist') persistFault(world, instance);
  else if (family === 'crash') crash(world, instance);
}

/** Cut off, reconnected at once, or deaf without a word. */
function lineFault({ time }: World, { line }: DerivedInstance): void {
  const roll = time.below(4);
  if (roll < 1) {
    line.cut();
    time.after(time.below(3000), () => line.heal());
  } else if (roll < 2) line.lose();
  else {
    line.deafen();
    time.after(time.below(8000), () => line.resubscribe());
  }
}

/** Frozen; emptied; restarted, empty or from a dump, which may have been made just before. */
function redisFault({ time, redis }: World): void {
  const roll = time.below(4);
  if (roll < 2) {
    if (redis.state === 'up') redis.state = 'frozen';
    time.after(time.below(2500), () => redis.thaw());
  } else if (roll < 3) {
    if (time.chance(0.5)) redis.model.empty();
    else redis.restart(time.chance(0.7));
  } else {
    redis.save();
    time.after(time.below(400), () => redis.restart(true));
  }
}

function persistFault(world: World, instance: DerivedInstance): void {
  const { time, l3 } = world;
  const roll = time.below(4);
  if (roll === 0) lineFault(world, instance);
  else if (roll === 1) redisFault(world);
  else if (l3 !== undefined) {
    l3.state = time.chance(0.5) ? 'down' : 'lossy';
    time.after(time.below(3000), () => {
      l3.state = 'up';
    });
  }
}

/** Killed, and soon replaced. */
function crash(world: World, instance: DerivedInstance): void {
  const { time } = world;
  if (world.instances.length < 2 || time.chance(0.5)) return;
  world.instances = world.instances.filter((one) => one !== instance);
  instance.crash();
  time.after(time.below(1500), () => world.start());
}
