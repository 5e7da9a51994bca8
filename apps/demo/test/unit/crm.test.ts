/** The simulated CRM, on a clock that the test moves, and what its environment may say. */
import { type Clock, ConfigError, systemClock } from '@cache/core';
import { describe, expect, test } from 'vitest';
import { CrmError, SimulatedCrm } from '../../src/crm.ts';
import { crmFromEnv } from '../../src/crm-env.ts';
import { phoneOf } from '../../src/profiles.ts';

/** Timers fire when the test says so; chance is what the test says. */
function heldClock(chance: number) {
  const timers: { readonly ms: number; readonly run: () => void }[] = [];
  const clock: Clock = {
    ...systemClock,
    random53: () => Math.min(2 ** 53 - 1, Math.floor(chance * 2 ** 53)),
    after(ms, run) {
      const timer = { ms, run };
      timers.push(timer);
      return () => void timers.splice(timers.indexOf(timer), 1);
    },
  };
  return { clock, timers };
}

const { signal } = new AbortController();
const ask = (phone: string) =>
  new SimulatedCrm({ delayMs: 0, failureRate: 0 }).byPhone(phone, { signal });

describe('the simulated CRM', () => {
  test('says the same of a number each time, and not the same of all numbers', async () => {
    const phones = Array.from({ length: 50 }, (_, index) => `+4930555${index + 101}`);
    const customers = await Promise.all(phones.map(ask));
    expect(await Promise.all(phones.map(ask))).toEqual(customers);
    expect(new Set(customers.map((customer) => customer?.tier)).size).toBe(3);
    expect(customers.every((customer) => customer?.language === 'de')).toBe(true);
    expect(await ask('+15551234567')).toMatchObject({ language: 'en' });
  });

  test('knows nobody by a number that ends in 00', async () => {
    expect(await ask('+4930123400')).toBeUndefined();
  });

  test('takes its time, and stops when it is told to', async () => {
    const { clock, timers } = heldClock(1);
    const crm = new SimulatedCrm({ delayMs: 150, failureRate: 0 }, clock);
    const answered = crm.byPhone('+49301234567', { signal });
    expect(timers.map(({ ms }) => ms)).toEqual([150]);
    for (const { run } of timers) run();
    expect(await answered).toBeDefined();
    const controller = new AbortController();
    timers.length = 0;
    const aborted = crm.byPhone('+49301234567', { signal: controller.signal });
    controller.abort(new Error('nobody waits'));
    await expect(aborted).rejects.toThrow('nobody waits');
    expect(timers).toEqual([]);
    await expect(crm.byPhone('+49301234567', controller)).rejects.toThrow('nobody waits');
  });

  test.each([
    [0, 0, false],
    [0.24, 0.25, true],
    [0.25, 0.25, false],
    [1, 1, true],
  ])('chance %d at a rate of %d: it fails, %s', async (chance, failureRate, isFailing) => {
    const { clock, timers } = heldClock(chance);
    const answered = new SimulatedCrm({ delayMs: 0, failureRate }, clock)
      .byPhone('+49301234567', { signal })
      .catch((error: unknown) => error);
    for (const { run } of timers) run();
    expect((await answered) instanceof CrmError).toBe(isFailing);
  });
});

describe('its environment', () => {
  test.each([
    [{}, { delayMs: 150, failureRate: 0 }],
    [
      { CRM_DELAY_MS: ' ', CRM_FAILURE_RATE: '' },
      { delayMs: 150, failureRate: 0 },
    ],
    [
      { CRM_DELAY_MS: '0', CRM_FAILURE_RATE: '1' },
      { delayMs: 0, failureRate: 1 },
    ],
    [
      { CRM_DELAY_MS: '60000', CRM_FAILURE_RATE: '0.25' },
      { delayMs: 60_000, failureRate: 0.25 },
    ],
  ])('%o', (env, options) => {
    expect(crmFromEnv(env)).toEqual(options);
  });

  test.each([
    { CRM_DELAY_MS: '60001' },
    { CRM_DELAY_MS: '-1' },
    { CRM_DELAY_MS: '1.5' },
    { CRM_DELAY_MS: 'slow' },
    { CRM_FAILURE_RATE: '1.1' },
    { CRM_FAILURE_RATE: '-0.1' },
    { CRM_FAILURE_RATE: '10%' },
    { CRM_FAILURE_RATE: '1e-1' },
  ])('%o stops the start with one line', (env) => {
    const [[name, value] = []] = Object.entries(env);
    expect(() => crmFromEnv(env)).toThrow(ConfigError);
    expect(() => crmFromEnv(env)).toThrow(new RegExp(`^${name} takes .*, got "${value}"$`));
  });
});

describe('a phone number', () => {
  test.each(['+49 30 1234567', '+49 (30) 123-45.67', ' +49301234567'])('%o is one key', (text) => {
    expect(phoneOf(text)).toBe('+49301234567');
  });

  test.each([
    '',
    '+',
    '030 1234567',
    '+0301234567',
    '+123456',
    `+${'1'.repeat(16)}`,
    '+49x301234',
    'anonymous',
  ])('%o is none', (text) => {
    expect(phoneOf(text)).toBeUndefined();
  });
});
