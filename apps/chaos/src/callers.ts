/**
 * The workload: callers, each in one conversation at a time, through whichever instances are up.
 * A caller waits for an answer, but no longer than people do: then it goes on elsewhere, and what
 * it did not hear is noted when it comes. Where nobody knows how a turn ended, some say it again,
 * to somebody else, under the same id.
 *
 * Whom they ask and for what is drawn from the seed; how far they get is not.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Exchange, Reply } from './exchange.ts';
import type { Judge } from './judge.ts';
import type { Attempt, Ledger, Subject } from './ledger.ts';
import {
  type Call,
  countSchema,
  flushSchema,
  type InstanceAddress,
  profileSchema,
  receiptSchema,
  stateSchema,
  turnsSchema,
} from './protocol.ts';
import type { Random } from './random.ts';

const PATIENCE_MS = 1200;
const SHARED_LOGS = 3;
const SHARED_STATES = 12;
const COUNTERS = 4;
const PROFILES = 20;
/** Above the difference between any two clocks: what follows it has the higher version everywhere. */
const SKEW_MS = 600;

export interface CallerParts {
  readonly exchange: Exchange;
  readonly ledger: Ledger;
  readonly judge: Judge;
  /** Called with a log that an instance says is flushed, and what had been acknowledged before. */
  readonly flushed: (log: Subject, acknowledged: readonly Attempt[], by: string) => Promise<void>;
}

export class Caller {
  readonly #parts: CallerParts;
  readonly #name: string;
  readonly #random: Random;
  readonly #cycle: number;
  #numbers = 0;
  #isOn = true;

  constructor(parts: CallerParts, name: string, cycle: number, random: Random) {
    this.#parts = parts;
    this.#name = name;
    this.#cycle = cycle;
    this.#random = random;
  }

  stop(): void {
    this.#isOn = false;
  }

  /** Resolves when it was stopped, and what it was about is said. */
  async talk(): Promise<void> {
    while (this.#isOn) await this.#conversation();
  }

  async #conversation(): Promise<void> {
    const log = this.#parts.ledger.subject('turns', this.#new(), this.#cycle);
    const home = this.#someone();
    if (home === undefined) return void (await delay(50));
    await this.#say(log, home, `${log.key}.first`, { op: 'begin', log: log.key });
    // What was not begun is not gone on with: the begin may still come, and then it would not be one.
    if (log.attempts.get(`${log.key}.first`)?.outcome !== 'acknowledged') {
      await delay(this.#random.whole(100, 400));
      return;
    }
    const length = this.#random.whole(4, 16);
    for (let turn = 0; turn < length && this.#isOn; turn += 1) {
      await this.#append(log, this.#random.chance(0.8) ? home : this.#someone());
      await this.#beside(log);
      await delay(this.#random.whole(5, 40));
    }
    if (this.#random.chance(0.15)) await this.#draft();
    await this.#hangUp(log);
  }

  /** What goes on beside a conversation. */
  async #beside(log: Subject): Promise<void> {
    const dice = this.#random.next();
    const instance = this.#someone();
    if (instance === undefined) return;
    if (dice < 0.3) return this.#read(log, instance);
    if (dice < 0.4) return this.#append(this.#shared('turns', SHARED_LOGS), instance);
    if (dice < 0.45) return this.#read(this.#shared('turns', SHARED_LOGS), instance);
    if (dice < 0.57) return this.#set(this.#shared('states', SHARED_STATES), instance);
    if (dice < 0.67) return this.#look(this.#shared('states', SHARED_STATES), instance);
    if (dice < 0.71) return this.#add(this.#shared('counters', COUNTERS), instance);
    if (dice < 0.74) return this.#counted(this.#shared('counters', COUNTERS), instance);
    if (dice < 0.84) return this.#profile(instance);
    if (dice < 0.86) return this.#change(instance);
  }

  #shared(space: Subject['space'], many: number): Subject {
    const key = `shared-${this.#cycle}-${this.#random.whole(1, many)}`;
    return this.#parts.ledger.subject(space, key, this.#cycle);
  }

  async #append(log: Subject, instance: InstanceAddress | undefined): Promise<void> {
    if (instance === undefined) return;
    const id = this.#new();
    await this.#say(log, instance, id, { op: 'append', log: log.key, id });
  }

  async #say(log: Subject, instance: InstanceAddress, id: string, call: Call): Promise<void> {
    const attempt = this.#parts.ledger.attempt(log, 'item', id, instance.id);
    await this.#patiently(this.#written(log, attempt, instance, call));
    if (attempt.outcome !== 'unknown' || call.op !== 'append' || !this.#random.chance(0.5)) return;
    const another = this.#someone();
    if (another === undefined) return;
    attempt.isRepeated = true;
    await this.#patiently(this.#written(log, attempt, another, call));
  }

  async #set(record: Subject, instance: InstanceAddress): Promise<void> {
    this.#numbers += 1;
    const n = Number(this.#name) * 1_000_000 + this.#numbers;
    const attempt = this.#parts.ledger.attempt(record, 'set', String(n), instance.id);
    const call = { op: 'set', key: record.key, n } as const;
    await this.#patiently(this.#written(record, attempt, instance, call));
  }

