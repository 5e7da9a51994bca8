/**
 * The bus between instances, with proof of life.
 *
 * Redis' pub/sub loses messages without a word when a connection breaks. So each instance sends
 * itself a heartbeat every second: hearing it proves that everything published before it was
 * sent has been heard too. The proof is as old as the heartbeat's sending.
 *
 *   ALIVE    proven within the last `gapMs`: L1 may be served.
 *   SILENT   not proven: L1 is not served. Entering it empties L1, and so does every
 *            (re)subscription, because nobody knows what was missed.
 *
 * Messages, words separated by a space:
 *   k VERSION l ADDRESS            a log changed (sent by L2's scripts)
 *   k VERSION vINTENT ADDRESS      a value was put, settled, removed or forgotten (version 0)
 *   f ADDRESS                      the lease to load a derived value is free; nothing changed
 *   t TAG                          a tag was invalidated in one shard (sent by L2's scripts)
 *   h INSTANCE NUMBER [a]          heartbeat; a: its journal alone holds something, see PeerState
 *   q INSTANCE REQUEST             every other instance: drain your outbox
 *   e INSTANCE REQUEST VERSION     the same after an erasure up to that version: what is written from
 *                                  now on has to be above it, and what was erased not on your disk
 *   a REQUEST INSTANCE JSON        the answer
 *   b INSTANCE                     it leaves in good order, with nothing left to flush
 */
import type { Clock } from '../clock.ts';
import type { AddressId } from '../model/key.ts';
import type { TagId } from '../model/tags.ts';
import type { Stamp } from '../model/version.ts';
import type { SharedFleet } from '../tiers/fleet.ts';

export const HEARTBEAT_MS = 1000;
/** So many heartbeats in a row that were sent and not heard. */
const DEAF_BEATS = 3;

/** What the others are asked for: to drain, and after an erasure to expunge what was erased. */
export interface Question {
  /** The version up to which something was erased; 0: nothing was. */
  readonly erasedTo: number;
}

/**
 * What an instance says of itself. `aside`: it lives, and its journal alone holds something, which
 * no index names. `leaving`: in good order, with nothing left to flush.
 */
export type PeerState = 'here' | 'aside' | 'leaving';

export const DRAIN: Question = Object.freeze({ erasedTo: 0 });

/** What became of what L3 lacked when an instance was asked to flush it. */
export interface DrainAnswer {
  readonly flushed: number;
  /** L3 keeps them as dead letters. */
  readonly refused: number;
  /** L3 did not answer for them: they are still to be flushed. Or what was erased is still here. */
  readonly failed: number;
}

export interface Answers {
  readonly answers: ReadonlyMap<string, DrainAnswer>;
  /** The question was put, and everybody who lives or heard it has answered. */
  readonly hasAll: boolean;
}

export interface BusParts {
  readonly clock: Clock;
  readonly instance: string;
  readonly gapMs: number;
  /** Absent where there is no L2: then nothing proves anything. */
  readonly line: Pick<SharedFleet, 'heartbeat' | 'publish'> | undefined;
  readonly onKey: (id: AddressId, stamp: Stamp, kind: 'value' | 'log') => void;
  /** A lease is free: whoever waits for it may ask again. */
  readonly onFree: (id: AddressId) => void;
  /** A tag was invalidated. */
  readonly onTag: (tag: TagId) => void;
  /** L1 can't be trusted. `isNew`: the bus was alive until now. */
  readonly onGap: (silentMs: number, isNew: boolean) => void;
  readonly onAlive: () => void;
  readonly onReceived: () => void;
  readonly onPublished: () => void;
  /** An instance was heard, this one included. */
  readonly onPeer: (instance: string, state: PeerState) => void;
  /** Heartbeats are sent, and none is heard: what is subscribed to is to be subscribed to anew. */
  readonly onDeaf?: () => void;
  /** The journal of this instance alone holds something. */
  readonly isAside?: () => boolean;
  /** Another instance asks. */
  readonly onQuestion: (question: Question) => Promise<DrainAnswer>;
}

interface Asked {
  readonly answers: Map<string, DrainAnswer>;
  /** This instance is one of its own listeners. */
  isHeard: boolean;
  changed(): void;
  ask(): void;
}

export class Bus {
  readonly #parts: BusParts;
  readonly #sent = new Map<number, number>();
  readonly #asked = new Map<string, Asked>();
  #beat = 0;
  #proof = Number.NEGATIVE_INFINITY;
  #silent = true;
  #isClosed = false;
  /** Said by the last heartbeat, and asked about by nobody since. */
  #isAsideTold = false;
  #isSent = false;
  #deafBeats = 0;
  #stop: (() => void) | undefined;
  readonly #answering = new Set<Promise<void>>();
  #waiting: (() => void)[] = [];

