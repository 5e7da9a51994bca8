/**
 * The functions in SQL against the model of L3, command by command: the same random batches to
 * both, the same replies, and the same tables every now and then.
 *
 * Where the two are told apart on purpose: a write to a log that names nothing above its scope's
 * fence makes no row in SQL, and an expired write is a dead letter in SQL.
 */
import { expect, it } from 'vitest';
import type { LogWrite, ValueWrite } from '../../../src/model/entry.ts';
import { compareItems } from '../../../src/model/entry.ts';
import type { Scope } from '../../../src/model/key.ts';
import type { Stamp } from '../../../src/model/version.ts';
import type { DurableApply, DurableInsert } from '../../../src/tiers/tier.ts';
import { DurableModel } from '../../model/durable-model.ts';
import { Dice } from './dice.ts';
import { bytes, item, json, type L3, log, shown, startL3, textOf, value } from './l3.ts';

const COMMANDS = 200;
const KEYS = ['a', 'ab', 'é', '\uffff', '😀', 'z'];
const IDS = ['1', '2', '3', '\uffff', '😀', '6', '7'];
const TAGS = ['red', 'blue', 'gr"ün'];
const SCOPES: readonly Scope[] = [
  { kind: 'call', id: 'one' },
  { kind: 'call', id: 'two' },
  { kind: 'caller', id: 'one' },
];
const BROKEN = '{broken';
const REASON = '22P02';

function refuses(write: ValueWrite | LogWrite): string | undefined {
  const payloads = write.kind === 'value' ? [write.payload] : write.items.map((it) => it.payload);
  return payloads.some((payload) => textOf(payload) === BROKEN) ? REASON : undefined;
}

class Comparison {
  readonly #l3: L3;
  readonly #model: DurableModel = new DurableModel({ refuses });
  readonly #dice: Dice;
  #version = 100;
  #fresh = 0;

  constructor(l3: L3, dice: Dice) {
    this.#l3 = l3;
    this.#dice = dice;
  }

  async step(): Promise<void> {
    const dice = this.#dice;
    this.#version += dice.below(3);
    if (dice.chance(0.2)) this.#l3.clock.time += 1;
    const roll = dice.below(100);
    if (roll < 40) await this.#apply();
    else if (roll < 62) await this.#insert();
    else if (roll < 72) await this.#compareAndSet();
    else if (roll < 80) await this.#look();
    else if (roll < 90) await this.#marks();
    else if (roll < 97) await this.#erase();
    else await this.#prune();
  }

