/**
 * Somebody who speaks on a call, through any instance that answers, and keeps account of it: what
 * was acknowledged, by whom, and held where; and whether a read ever lacked something that the
 * same instance had acknowledged before.
 *
 * A turn that is not acknowledged is said again under the same id, elsewhere, until it is.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { turnSchema } from '../conversations.ts';

export interface Listener {
  readonly name: string;
  readonly url: string;
}

export interface Acknowledged {
  readonly id: string;
  readonly text: string;
  readonly by: string;
  /** As the service said: `l2`, `l3`, `l2,l3`. */
  readonly held: string;
  readonly ms: number;
}

const heardSchema = z.object({ turns: z.array(turnSchema) });

const PAUSE_MS = 60;
const AGAIN_MS = 200;
const TIMEOUT_MS = 5500;
const READ_EVERY = 3;
const GIVE_UP_AFTER = 50;

export class Speaker {
  readonly #call: string;
  readonly #listeners: Listener[];
  readonly #acknowledged: Acknowledged[] = [];
  #said = 0;
  #again = 0;
  #reads = 0;
  #stale = 0;
  #speaking: Promise<void> | undefined;
  #stop = false;

  constructor(call: string, listeners: readonly Listener[]) {
    this.#call = call;
    this.#listeners = [...listeners];
  }

  get acknowledged(): readonly Acknowledged[] {
    return this.#acknowledged;
  }

  /** Attempts that were not acknowledged. */
  get again(): number {
    return this.#again;
  }

  get reads(): number {
    return this.#reads;
  }

  /** Reads that lacked something. */
  get stale(): number {
    return this.#stale;
  }

  /** Nobody speaks to it any more. */
  lose(name: string): void {
    const index = this.#listeners.findIndex((listener) => listener.name === name);
    if (index >= 0) this.#listeners.splice(index, 1);
  }

  /** Goes on speaking until {@link pause}. */
  speak(): void {
    this.#stop = false;
    this.#speaking = this.#go();
  }

  async pause(): Promise<void> {
    this.#stop = true;
    await this.#speaking;
  }

  async #go(): Promise<void> {
    while (!this.#stop) {
      await this.say();
      await sleep(PAUSE_MS);
    }
  }

  /** One turn, and now and then a look at what was said. */
  async say(): Promise<Acknowledged> {
    this.#said += 1;
    const id = String(this.#said).padStart(4, '0');
    const text = `This is sentence number ${this.#said}.`;
    const body = { id, role: this.#said % 2 === 0 ? 'agent' : 'caller', text, at: Date.now() };
    for (let attempt = 0; attempt < GIVE_UP_AFTER; attempt += 1) {
      const listener = this.#next(attempt);
      const start = performance.now();
      const response = await this.#ask(listener, 'POST', '/turns', body);
      if (response?.status === 201) {
        const held = response.headers.get('x-cache-durable') ?? '';
        const ms = performance.now() - start;
        const acknowledged = { id, text, by: listener.name, held, ms };
        this.#acknowledged.push(acknowledged);
        if (this.#said % READ_EVERY === 0) await this.read(listener);
        return acknowledged;
      }
      this.#again += 1;
      await sleep(AGAIN_MS);
    }
    throw new Error('nobody acknowledged a turn any more');
  }

  #next(attempt: number): Listener {
    const listener = this.#listeners[(this.#said + attempt) % this.#listeners.length];
    if (listener === undefined) throw new Error('nobody is left to speak to');
    return listener;
  }

  /** The ids that an instance has, in its order; `undefined` where it did not answer. */
  async read(listener: Listener): Promise<readonly string[] | undefined> {
    const own = this.#acknowledged.filter(({ by }) => by === listener.name);
    const response = await this.#ask(listener, 'GET', '');
    if (response?.status !== 200) return undefined;
    const { turns } = heardSchema.parse(await response.json());
    this.#reads += 1;
    const ids = turns.map(({ id }) => id);
    const heard = new Set(ids);
    if (own.some(({ id }) => !heard.has(id))) this.#stale += 1;
    return ids;
  }

  async #ask(
    listener: Listener,
    method: string,
    path: string,
    body?: object,
  ): Promise<Response | undefined> {
    const sent =
      body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
    try {
      return await fetch(`${listener.url}/conversations/${this.#call}${path}`, {
        method,
        ...sent,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      return undefined;
    }
  }
}

/** `l2 ×12, l3 ×30, l2 ×4`: where one receipt after the other said that it is held. */
export function course(acknowledged: readonly Acknowledged[]): string {
  const runs: { held: string; count: number }[] = [];
  for (const { held } of acknowledged) {
    const last = runs.at(-1);
    if (last?.held === held) last.count += 1;
    else runs.push({ held, count: 1 });
  }
  return runs.map(({ held, count }) => `${held} ×${count}`).join(', ');
}
