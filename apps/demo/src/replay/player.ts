/**
 * Plays a recorded call as it would happen: it begins on one instance, each agent's turn is
 * preceded by a look at what was said, somebody listens in on another instance, and at the end
 * it is closed, and flushed to Supabase. Later on others look at it, who find it nowhere near.
 */
import { z } from 'zod';
import { turnSchema } from '../conversations.ts';
import type { RecordedCall, RecordedTurn } from './calls-file.ts';
import type { Client } from './client.ts';

const spokenSchema = z.object({ speech: z.object({ href: z.string() }).nullable() });

const heardSchema = z.object({ turns: z.array(turnSchema) });

/** Every so many turns somebody listens in. */
const LISTEN_EVERY = 4;

/** What somebody read is not what was said. */
export class MisheardError extends Error {
  override readonly name = 'MisheardError';
}

export class Player {
  readonly #client: Client;
  readonly #speaks: boolean;
  #known = 0;

  /** `speaks`: what the agent says is heard, too. */
  constructor(client: Client, { speaks = false }: { readonly speaks?: boolean | undefined } = {}) {
    this.#client = client;
    this.#speaks = speaks;
  }

  /** Calls that were there before: played at some other time. */
  get known(): number {
    return this.#known;
  }

  async play(call: RecordedCall, home: number, onTurn: () => void): Promise<void> {
    const path = pathOf(call);
    const begun = await this.#client.ask({
      operation: 'begin',
      at: home,
      method: 'POST',
      path: '/conversations',
      body: { id: call.id, metadata: call.metadata },
      also: [409],
    });
    if (begun.status === 409) this.#known += 1;
    for (const [index, turn] of call.turns.entries()) {
      if (turn.role === 'agent') await this.#hear(call, home, index);
      await this.#say(call, home, index, turn);
      if (index % LISTEN_EVERY === LISTEN_EVERY - 1) await this.#hear(call, home + 1, index + 1);
      onTurn();
    }
    const ended = { state: 'ended', metadata: { turns: call.turns.length } };
    await this.#client.ask({ operation: 'change', at: home, method: 'PATCH', path, body: ended });
    await this.#client.ask({
      operation: 'hang up',
      at: home,
      method: 'POST',
      path: `${path}/hangup`,
    });
  }

  async #say(call: RecordedCall, home: number, index: number, turn: RecordedTurn): Promise<void> {
    const speak = this.#speaks && turn.role === 'agent' && turn.text.trim() !== '';
    const { body } = await this.#client.ask({
      operation: 'turn',
      at: home,
      method: 'POST',
      path: `${pathOf(call)}/turns`,
      body: { id: turnId(index), ...turn, ...(speak ? { speak } : {}) },
    });
    if (!speak) return;
    const { speech } = spokenSchema.parse(body);
    if (speech === null) throw new MisheardError('nobody speaks there');
    await this.#client.ask({ operation: 'speech', at: home, method: 'GET', path: speech.href });
  }

  /** Reads the call and finds at least the first `said` turns in it, in their order. */
  async #hear(call: RecordedCall, at: number, said: number): Promise<void> {
    const path = pathOf(call);
    const { body } = await this.#client.ask({ operation: 'read', at, method: 'GET', path });
    const { turns } = heardSchema.parse(body);
    const isSame = call.turns
      .slice(0, said)
      .every(
        (turn, index) => turns[index]?.id === turnId(index) && turns[index].text === turn.text,
      );
    if (!isSame) throw new MisheardError('a read lacked what had been said');
  }

  /**
   * Much later: no copy is left in memory or Redis. Somebody reads the call, which Supabase has
   * to answer; then it is brought back before the next one asks. Needs the admin token.
   */
  async revisit(call: RecordedCall, home: number): Promise<void> {
    await this.#forget(call, home);
    await this.#hear(call, home, call.turns.length);
    await this.#forget(call, home);
    await this.#client.ask({
      operation: 'preload',
      at: home,
      method: 'POST',
      path: `/cache/preload/${encodeURIComponent(call.id)}`,
    });
    await this.#hear(call, home, call.turns.length);
    await this.#hear(call, home + 1, call.turns.length);
  }

  async #forget(call: RecordedCall, at: number): Promise<void> {
    for (const namespace of ['conversations', 'turns']) {
      await this.#client.ask({
        operation: 'forget',
        at,
        method: 'DELETE',
        path: `/admin/cache/entries/${namespace}/${encodeURIComponent(call.id)}`,
      });
    }
  }
}

/** Sortable, and the same whenever the file is played: a repeated turn adds nothing. */
export function turnId(index: number): string {
  return String(index + 1).padStart(4, '0');
}

function pathOf(call: RecordedCall): string {
  return `/conversations/${encodeURIComponent(call.id)}`;
}
