/** What is on a server of derived values, and on their model, in the same plain words. */
import type { Redis } from 'ioredis';
import { decodeDerived } from '../../../src/codec/derived-entry.ts';
import { type Address, address, type Scope } from '../../../src/model/key.ts';
import { addressIn } from '../../../src/tiers/redis/keys.ts';
import { DerivedModel } from '../../model/derived-model.ts';
import { dumpPayload, dumpScope } from '../../model/stored.ts';
import { STEP_MS } from './derived-schedule.ts';

/** What is on a server, in plain words. Times are what is left, in coarse steps. */
export interface Dump {
  readonly entries: Readonly<Record<string, unknown>>;
  readonly leases: Readonly<Record<string, unknown>>;
  readonly notes: readonly unknown[];
  readonly scopes: Readonly<Record<string, unknown>>;
}

export function steps(ms: number): number {
  return Math.round(ms / (STEP_MS / 10));
}

export class VisibleModel extends DerivedModel {
  /** It is not fresh any more. */
  age({ id }: Address): boolean {
    const stored = this.entries.get(id);
    if (stored === undefined || stored === 'unreadable') return false;
    this.entries.set(id, { ...stored, freshUntil: 1 });
    return true;
  }

  /** The scope takes it for dead. */
  outlive(shard: number, { kind, id }: Scope, of: Address): boolean {
    const key = `${shard}/${kind}/${id}`;
    const members = this.scopes.get(key);
    if (members?.ids.has(of.id) !== true) return false;
    this.scopes.set(key, { ...members, ids: new Map(members.ids).set(of.id, 1) });
    return true;
  }

  dump(shards: number, now: number): Dump {
    const entries = [...this.entries].map(([id, stored]) => {
      if (stored === 'unreadable') return [id, stored] as const;
      const { entry, epoch, sequence, freshUntil, expiresAt } = stored;
      const { address: _, payload, scope, ...rest } = entry;
      const life = steps(expiresAt - now);
      const fresh = Math.max(0, steps(freshUntil - now));
      const value = { payload: dumpPayload(payload), scope: dumpScope(scope) };
      return [id, { ...rest, ...value, epoch, sequence, fresh, life, ttl: life }] as const;
    });
    const leases = [...this.leases].map(([id, { epoch, token, endsAt }]) => {
      return [id, { epoch, token, left: steps(endsAt - now) }] as const;
    });
    const scopes = [...this.scopes].map(([key, { ids, endsAt }]) => {
      return [key, { ids: lives(ids, now), left: steps(endsAt - now) }] as const;
    });
    const notes = Array.from({ length: shards }, (_, shard) => {
      const found = this.notes.get(shard);
      return found && Object.fromEntries([['', found.floor], ...found.byTag]);
    });
    return {
      entries: Object.fromEntries(entries),
      leases: Object.fromEntries(leases),
      notes,
      scopes: Object.fromEntries(scopes),
    };
  }
}

const KEY = /^c:\{(?<shard>\d\d)\}:(?<family>[dgst]):?(?<rest>.*)$/s;

export async function dumpReal(client: Redis, shards: number, now: number): Promise<Dump> {
  const entries: Record<string, unknown> = {};
  const leases: Record<string, unknown> = {};
  const scopes: Record<string, unknown> = {};
  const notes: unknown[] = Array.from({ length: shards }, () => undefined);
  for (const key of await client.keys('c:{*}:[dgst]*')) {
    const { shard = '', family, rest = '' } = KEY.exec(key)?.groups ?? {};
    const ttl = await client.pttl(key);
    if (family === 'd') {
      entries[rest] = await dumpEntry(await client.getBuffer(key), rest, now, ttl);
    } else if (family === 'g') {
      const bytes = await client.getBuffer(key);
      const [epoch, token] = [bytes?.readBigUInt64BE(0), bytes?.readBigUInt64BE(8)];
      leases[rest] = { epoch: Number(epoch), token: Number(token), left: steps(ttl) };
    } else if (family === 's') {
      const ids = new Map((await scoresOf(client, key)).map(([name, end]) => [name, end] as const));
      scopes[`${Number(shard)}/${rest}`] = { ids: lives(ids, now), left: steps(ttl) };
    } else {
      notes[Number(shard)] = Object.fromEntries(await scoresOf(client, key));
      if (ttl !== -1) throw new Error(`${key} would be lost`);
    }
  }
  return { entries, leases, notes, scopes };
}

async function scoresOf(
  client: Redis,
  key: string,
): Promise<readonly (readonly [string, number])[]> {
  const flat = await client.zrange(key, '0', '-1', 'WITHSCORES');
  return flat.flatMap((name, i) => (i % 2 === 0 ? [[name, Number(flat[i + 1])] as const] : []));
}

function lives(ids: ReadonlyMap<string, number>, now: number): Readonly<Record<string, number>> {
  return Object.fromEntries([...ids].map(([id, end]) => [id, steps(end - now)]));
}

async function dumpEntry(
  bytes: Buffer | null,
  id: string,
  now: number,
  ttl: number,
): Promise<unknown> {
  const stored = await decodeDerived(
    bytes ?? Buffer.alloc(0),
    addressIn(id) ?? address('none', id),
  );
  if (stored === undefined) return 'unreadable';
  const { entry, epoch, sequence, freshUntil, expiresAt } = stored;
  const { address: _, payload, scope, ...rest } = entry;
  const life = steps(expiresAt - now);
  const fresh = Math.max(0, steps(freshUntil - now));
  const value = { payload: dumpPayload(payload), scope: dumpScope(scope) };
  return { ...rest, ...value, epoch, sequence, fresh, life, ttl: steps(ttl) };
}