  async #add(counter: Subject, instance: InstanceAddress): Promise<void> {
    const id = this.#new();
    const attempt = this.#parts.ledger.attempt(counter, 'addition', id, instance.id);
    const call = { op: 'add', key: counter.key, id } as const;
    await this.#patiently(this.#written(counter, attempt, instance, call));
  }

  /** A record that is set, and then deleted for good, by one process. */
  async #draft(): Promise<void> {
    const record = this.#parts.ledger.subject('states', `draft-${this.#new()}`, this.#cycle);
    const instance = this.#someone();
    if (instance === undefined) return;
    for (let times = this.#random.whole(1, 3); times > 0; times -= 1) {
      await this.#set(record, instance);
    }
    await delay(SKEW_MS);
    if (!this.#parts.exchange.isUp(instance.id)) return;
    await this.#end(record, instance, { op: 'remove', key: record.key });
    await this.#look(record, this.#someone() ?? instance);
  }

  async #hangUp(log: Subject): Promise<void> {
    const instance = this.#someone();
    const dice = this.#random.next();
    if (instance === undefined || dice > 0.5) return;
    if (dice < 0.08) {
      await delay(SKEW_MS);
      const isClear = [...log.attempts.values()].every(
        ({ outcome }) => outcome === 'acknowledged' || outcome === 'none',
      );
      if (isClear) await this.#end(log, instance, { op: 'erase', log: log.key });
      return;
    }
    const acknowledged = [...log.attempts.values()].filter(
      ({ outcome }) => outcome === 'acknowledged',
    );
    const { exchange, flushed } = this.#parts;
    const reply = await this.#patiently(exchange.call(instance, { op: 'hangup', log: log.key }));
    if (reply?.ok !== true) return;
    const { failed, remaining, unknown } = flushSchema.parse(reply.result);
    if (failed + remaining === 0 && !unknown) await flushed(log, acknowledged, instance.id);
  }

  async #end(subject: Subject, instance: InstanceAddress, call: Call): Promise<void> {
    const end: NonNullable<Subject['end']> = {
      by: instance.id,
      sentAt: performance.now(),
      ackAt: Number.POSITIVE_INFINITY,
      outcome: 'open',
    };
    subject.end = end;
    const ended = this.#parts.exchange.call(instance, call).then((reply) => {
      end.outcome = outcomeOf(reply);
      if (reply.ok === true) end.ackAt = performance.now();
    });
    await this.#patiently(ended);
  }

  async #written(
    subject: Subject,
    attempt: Attempt,
    instance: InstanceAddress,
    call: Call,
  ): Promise<void> {
    const reply = await this.#parts.exchange.call(instance, call);
    if (reply.ok === true) {
      const { version, held } = receiptSchema.parse(reply.result);
      this.#parts.ledger.acknowledge(subject, attempt, { by: instance.id, version, held });
      return;
    }
    // Of two attempts at the same, the better known one counts, and the first may still come.
    if (attempt.outcome === 'open' && !attempt.isRepeated) attempt.outcome = outcomeOf(reply);
    else if (attempt.outcome === 'open') attempt.outcome = 'unknown';
  }

  async #read(log: Subject, instance: InstanceAddress): Promise<void> {
    await this.#ask(instance, { op: 'turns', log: log.key }, (result, heard) =>
      this.#parts.judge.turns(log, turnsSchema.parse(result).ids, heard),
    );
  }

  async #look(record: Subject, instance: InstanceAddress): Promise<void> {
    await this.#ask(instance, { op: 'state', key: record.key }, (result, heard) =>
      this.#parts.judge.state(record, stateSchema.parse(result).version, heard),
    );
  }

  async #counted(counter: Subject, instance: InstanceAddress): Promise<void> {
    await this.#ask(instance, { op: 'count', key: counter.key }, (result, heard) =>
      this.#parts.judge.count(counter, countSchema.parse(result).ids, heard),
    );
  }

  async #profile(instance: InstanceAddress): Promise<void> {
    const profile = this.#parts.ledger.profile(`p${this.#random.whole(1, PROFILES)}`);
    await this.#ask(instance, { op: 'profile', key: profile.key }, (result, heard) =>
      this.#parts.judge.profile(profile, profileSchema.parse(result).n, heard),
    );
  }

  async #change(instance: InstanceAddress): Promise<void> {
    const profile = this.#parts.ledger.profile(`p${this.#random.whole(1, PROFILES)}`);
    profile.n += 1;
    const { n } = profile;
    const call = { op: 'changed', key: profile.key } as const;
    const told = this.#parts.exchange.call(instance, call).then((reply) => {
      if (reply.ok === true) profile.told.push({ n, by: instance.id, ackAt: performance.now() });
    });
    await this.#patiently(told);
  }

  async #ask(
    instance: InstanceAddress,
    call: Call,
    judge: (result: unknown, heard: { by: string; sentAt: number }) => void,
  ): Promise<void> {
    const sentAt = performance.now();
    const asked = this.#parts.exchange.call(instance, call).then((reply) => {
      if (reply.ok === true) judge(reply.result, { by: instance.id, sentAt });
    });
    await this.#patiently(asked);
  }

  async #patiently<T>(work: Promise<T>): Promise<T | undefined> {
    const patience = new AbortController();
    const late = delay(PATIENCE_MS, undefined, { signal: patience.signal }).catch(() => undefined);
    const result = await Promise.race([work, late]);
    patience.abort();
    return result;
  }

  #someone(): InstanceAddress | undefined {
    const up = this.#parts.exchange.responsive();
    return up.length === 0 ? undefined : this.#random.one(up);
  }

  /** Short, because addresses of Supabase hold many of them. */
  #new(): string {
    this.#numbers += 1;
    return `${this.#cycle}-${this.#name}-${this.#numbers}`;
  }
}

function outcomeOf(reply: Reply): 'acknowledged' | 'none' | 'unknown' {
  if (reply.ok === true) return 'acknowledged';
  if (reply.ok === 'gone') return reply.wasReached ? 'unknown' : 'none';
  return reply.outcome ?? 'unknown';
}
