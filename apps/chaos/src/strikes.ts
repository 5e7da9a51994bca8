/** How each fault is done and undone. Each resolves when it is over. */
import { setTimeout as delay } from 'node:timers/promises';
import type { FaultName } from './faults.ts';
import type { Strike } from './schedule.ts';
import type { Place, Stage } from './stage.ts';

export interface StrikeParts {
  readonly stage: Stage;
  /** A process is gone, or another is there. */
  readonly down: (id: string) => Promise<void>;
  readonly up: (place: Place) => Promise<void>;
}

type Act = (parts: StrikeParts, strike: Strike) => Promise<void>;

export async function strikeWith(parts: StrikeParts, strike: Strike): Promise<void> {
  await ACTS[strike.fault](parts, strike);
}

const ACTS: Readonly<Record<FaultName, Act>> = {
  async kill({ stage, down, up }, { slot, ms }) {
    const place = stage.place(slot);
    const id = place.address?.id;
    await stage.kill(place);
    if (id !== undefined) await down(id);
    await delay(ms);
    await up(place);
  },
  async 'kill-both'({ stage, down, up }, { slot, ms }) {
    const place = stage.place(slot);
    const id = place.address?.id;
    await Promise.all([stage.kill(place), stage.redis.kill()]);
    if (id !== undefined) await down(id);
    await delay(ms);
    await stage.redis.restart();
    await up(place);
  },
  async freeze({ stage }, { slot, ms }) {
    const { process } = stage.place(slot);
    process?.freeze();
    await delay(ms);
    process?.thaw();
  },
  async 'redis-freeze'({ stage }, { ms }) {
    stage.redis.freeze();
    await delay(ms);
    stage.redis.thaw();
  },
  async 'redis-restart'({ stage }, { ms }) {
    await stage.redis.kill();
    await delay(ms);
    await stage.redis.restart({ keep: true });
  },
  async 'redis-empty'({ stage }, { ms }) {
    await stage.redis.kill();
    await delay(ms);
    await stage.redis.restart();
  },
  async 'redis-flush'({ stage }) {
    await stage.redis.empty();
  },
  async 'redis-older'({ stage }, { ms }) {
    const dump = await stage.redis.snapshot();
    await delay(ms);
    await stage.redis.restart({ from: dump });
  },
  async 'redis-cut'({ stage }, { slot, ms }) {
    const { redis } = stage.place(slot);
    redis.cut();
    await delay(ms);
    redis.heal();
  },
  async 'redis-stall'({ stage }, { slot, ms }) {
    const { redis } = stage.place(slot);
    redis.stall();
    await delay(ms);
    redis.heal();
  },
  async 'redis-slow'({ stage }, { ms, sizes }) {
    for (const [index, { redis }] of stage.places.entries()) redis.delay(sizes[index] ?? 0);
    await delay(ms);
    for (const { redis } of stage.places) redis.delay(0);
  },
  async 'supabase-kill'({ stage }, { ms }) {
    await stage.supabase.kill();
    await delay(ms);
    await stage.supabase.restart();
  },
  async 'postgres-kill'({ stage }, { ms }) {
    await stage.supabase.postgres?.kill();
    await delay(ms);
    await stage.supabase.postgres?.restart();
    // The API that stands in for Supabase's does not outlive its database when it is busy: its
    // driver throws where nobody can catch it. The real one does; here it is another process.
    await stage.supabase.restart();
  },
  async 'supabase-slow'({ stage }, { ms, sizes }) {
    for (const [index, { supabase }] of stage.places.entries()) supabase.delay(sizes[index] ?? 0);
    await delay(ms);
    for (const { supabase } of stage.places) supabase.delay(0);
  },
  async 'supabase-cut'({ stage }, { slot, ms }) {
    const { supabase } = stage.place(slot);
    supabase.cut();
    await delay(ms);
    supabase.heal();
  },
  async skew({ stage }, { sizes }) {
    for (const [index, place] of stage.places.entries()) {
      place.offsetMs = sizes[index] ?? 0;
      // Who does not answer now is told when it is started again.
      await stage.ask(place, { op: 'clock', offsetMs: place.offsetMs }).catch(() => undefined);
    }
  },
};
