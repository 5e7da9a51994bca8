/**
 * The oracle: what was acknowledged, by whom and when, written down outside of every process
 * that is killed. In the end L3, read with bare supabase-js, and every instance have to agree
 * with it.
 */
import { eventually, type SupabaseServer } from '@cache/testing';
import { expect } from 'vitest';
import { StoredTurns } from '../../src/stored-turns.ts';
import { type Answer, type Heard, heardFrom, type Instance, said } from './instance.ts';

interface Acknowledged {
  readonly conversation: string;
  readonly turn: string;
  readonly by: Instance;
  readonly sentAt: number;
  readonly at: number;
  readonly isHeldByRedis: boolean;
}

export class Ledger {
  readonly #stored: StoredTurns;
  readonly #acknowledged: Acknowledged[] = [];
  readonly #turns = new Map<string, number>();
  /** Requests whose answer was not the one of success, in words. */
  readonly failures: string[] = [];

  constructor(supabase: SupabaseServer) {
    this.#stored = new StoredTurns(supabase.url, supabase.secretKey);
  }

  get conversations(): readonly string[] {
    return [...this.#turns.keys()];
  }

  get acknowledged(): number {
    return this.#acknowledged.length;
  }

  async begin(instance: Instance, conversation: string): Promise<Answer | undefined> {
    const answer = await this.#tried(instance, 'begin', 201, () => instance.begin(conversation));
    if (answer?.status === 201) this.#turns.set(conversation, 0);
    return answer;
  }

  /** The conversation's next turn. */
  async say(instance: Instance, conversation: string): Promise<Answer | undefined> {
    const number = (this.#turns.get(conversation) ?? 0) + 1;
    this.#turns.set(conversation, number);
    const turn = `t${number}`;
    const sentAt = performance.now();
    const answer = await this.#tried(instance, 'say', 201, () => instance.say(conversation, turn));
    if (answer?.status === 201) {
      const at = performance.now();
      const held = answer.headers.get('x-cache-durable')?.split(',') ?? [];
      const isHeldByRedis = held.includes('l2');
      this.#acknowledged.push({ conversation, turn, by: instance, sentAt, at, isHeldByRedis });
    }
    return answer;
  }

  /** Reads, and holds the answer against what this instance had acknowledged before it was asked. */
  async read(instance: Instance, conversation: string): Promise<Answer | undefined> {
    const before = this.acknowledgedBy(instance, conversation);
    const answer = await this.#tried(instance, 'read', 200, () =>
      instance.ask('GET', `/conversations/${conversation}`),
    );
    if (answer?.status !== 200) return answer;
    const heard = new Set(idsOf(heardFrom(answer)));
    const lacking = before.filter((turn) => !heard.has(turn));
    if (lacking.length > 0) {
      this.failures.push(`${instance.name} read ${conversation} without its own ${lacking}`);
    }
    return answer;
  }

  acknowledgedBy(instance: Instance, conversation: string): readonly string[] {
    return this.#of(conversation)
      .filter(({ by }) => by === instance)
      .map(({ turn }) => turn);
  }

  /** The turns of a conversation in L3, as any program of a team would read them. */
  async inL3(conversation: string): Promise<readonly string[]> {
    return (await this.#stored.of(conversation)).map(({ id }) => id);
  }

  /** How many acknowledged turns L3 lacks, of the first so many. */
  async lacking(of: number = this.acknowledged): Promise<number> {
    const asked = this.#acknowledged.slice(0, of);
    const lacking = await Promise.all(
      this.conversations.map(async (conversation) => {
        const stored = new Set(await this.inL3(conversation));
        return asked.filter((one) => one.conversation === conversation && !stored.has(one.turn));
      }),
    );
    return lacking.flat().length;
  }

  /**
   * Every acknowledged turn is in L3 exactly once, in order and as it was said, and these
   * instances tell the same. One may be a moment behind L3 (G3): that is waited for, unless they
   * are asked `at once`.
   */
  async expectWhole(
    instances: readonly Instance[],
    when: 'in the end' | 'at once' = 'in the end',
  ): Promise<void> {
    expect(this.failures, 'requests that failed').toEqual([]);
    for (const conversation of this.conversations) {
      const stored = await this.#stored.of(conversation);
      const ids = stored.map(({ id }) => id);
      const acknowledged = this.#of(conversation);
      expect([...ids].sort(), `${conversation} in L3`).toEqual(
        acknowledged.map(({ turn }) => turn).sort(),
      );
      expect(stored, `${conversation}, word by word`).toEqual(ids.map(said));
      expect(disorders(acknowledged, ids), `${conversation} in order`).toEqual([]);
      const look = async (instance: Instance) => {
        const heard = idsOf(await instance.read(conversation));
        expect(heard, `${conversation} on ${instance.name}`).toEqual(ids);
      };
      await Promise.all(
        instances.map((one) => (when === 'at once' ? look(one) : eventually(() => look(one)))),
      );
    }
  }

  #of(conversation: string): readonly Acknowledged[] {
    return this.#acknowledged.filter((turn) => turn.conversation === conversation);
  }

  async #tried(
    instance: Instance,
    what: string,
    expected: number,
    work: () => Promise<Answer>,
  ): Promise<Answer | undefined> {
    try {
      const answer = await work();
      if (answer.status !== expected) {
        const body = JSON.stringify(answer.body);
        this.failures.push(`${what} on ${instance.name}: ${answer.status} ${body}`);
      }
      return answer;
    } catch (error) {
      this.failures.push(`${what} on ${instance.name}: ${String(error)} ${causeOf(error)}`);
      return undefined;
    }
  }
}

function idsOf({ turns }: Heard): readonly string[] {
  return turns.map(({ id }) => id);
}

function causeOf(error: unknown): string {
  return error instanceof Error && error.cause !== undefined ? `(${String(error.cause)})` : '';
}

/**
 * Pairs of turns that stand the wrong way round. An order is promised between turns of which one was
 * acknowledged before the other was sent, both by one instance, or both held by Redis. While
 * instances write to different authorities, as long as one has noticed a loss and another has not,
 * their clocks decide about the rest.
 */
function disorders(
  acknowledged: readonly Acknowledged[],
  ids: readonly string[],
): readonly string[] {
  const place = new Map(ids.map((id, index) => [id, index]));
  const placeOf = ({ turn }: Acknowledged) => place.get(turn) ?? -1;
  return acknowledged.flatMap((earlier) =>
    acknowledged
      .filter(
        (later) =>
          earlier.at < later.sentAt &&
          (earlier.by === later.by || (earlier.isHeldByRedis && later.isHeldByRedis)) &&
          placeOf(earlier) > placeOf(later),
      )
      .map((later) => `${later.turn} before ${earlier.turn}`),
  );
}