  constructor(parts: BusParts) {
    this.#parts = parts;
  }

  start(): void {
    if (this.#parts.line !== undefined && this.#stop === undefined) this.#tick();
  }

  get alive(): boolean {
    return this.#parts.clock.monotonic() - this.#proof < this.#parts.gapMs;
  }

  /** Resolves when the bus is proven alive, or after `ms`. */
  async proven(ms: number): Promise<void> {
    if (this.alive || this.#parts.line === undefined) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#parts.clock.after(ms, resolve);
      this.#waiting.push(() => {
        cancel();
        resolve();
      });
    });
  }

  /** The subscription was made, or made anew. */
  subscribed(): void {
    this.#fallSilent();
    void this.#heartbeat();
    // Answers that came in between were not heard. Who drained has little to drain again.
    for (const question of this.#asked.values()) question.ask();
  }

  /** Heartbeats can be sent again: the proof need not wait for the next second. */
  connected(): void {
    void this.#heartbeat();
  }

  /** Something is held aside from now on: who is told so only a second later may speak for all. */
  tellAside(): void {
    if (!this.#isAsideTold && !this.#isClosed) void this.#heartbeat();
  }

  /** The connection is gone: what is published from now on will not be heard. */
  disconnected(): void {
    this.#fallSilent();
  }

  hear(message: string): void {
    this.#parts.onReceived();
    const [kind, first = '', second = '', third = ''] = message.split(' ', 4);
    if (kind === 'k') {
      const start = 2 + first.length + 1 + second.length + 1;
      this.#parts.onKey(
        message.slice(start) as AddressId,
        { version: Number(first), intent: Number(second.slice(1)) },
        second === 'l' ? 'log' : 'value',
      );
    } else if (kind === 'f') this.#parts.onFree(message.slice(2) as AddressId);
    else if (kind === 't') this.#parts.onTag(message.slice(2) as TagId);
    else if (kind === 'h') this.#hearHeartbeat(first, Number(second), third === 'a');
    else if (kind === 'q') this.#hearQuestion(first, second, DRAIN);
    else if (kind === 'e') this.#hearQuestion(first, second, { erasedTo: Number(third) });
    else if (kind === 'a') this.#hearAnswer(first, second, message);
    else if (kind === 'b') this.#parts.onPeer(first, 'leaving');
  }

  /**
   * Asks every other instance; resolves when those who live, and as many as heard the question,
   * have answered, or after `ms`. Who listens counts too, because a Redis that came back empty
   * does not know its instances yet. Where this one subscribes anew meanwhile, it asks again; and
   * where one of them dies meanwhile, it is not waited for: what it left is adopted. Rejects where
   * `living` does.
   */
  async ask(
    question: Question,
    living: () => Promise<readonly string[]>,
    ms: number,
  ): Promise<Answers> {
    const answers = new Map<string, DrainAnswer>();
    let instances = await living();
    if (this.#parts.line === undefined) return { answers, hasAll: instances.length === 0 };
    const { clock } = this.#parts;
    const request = String(clock.random53());
    let hasAll = false;
    await new Promise<void>((resolve) => {
      let stopLooking = () => {};
      const done = () => {
        cancel();
        stopLooking();
        this.#asked.delete(request);
        resolve();
      };
      const cancel = clock.after(ms, done);
      let listeners: number | undefined;
      const changed = () => {
        if (listeners === undefined) return;
        const asked = listeners - (waiting.isHeard ? 1 : 0);
        hasAll = answers.size >= asked && instances.every((instance) => answers.has(instance));
        if (hasAll) done();
      };
      const who = `${this.#parts.instance} ${request}`;
      const { erasedTo } = question;
      const words = erasedTo === 0 ? `q ${who}` : `e ${who} ${erasedTo}`;
      const ask = () => {
        this.#publish(words).then((count) => {
          listeners = count;
          changed();
        }, done);
      };
      const waiting: Asked = { answers, isHeard: false, changed, ask };
      const look = async () => {
        const alive = await living().catch(() => instances);
        if (!this.#asked.has(request)) return;
        const rest = instances.filter((id) => alive.includes(id) || answers.has(id));
        // With it went its subscription: who listens is counted anew.
        if (rest.length < instances.length) ask();
        instances = rest;
        lookLater();
      };
      const lookLater = () => {
        stopLooking = clock.after(HEARTBEAT_MS, () => void look());
      };
      this.#asked.set(request, waiting);
      ask();
      lookLater();
    });
    return { answers, hasAll };
  }

  /** Nobody has to wait for this instance any more. */
  async leave(): Promise<void> {
    await this.#publish(`b ${this.#parts.instance}`);
  }

  /** No more heartbeats: the others will notice. */
  stop(): void {
    this.#isClosed = true;
    this.#stop?.();
  }

  async close(): Promise<void> {
    this.stop();
    await Promise.all(this.#answering);
  }

  #tick(): void {
    if (!this.alive && !this.#silent) this.#fallSilent();
    this.#listen();
    void this.#heartbeat();
    this.#stop = this.#parts.clock.after(HEARTBEAT_MS, () => this.#tick());
  }

  /**
   * A subscription can end and its connection stay: a line that was cut without a word, or a slot
   * that left its node and came back, whose channels the server lets go of.
   */
  #listen(): void {
    this.#deafBeats = this.#silent && this.#isSent ? this.#deafBeats + 1 : 0;
    if (this.#deafBeats < DEAF_BEATS) return;
    this.#deafBeats = 0;
    this.#parts.onDeaf?.();
  }

  async #heartbeat(): Promise<void> {
    const { clock, line, instance, isAside } = this.#parts;
    this.#isAsideTold = isAside?.() === true;
    this.#beat += 1;
    const beat = this.#beat;
    const aside = this.#isAsideTold ? ' a' : '';
    this.#sent.set(beat, clock.monotonic());
    this.#sent.delete(beat - 16);
    try {
      await line?.heartbeat(instance, `h ${instance} ${beat}${aside}`);
      this.#isSent = line !== undefined;
    } catch {
      this.#isSent = false;
      // Not sent, so not heard: the proof grows old.
    }
  }

  #hearHeartbeat(instance: string, beat: number, isAside: boolean): void {
    this.#parts.onPeer(instance, isAside ? 'aside' : 'here');
    if (instance === this.#parts.instance) this.#hearOwn(beat);
  }

  #hearOwn(beat: number): void {
    const sent = this.#sent.get(beat);
    if (sent === undefined) return;
    this.#sent.delete(beat);
    if (sent <= this.#proof) return;
    this.#proof = sent;
    if (!this.#silent || !this.alive) return;
    this.#silent = false;
    for (const resolve of this.#waiting.splice(0)) resolve();
    this.#parts.onAlive();
  }

  #fallSilent(): void {
    const { clock } = this.#parts;
    const wasAlive = !this.#silent;
    const silentMs = wasAlive ? Math.max(0, clock.monotonic() - this.#proof) : 0;
    this.#proof = Number.NEGATIVE_INFINITY;
    this.#silent = true;
    // Heartbeats sent before this moment prove nothing about what was missed since.
    this.#sent.clear();
    if (this.#isClosed) return;
    this.#parts.onGap(silentMs, wasAlive);
  }

  #hearQuestion(instance: string, request: string, question: Question): void {
    const asked = this.#asked.get(request);
    if (instance !== this.#parts.instance) {
      // The answer speaks for what is held now; of what comes next they have to be told.
      this.#isAsideTold = false;
      this.#answer(request, question);
    } else if (asked !== undefined) {
      asked.isHeard = true;
      asked.changed();
    }
  }

  /** Several at once are answered by one drain: see the drainer. */
  #answer(request: string, question: Question): void {
    const answering = this.#parts
      .onQuestion(question)
      .then(async (answer) => {
        await this.#publish(`a ${request} ${this.#parts.instance} ${JSON.stringify(answer)}`);
      })
      .catch(() => {
        // Whoever asked counts this instance as unknown.
      })
      .finally(() => this.#answering.delete(answering));
    this.#answering.add(answering);
  }

  #hearAnswer(request: string, instance: string, message: string): void {
    const asked = this.#asked.get(request);
    if (asked === undefined) return;
    this.#parts.onPeer(instance, 'here');
    const answer = parseAnswer(message.slice(2 + request.length + 1 + instance.length + 1));
    if (answer === undefined) return;
    asked.answers.set(instance, answer);
    asked.changed();
  }

  async #publish(message: string): Promise<number> {
    const listeners = (await this.#parts.line?.publish(message)) ?? 0;
    this.#parts.onPublished();
    return listeners;
  }
}

function parseAnswer(text: string): DrainAnswer | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== 'object' || parsed === null) return undefined;
    const { flushed, refused, failed } = parsed as Record<string, unknown>;
    if (typeof flushed !== 'number' || typeof failed !== 'number') return undefined;
    if (typeof refused !== 'number') return undefined;
    return { flushed, refused, failed };
  } catch {
    return undefined;
  }
}
