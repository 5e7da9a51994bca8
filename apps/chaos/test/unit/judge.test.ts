/** An oracle that can't find anything proves nothing: here it is shown what it has to find. */
import { beforeEach, describe, expect, test } from 'vitest';
import { Findings } from '../../src/findings.ts';
import { Judge } from '../../src/judge.ts';
import { Ledger, type Subject } from '../../src/ledger.ts';
import { Weather } from '../../src/weather.ts';

const INTERVAL_MS = 8000;

let ledger: Ledger;
let weather: Weather;
let findings: Findings;
let judge: Judge;
let log: Subject;

beforeEach(() => {
  ledger = new Ledger();
  weather = new Weather();
  findings = new Findings(weather);
  judge = new Judge(findings, weather, INTERVAL_MS);
  log = ledger.subject('turns', 'a', 1);
});

function acknowledged(subject: Subject, id: string, by: string, version = 1, held = ['l2']) {
  const attempt = ledger.attempt(subject, 'item', id, by);
  ledger.acknowledge(subject, attempt, { by, version, held });
  return attempt;
}

const found = () => findings.told().violations.map(({ guarantee }) => guarantee);
const later = (ms: number) => performance.now() + ms;

describe('the judge', () => {
  test('(G2) finds a process that does not see what it acknowledged itself, at once', () => {
    acknowledged(log, 'one', '1.1');
    judge.turns(log, ['one'], { by: '1.1', sentAt: later(1) });
    expect(found()).toEqual([]);
    judge.turns(log, [], { by: '1.1', sentAt: later(1) });
    expect(found()).toEqual(['G2']);
  });

  test('(G2) does not ask for what was acknowledged after the question', () => {
    const sentAt = performance.now();
    const attempt = acknowledged(log, 'one', '1.1');
    attempt.ackAt = sentAt + 1;
    judge.turns(log, [], { by: '1.1', sentAt });
    expect(found()).toEqual([]);
  });

  test('(G3) gives another process a second in a calm, and four where Redis was gone around', () => {
    acknowledged(log, 'one', '1.1');
    judge.turns(log, [], { by: '2.1', sentAt: later(900) });
    expect(found()).toEqual([]);
    judge.turns(log, [], { by: '2.1', sentAt: later(1100) });
    expect(found()).toEqual(['G3']);
    const around = ledger.subject('turns', 'b', 1);
    acknowledged(around, 'two', '1.1', 1, ['l3']);
    judge.turns(around, [], { by: '2.1', sentAt: later(3900) });
    expect(found()).toEqual(['G3']);
    judge.turns(around, [], { by: '2.1', sentAt: later(4100) });
    expect(found()).toEqual(['G3', 'G3']);
  });

  test('(G3) under a fault gives the sync interval and five seconds, beside the fault itself', () => {
    const start = performance.now();
    weather.begin(1, 'redis-cut', start);
    acknowledged(log, 'one', '1.1');
    weather.end(1, start + 2000);
    // The fault and its traces take twelve seconds; thirteen more may pass in a calm.
    judge.turns(log, [], { by: '2.1', sentAt: start + 24_000 });
    expect(found()).toEqual([]);
    judge.turns(log, [], { by: '2.1', sentAt: start + 26_000 });
    expect(found()).toEqual(['G3']);
  });

  test('(G12) finds what is there twice, and what nobody said', () => {
    acknowledged(log, 'one', '1.1');
    judge.turns(log, ['one', 'one'], { by: '2.1', sentAt: later(1) });
    judge.turns(log, ['one', 'two'], { by: '2.1', sentAt: later(1) });
    expect(found()).toEqual(['G12', 'G12']);
  });

  test('(G2, G3) finds a record that went back, and one that came back from its end', () => {
    const record = ledger.subject('states', 'r', 1);
    acknowledged(record, '1', '1.1', 10);
    acknowledged(record, '2', '1.1', 20);
    judge.state(record, 20, { by: '1.1', sentAt: later(1) });
    expect(found()).toEqual([]);
    judge.state(record, 10, { by: '1.1', sentAt: later(1) });
    expect(found()).toEqual(['G2']);
    const ackAt = performance.now();
    record.end = { by: '1.1', sentAt: ackAt, ackAt, outcome: 'acknowledged' };
    judge.state(record, undefined, { by: '2.1', sentAt: later(2000) });
    expect(found()).toEqual(['G2']);
    judge.state(record, 30, { by: '2.1', sentAt: later(2000) });
    expect(found()).toEqual(['G2', 'G3']);
  });

  test('(G3) finds a derived value that is older than a change everybody was told of', () => {
    const profile = ledger.profile('p');
    profile.told.push({ n: 3, by: '1.1', ackAt: performance.now() });
    judge.profile(profile, 3, { by: '2.1', sentAt: later(2000) });
    expect(found()).toEqual([]);
    judge.profile(profile, 2, { by: '2.1', sentAt: later(2000) });
    judge.profile(profile, 2, { by: '1.1', sentAt: later(1) });
    expect(found()).toEqual(['G3', 'G2']);
  });
});
