/**
 * The functions in SQL for derived values against their model: the same random calls to both, the
 * same replies, and the same tables every now and then. The clock of the database can't be held,
 * so lives are whole hours, what is left of them is compared in hours, and time passes by hand.
 */
import { expect, it } from 'vitest';
import { address, type Scope } from '../../../src/model/key.ts';
import { scopeTagId, tagId } from '../../../src/model/tags.ts';
import type { DerivedEntry, DerivedHeld } from '../../../src/tiers/derived.ts';
import type { DurablePut } from '../../model/durable-derived-model.ts';
import { DurableModel } from '../../model/durable-model.ts';
import { Dice } from './dice.ts';
import { bytes, json, type L3, shown, startL3, textOf } from './l3.ts';

const COMMANDS = 170;
const HOUR = 3_600_000;
const NOTES = 6;
const KEYS = ['a', 'é', '\uffff', '😀', 'z'].map((key) => address('derived', key));
const TAGS = ['red', 'blue', 'gr"ün', 's:call/one', 'k:derived/a'];
const SCOPES: readonly Scope[] = [
  { kind: 'call', id: 'one' },
  { kind: 'call', id: 't:red' },
];
const BROKEN = '{broken';

const SETUP = `
  update public.cache_settings set derived_notes = ${NOTES};
  create function public.age(ms text) returns json language plpgsql as $$
  begin
    update public.cache_derived set
      fresh_until = fresh_until - $1::bigint * interval '1 ms',
      expires_at = expires_at - $1::bigint * interval '1 ms' where true;
    return null;
  end $$;`;

class Comparison {
  readonly #l3: L3;
  readonly #model: DurableModel;
  readonly #dice: Dice;
  /** Numbers that loads began with, the present one last. */
  readonly #begun: number[];
  #version = 100;
  #now = 0;

  constructor(l3: L3, first: number, dice: Dice) {
    this.#l3 = l3;
    this.#dice = dice;
    this.#begun = [first];
    const refuses = (entry: DerivedEntry) => textOf(entry.payload) === BROKEN;
    this.#model = new DurableModel({ derived: { first, notes: NOTES, refuses } });
  }

  async step(): Promise<void> {
    const roll = this.#dice.below(100);
    this.#version += this.#dice.below(3);
    if (roll < 45) await this.#put();
    else if (roll < 65) await this.#read();
    else if (roll < 75) await this.#remove();
    else if (roll < 85) await this.#invalidate();
    else if (roll < 90) await this.#erase();
    else if (roll < 95) await this.#age();
    else await this.#prune();
  }

  async #put(): Promise<void> {
    const puts = Array.from({ length: 1 + this.#dice.below(5) }, () => this.#onePut());
    const expected = this.#model.derived.put(puts, this.#now);
    expect(await this.#l3.tier.derived.put(puts)).toEqual(expected);
  }

  #onePut(): DurablePut {
    const dice = this.#dice;
    const roll = dice.next();
    const recent = this.#begun.slice(-3);
    const sequence =
      roll < 0.2 ? undefined : roll < 0.25 ? 2 ** 52 : dice.pick(roll < 0.4 ? this.#begun : recent);
    const freshMs = dice.below(4) * HOUR;
    return { entry: this.#entry(), freshMs, lifeMs: freshMs + dice.below(3) * HOUR, sequence };
  }

  #entry(): DerivedEntry {
    const dice = this.#dice;
    const version = Math.max(1, this.#version - dice.below(20));
    const chosen = dice.next();
    const payload =
      chosen < 0.1
        ? json(BROKEN)
        : chosen < 0.2
          ? undefined
          : chosen < 0.4
            ? bytes(version % 256)
            : json(`{"b":"\\u0000","a":${version}}`);
    return {
      address: dice.pick(KEYS),
      version,
      intent: 1 + dice.below(2),
      payload,
      loadMs: version / 7,
      tags: TAGS.filter(() => dice.chance(0.2)),
      scope: dice.chance(0.6) ? undefined : dice.pick(SCOPES),
    };
  }

  async #read(): Promise<void> {
    const addresses = KEYS.filter(() => this.#dice.chance(0.7));
    const answer = await this.#l3.tier.derived.read(addresses);
    const expected = this.#model.derived.read(addresses, this.#now);
    expect(answer.held.map(inHours)).toEqual(expected.held.map(inHours));
    expect(answer.sequence).toBe(expected.sequence);
    this.#begun.push(answer.sequence);
  }

  async #remove(): Promise<void> {
    const addresses = KEYS.filter(() => this.#dice.chance(0.3));
    if (addresses.length === 0) return;
    await this.#l3.tier.derived.remove(addresses);
    this.#model.derived.remove(addresses);
  }

  async #invalidate(): Promise<void> {
    const names = [...TAGS.map(tagId), ...SCOPES.map(scopeTagId)];
    const tags = names.filter(() => this.#dice.chance(0.25));
    if (tags.length === 0) return;
    await this.#l3.tier.derived.invalidate(tags);
    this.#model.derived.invalidate(tags);
  }

  async #erase(): Promise<void> {
    const scope = this.#dice.pick(SCOPES);
    const version = Math.max(1, this.#version - this.#dice.below(20));
    const report = await this.#l3.tier.erase(scope, version);
    expect(report).toEqual(this.#model.erase(scope, version));
  }

  async #age(): Promise<void> {
    const ms = this.#dice.below(3) * HOUR;
    await this.#l3.rpc('age', { ms: String(ms) });
    this.#now += ms;
  }

  async #prune(): Promise<void> {
    const reply = await this.#l3.rpc('cache_prune', { before: '1' });
    expect(reply).toMatchObject({ derived: this.#model.derived.prune(this.#now) });
  }

  /** All tables against all of the model. */
  async compareTables(): Promise<void> {
    const dump = this.#model.derived.dump();
    const rows = await this.#l3.rows('cache_derived', 'key');
    const texts = rows.map(
      (it) => `${it.namespace}/${it.key}@${it.version}:${it.intent} ${it.sequence}`,
    );
    expect(texts.sort()).toEqual(dump.rows.toSorted());
    const notes = await this.#l3.rows('cache_derived_notes', 'tag');
    expect(Object.fromEntries(notes.map((it) => [it.tag, it.sequence]))).toEqual(dump.notes);
    const [settings] = await this.#l3.rows('cache_settings', 'schema_version');
    expect(settings).toMatchObject({
      derived_sequence: dump.sequence,
      derived_floor: dump.floor,
      derived_key_floor: dump.keyFloor,
    });
  }
}

function inHours(held: DerivedHeld | undefined): unknown {
  if (held === undefined) return undefined;
  const { entry, freshMs, lifeMs } = held;
  return [shown(entry.payload), { ...entry, payload: '' }, hours(freshMs), hours(lifeMs)];
}

function hours(ms: number): number {
  return Math.round(ms / HOUR);
}

it.each([1, 2])(
  'the functions for derived values do what their model does, call by call (seed %i)',
  async (seed) => {
    await using l3 = await startL3(SETUP);
    await l3.tier.connect(16);
    const { sequence } = await l3.tier.derived.read([]);
    const comparison = new Comparison(l3, sequence, new Dice(seed));
    for (let command = 1; command <= COMMANDS; command++) {
      await comparison.step();
      if (command % 20 === 0) await comparison.compareTables();
    }
  },
  180_000,
);
