/** The audit is shown a Supabase and an instance that broke a promise, one promise at a time. */
import { fileURLToPath } from 'node:url';
import { type SupabaseServer, startSupabase } from '@cache/testing';
import { createClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Audit } from '../../src/audit.ts';
import { Exchange } from '../../src/exchange.ts';
import { Findings } from '../../src/findings.ts';
import { type JsonServer, serveJson } from '../../src/json-http.ts';
import { Lag } from '../../src/lag.ts';
import { Ledger, type Subject } from '../../src/ledger.ts';
import { callSchema, type InstanceAddress } from '../../src/protocol.ts';
import { Truth } from '../../src/truth.ts';
import { Weather } from '../../src/weather.ts';

const migrations = fileURLToPath(new URL('../../../../supabase/migrations', import.meta.url));

let supabase: SupabaseServer;
/** Says of every log what it was told to say. */
let server: JsonServer;
let instance: InstanceAddress;
const said = new Map<string, readonly string[]>();
let ledger: Ledger;
let findings: Findings;
let audit: Audit;
let number = 0;

beforeAll(async () => {
  supabase = await startSupabase({ migrations });
  server = await serveJson(async (_path, body) => {
    const call = callSchema.parse(body);
    const ids = call.op === 'turns' ? said.get(call.log) : [];
    return { ok: true, result: { ids, tier: 'l1' }, ms: 1, lagMs: 0 };
  });
  instance = { id: '1.1', slot: 1, url: server.url };
});

afterAll(async () => {
  server?.close();
  await supabase?.close();
});

beforeEach(() => {
  const weather = new Weather();
  findings = new Findings(weather);
  ledger = new Ledger();
  const truth = new Truth(supabase.url, supabase.secretKey);
  const exchange = new Exchange(findings, weather, 4000, new Lag());
  audit = new Audit({ ledger, truth, findings, exchange });
});

/** A log of which these items were acknowledged, one after the other, by one process. */
function log(...ids: readonly string[]): Subject {
  number += 1;
  const subject = ledger.subject('turns', `log-${number}`, 1);
  for (const id of ids) {
    const attempt = ledger.attempt(subject, 'item', id, '1.1');
    ledger.acknowledge(subject, attempt, { by: '1.1', version: 1, held: ['l2'] });
    // The next one is sent after this one was acknowledged.
    while (performance.now() <= attempt.ackAt);
  }
  return subject;
}

/** What Supabase has of it, and what the instance says. */
async function stored({ key }: Subject, ids: readonly string[], told = ids): Promise<void> {
  const client = createClient(supabase.url, supabase.secretKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const rows = ids.map((id, index) => {
    return { namespace: 'turns', key, id, version: index + 1, codec: 'json', item: { id } };
  });
  if (rows.length > 0) {
    const { error } = await client.from('cache_log_items').insert(rows);
    expect(error).toBeNull();
  }
  said.set(key, told);
}

async function found(subject: Subject): Promise<readonly string[]> {
  await audit.run([subject], [instance], 10);
  return findings.told().violations.map(({ guarantee }) => guarantee);
}

describe('the audit', () => {
  test('finds nothing where everything acknowledged is there, once and in order', async () => {
    const subject = log('a', 'b', 'c');
    await stored(subject, ['a', 'b', 'c']);
    expect(await found(subject)).toEqual([]);
  });

  test('(G1) finds an acknowledged item that Supabase lacks', async () => {
    const subject = log('a', 'b', 'c');
    await stored(subject, ['a', 'c']);
    expect(await found(subject)).toEqual(['G1']);
  });

  test('(G1) allows what nobody knew the end of, and not what was refused with certainty', async () => {
    const subject = log('a');
    for (const [id, outcome] of [['b', 'unknown'] as const, ['c', 'none'] as const]) {
      ledger.attempt(subject, 'item', id, '1.1').outcome = outcome;
    }
    await stored(subject, ['a', 'b', 'c']);
    expect(await found(subject)).toEqual(['G1']);
  });

  test('(G12) finds items of one process that stand the wrong way round, and one that nobody said', async () => {
    const subject = log('a', 'b');
    await stored(subject, ['b', 'a']);
    expect(await found(subject)).toEqual(['G12']);
    const other = log('a');
    await stored(other, ['a', 'x']);
    expect(await found(other)).toEqual(['G12', 'G12']);
  });

  test('(G8) finds a log that was erased and is back', async () => {
    const subject = log('a');
    const at = performance.now();
    subject.end = { by: '1.1', sentAt: at, ackAt: at, outcome: 'acknowledged' };
    await stored(subject, ['a']);
    expect(await found(subject)).toEqual(['G8']);
  });

  test('(G4) finds an instance that says something else than Supabase', async () => {
    const subject = log('a', 'b');
    await stored(subject, ['a', 'b'], ['a']);
    expect(await found(subject)).toEqual(['G4']);
  });
});