  async #apply(): Promise<void> {
    const rows = Array.from({ length: 1 + this.#dice.below(6) }, () => this.#row());
    const replies = await this.#l3.tier.apply(rows);
    const now = this.#l3.clock.now();
    const expected = rows.map((row) => this.#model.apply(row, now));
    expect(shown(replies)).toBe(shown(expected));
  }

  #row(): DurableApply {
    const absent = this.#dice.chance(0.15) ? { absent: true } : {};
    return { write: this.#write(), mark: this.#dice.chance(0.3), ...absent };
  }

  #write(): ValueWrite {
    const dice = this.#dice;
    const version = Math.max(1, this.#version - dice.below(30));
    const key = dice.pick(KEYS);
    const common = { intent: 1 + dice.below(3), scope: this.#scope() };
    const tags = TAGS.filter(() => dice.chance(0.3));
    if (dice.chance(0.05)) return value(key, version, { ...common, payload: json(BROKEN), tags });
    const payload = dice.chance(0.25)
      ? undefined
      : dice.chance(0.3)
        ? bytes(version % 256)
        : json(`{"b":"\\u0000","a":${version}}`);
    const expiresAt = dice.chance(0.4) ? this.#l3.clock.now() + dice.below(12) - 3 : 0;
    return value(key, version, { ...common, payload, expiresAt, tags });
  }

  #scope(): Scope | undefined {
    return this.#dice.chance(0.3) ? undefined : this.#dice.pick(SCOPES);
  }

  async #insert(): Promise<void> {
    const rows = Array.from({ length: 1 + this.#dice.below(4) }, () => this.#log());
    const replies = await this.#l3.tier.insert(rows);
    const expected = rows.map((row) => this.#inserted(row));
    expect(shown(replies.map(sorted))).toBe(shown(expected.map(sorted)));
  }

  #inserted(row: DurableInsert) {
    const { items, erasedTo } = row.write;
    if (!this.#isGhost(row.write)) return this.#model.insert(row);
    const versions = items.map((it) => it.version);
    const rest = { versions, others: false, erasedTo };
    if (items.length === 0) return { status: 'applied', ...rest } as const;
    return { status: 'erased', dead: items.map((it) => it.id), ...rest } as const;
  }

  /** Nothing of it is above the fence, and the log is not there. */
  #isGhost(write: LogWrite): boolean {
    const { scope, items, erasedTo, address } = write;
    const fence = scope && this.#model.dump().fences[`${scope.kind}:${scope.id}`];
    const highest = Math.max(erasedTo, ...items.map((it) => it.version));
    return fence !== undefined && highest <= fence && !this.#model.readLog(address);
  }

  #log(): DurableInsert {
    const dice = this.#dice;
    const key = dice.pick(KEYS);
    if (dice.chance(0.05)) {
      // Above every fence and deletion, so that the item is looked at; again and again by chance.
      if (dice.chance(0.5)) this.#fresh += 1;
      const id = `fresh ${this.#fresh}`;
      const broken = item(id, 2 ** 40 + this.#fresh, json(BROKEN));
      return { write: log(key, [broken], { scope: this.#scope() }), mark: true };
    }
    const ids = IDS.filter(() => dice.chance(0.4));
    const items = ids
      .map((id) => item(id, Math.max(1, this.#version - dice.below(30)), json(`"${id}"`)))
      .sort(compareItems);
    const deletes = items.length === 0 || dice.chance(0.2);
    const erasedTo = deletes ? Math.max(1, this.#version - dice.below(40)) : 0;
    const alive = items.filter((it) => it.version > erasedTo || dice.chance(0.5));
    const write = log(key, alive, { erasedTo, scope: this.#scope() });
    if (alive.length === 0 && erasedTo === 0) return this.#log();
    if (this.#isGhost(write)) return { write, mark: false };
    const absent = dice.chance(0.15) ? { absent: true } : {};
    return { write, mark: dice.chance(0.3), ...absent };
  }

  async #compareAndSet(): Promise<void> {
    const proposed = this.#write();
    const row = this.#model.read(proposed.address);
    const level = row !== undefined && this.#dice.chance(0.25) ? row.version : proposed.version;
    const write = { ...proposed, version: level };
    const wrong: Stamp = { version: this.#version, intent: 1 };
    const base = this.#dice.chance(0.8) ? row : this.#dice.chance(0.5) ? wrong : undefined;
    const reply = await this.#l3.tier.compareAndSet(write, base);
    const expected = this.#model.compareAndSet(write, base, this.#l3.clock.now());
    expect(shown(reply)).toBe(shown(expected));
  }

  async #look(): Promise<void> {
    const dice = this.#dice;
    const { tier, clock } = this.#l3;
    const now = clock.now();
    const addresses = KEYS.filter(() => dice.chance(0.7)).map((key) => value(key, 1).address);
    const logs = KEYS.filter(() => dice.chance(0.5)).map((key) => log(key, []).address);
    const slice = {
      ...(dice.chance(0.5) && { last: dice.below(4) }),
      ...(dice.chance(0.5) && { after: dice.pick(IDS) }),
    };
    const scope = dice.pick(SCOPES);
    const scan = {
      namespace: 'values',
      limit: 1 + dice.below(6),
      ...(dice.chance(0.5) && { prefix: dice.pick(['a', 'é', '😀', '']) }),
      ...(dice.chance(0.3) && { after: dice.pick(KEYS) }),
      ...(dice.chance(0.3) && { scope }),
    };
    const tags = TAGS.filter(() => dice.chance(0.5));
    const seen = await Promise.all([
      tier.read(addresses),
      tier.readLogs(logs, { slice }),
      tier.scope(scope),
      tier.scan(scan),
      tier.tagged(tags),
      tier.maxVersion(),
    ]);
    const expected = [
      addresses.map((it) => this.#model.read(it)),
      logs.map((it) => this.#model.readLog(it, slice)),
      this.#model.scope(scope, now),
      this.#model.scan(scan, now),
      this.#model.tagged(tags, now),
      this.#model.maxVersion(),
    ];
    expect(seen.map(shown)).toEqual(expected.map(shown));
  }

  /** Ids differ, because a batch is written in the order of its keys: marks are told apart by content. */
  async #marks(): Promise<void> {
    const marks = await this.#l3.tier.marks(10_000);
    const own = this.#model.marks(10_000);
    expect(marks.map((mark) => shown({ ...mark, id: 0 })).sort()).toEqual(
      own.map((mark) => shown({ ...mark, id: 0 })).sort(),
    );
    const at = this.#dice.below(marks.length + 1);
    const [limit, after] = [1 + this.#dice.below(6), marks[at - 1]?.id];
    const page = await this.#l3.tier.marks(limit, after);
    expect(page).toEqual(marks.slice(at, at + limit));
    expect(this.#model.marks(limit, own[at - 1]?.id)).toEqual(own.slice(at, at + limit));
    const gone = marks.filter(() => this.#dice.chance(0.7));
    const left = [...own];
    const ownIds = gone.map((mark) => {
      const text = shown({ ...mark, id: 0 });
      const at = left.findIndex((it) => shown({ ...it, id: 0 }) === text);
      return left.splice(at, 1)[0]?.id ?? -1;
    });
    await this.#l3.tier.unmark(gone.map((mark) => mark.id));
    this.#model.unmark(ownIds);
  }

  async #erase(): Promise<void> {
    const scope = this.#dice.pick(SCOPES);
    const version = Math.max(1, this.#version - this.#dice.below(20));
    const letters = await this.#expiredLetters();
    const extra = letters.filter((it) => it.scope_kind === scope.kind && it.scope_id === scope.id);
    const report = await this.#l3.tier.erase(scope, version);
    const expected = this.#model.erase(scope, version);
    expect(report).toEqual({ ...expected, deadLetters: expected.deadLetters + extra.length });
  }

  async #prune(): Promise<void> {
    const before = Math.max(1, this.#version - this.#dice.below(60));
    const now = this.#l3.clock.now();
    const reply = await this.#l3.rpc('cache_prune', { before: String(before), at: String(now) });
    expect(reply).toEqual({
      values: this.#model.prune(before, now),
      marks: 0,
      derived: 0,
      more: false,
    });
  }

  async #expiredLetters() {
    const letters = await this.#l3.rows('cache_dead_letters', 'id');
    return letters.filter((it) => it.reason === 'expired');
  }

  /** All tables against all of the model. */
  async compareTables(): Promise<void> {
    const dump = this.#model.dump();
    const { tier } = this.#l3;
    const addresses = KEYS.map((key) => value(key, 1).address);
    expect(shown(await tier.read(addresses))).toBe(
      shown(addresses.map((it) => this.#model.read(it))),
    );
    const logs = KEYS.map((key) => log(key, []).address);
    expect(shown(await tier.readLogs(logs))).toBe(shown(logs.map((it) => this.#model.readLog(it))));
    expect(await this.#l3.rows('cache_entries', 'key')).toHaveLength(Object.keys(dump.rows).length);
    expect(await this.#l3.rows('cache_logs', 'key')).toHaveLength(Object.keys(dump.logs).length);
    const fences = await this.#l3.rows('cache_erase_fences', 'version');
    expect(
      Object.fromEntries(fences.map((it) => [`${it.scope_kind}:${it.scope_id}`, it.version])),
    ).toEqual(dump.fences);
    const letters = (await this.#l3.rows('cache_dead_letters', 'id'))
      .filter((it) => it.reason !== 'expired')
      .map((it) => `${it.namespace}/${it.key}@${it.version}:${it.intent} ${REASON} ${it.attempts}`);
    expect(new Set(letters)).toEqual(new Set(dump.deadLetters));
    const [settings] = await this.#l3.rows('cache_settings', 'schema_version');
    expect(settings?.pruned_version).toBe(dump.prunedTo);
  }
}

/** The order of the dead is nobody's promise; that of members is not either. */
function sorted(reply: Awaited<ReturnType<L3['tier']['insert']>>[number]) {
  const { status } = reply;
  if (status === 'exists') return { status };
  if (status === 'refused') return { status, reason: reply.reason };
  const dead = status === 'erased' ? reply.dead.toSorted() : [];
  return { status, dead, versions: reply.versions, others: reply.others, erasedTo: reply.erasedTo };
}

it.each([1, 2])(
  'the functions in SQL do what the model of L3 does, command by command (seed %i)',
  async (seed) => {
    await using l3 = await startL3();
    await l3.tier.connect(16);
    const comparison = new Comparison(l3, new Dice(seed));
    for (let command = 1; command <= COMMANDS; command++) {
      await comparison.step();
      if (command % 100 === 0) await comparison.compareTables();
    }
  },
  180_000,
);
