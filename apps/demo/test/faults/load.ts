/**
 * A steady load: callers on every instance who read, say something and now and then begin a call,
 * each at most so often a second. A caller waits for an answer before asking for more, as callers
 * do: where the machine is too busy for the rate, fewer requests are made, and none of them piles
 * up in front of a Supabase that has no time for it.
 *
 * Both instances talk in the conversations that L3 knows when the load begins. A call that begins
 * later stays with its instance: others hear of it by Redis, and while that is away only once the
 * instance has noticed and flushed, which is a limit of G3 and none of the subjects here.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '@cache/testing';
import type { Answer, Instance } from './instance.ts';
import type { Ledger } from './ledger.ts';

const PER_SECOND = 60;
const CALLERS_PER_INSTANCE = 2;
/** Writes to L3 and reads from it, of each conversation on each instance, before the load begins. */
const WARM_UP = 5;
/** One in so many requests of a caller begins a call; of the others, two in five say something. */
const BEGIN_EVERY = 24;
const SAY_OF_FIVE = 2;

export interface LoadOptions {
  readonly ledger: Ledger;
  readonly instances: readonly Instance[];
  readonly prefix: string;
}

export interface Took {
  readonly what: 'begin' | 'say' | 'read';
  readonly by: string;
  readonly ms: number;
  /** When it was sent, since the load began. */
  readonly atMs: number;
}

interface Caller {
  readonly instance: Instance;
  /** The first is shared with callers of other instances. */
  readonly conversations: string[];
}

export class Load {
  readonly #options: LoadOptions;
  readonly #took: Took[] = [];
  readonly #startedAt: number = performance.now();
  #begun = 0;
  #isOn = true;
  #callers: Promise<unknown> = Promise.resolve();

  private constructor(options: LoadOptions) {
    this.#options = options;
  }

  /** Resolves when there are conversations to talk in, and the load is on. */
  static async start(options: LoadOptions): Promise<Load> {
    const load = new Load(options);
    const callers: Caller[] = [];
    const [first] = options.instances;
    if (first === undefined) throw new Error('a load needs an instance');
    for (let shared = 0; shared < CALLERS_PER_INSTANCE; shared += 1) {
      const conversation = await load.#begin(first);
      for (const instance of options.instances) {
        callers.push({ instance, conversations: [conversation] });
      }
    }
    await warmedUp(options);
    const paceMs = (1000 * callers.length) / PER_SECOND;
    load.#callers = Promise.all(callers.map((caller) => load.#talk(caller, paceMs)));
    return load;
  }

  get took(): readonly Took[] {
    return this.#took;
  }

  /** Resolves when so many more requests were answered. */
  async goesOn(requests: number): Promise<void> {
    const goal = this.#took.length + requests;
    await eventually(() => {
      if (this.#took.length < goal) throw new Error('the load does not go on');
    });
  }

  /** Resolves when everything that was sent is answered. */
  async stop(): Promise<void> {
    this.#isOn = false;
    await this.#callers;
  }

  async #talk(caller: Caller, paceMs: number): Promise<void> {
    let due = performance.now();
    for (let number = 1; this.#isOn; number += 1) {
      await this.#request(caller, number);
      due = Math.max(due + paceMs, performance.now());
      await delay(Math.max(1, due - performance.now()));
    }
  }

  async #request({ instance, conversations }: Caller, number: number): Promise<void> {
    if (number % BEGIN_EVERY === 0) {
      conversations.push(await this.#begin(instance));
      return;
    }
    const conversation = conversations[number % conversations.length];
    if (conversation === undefined) return;
    const what = number % 5 < SAY_OF_FIVE ? 'say' : 'read';
    await this.#timed(what, instance, () => this.#options.ledger[what](instance, conversation));
  }

  async #begin(instance: Instance): Promise<string> {
    this.#begun += 1;
    const id = `${this.#options.prefix}-${this.#begun}`;
    await this.#timed('begin', instance, () => this.#options.ledger.begin(instance, id));
    return id;
  }

  async #timed(
    what: Took['what'],
    instance: Instance,
    work: () => Promise<Answer | undefined>,
  ): Promise<void> {
    const atMs = performance.now() - this.#startedAt;
    const answer = await work();
    if (answer !== undefined) this.#took.push({ what, by: instance.name, ms: answer.ms, atMs });
  }
}

/** L3 has everything, and its answers cost what they cost in a database that is in use. */
async function warmedUp({ ledger, instances }: LoadOptions): Promise<void> {
  for (let round = 0; round < WARM_UP; round += 1) {
    const answers: (Answer | undefined)[] = [];
    for (const conversation of ledger.conversations) {
      for (const instance of instances) {
        answers.push(await ledger.say(instance, conversation));
        answers.push(await instance.hangup(conversation));
        for (const namespace of ['conversations', 'turns']) {
          const entry = `/admin/cache/entries/${namespace}/${conversation}`;
          answers.push(await instance.admin('DELETE', entry));
        }
        answers.push(await ledger.read(instance, conversation));
      }
    }
    const refused = answers.find((answer) => answer === undefined || answer.status >= 300);
    if (refused !== undefined) throw new Error(`a warm-up was answered ${refused.status}`);
  }
}

/** The value that this part of them does not exceed. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? 0;
}
