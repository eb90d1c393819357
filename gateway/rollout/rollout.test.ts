import { describe, expect, test } from '@jest/globals';
import type { Decision, Input } from '#engine';
import { pino } from 'pino';
import { Canary } from './canary.js';
import { Differences } from './differences.js';
import { Shadow } from './shadow.js';

const principal = (subject: string) => ({ issuer: 'https://idp.example', subject });

describe('a canary', () => {
  test('by percent has about so many principals, and the same ones each time', () => {
    const everybody = Array.from({ length: 2_000 }, (_, number) => principal(`agent:${number}`));
    const chosen = () => everybody.filter((one) => new Canary({ percent: 10 }).has(one, 'orders'));
    expect(chosen()).toEqual(chosen());
    expect(chosen().length).toBeGreaterThan(140);
    expect(chosen().length).toBeLessThan(260);
    expect(everybody.some((one) => new Canary({ percent: 0 }).has(one, 'orders'))).toBe(false);
    expect(everybody.every((one) => new Canary({ percent: 100 }).has(one, 'orders'))).toBe(true);
  });

  test('grows without letting anybody go', () => {
    const everybody = Array.from({ length: 500 }, (_, number) => principal(`agent:${number}`));
    const few = everybody.filter((one) => new Canary({ percent: 5 }).has(one, 'orders'));
    expect(few.every((one) => new Canary({ percent: 20 }).has(one, 'orders'))).toBe(true);
  });

  test('has whoever fits all that is given', () => {
    const canary = new Canary({ principals: ['agent:a'], targets: ['orders'] });
    expect(canary.has(principal('agent:a'), 'orders')).toBe(true);
    expect(canary.has(principal('agent:a'), 'stock')).toBe(false);
    expect(canary.has(principal('agent:b'), 'orders')).toBe(false);
  });

  test('is named by its subject, or with its issuer, of which another has the same subject', () => {
    const named = new Canary({ principals: ['https://idp.example#agent:a', 'agent:b'] });
    expect(named.has(principal('agent:a'), 'orders')).toBe(true);
    expect(named.has({ issuer: 'https://other.example', subject: 'agent:a' }, 'orders')).toBe(false);
    expect(named.has({ issuer: 'https://other.example', subject: 'agent:b' }, 'orders')).toBe(true);
  });
});

describe('a shadow', () => {
  const decided = { revision: 'in force', reasons: [{ code: 'x' }] } as unknown as Decision;
  const open = (limits: object) => {
    const differences = new Differences(() => 0);
    const log = pino({ level: 'silent' });
    return { differences, shadow: new Shadow({ differences, log, now: () => 0, onCounted: () => told?.(), limits }) };
  };
  let told: (() => void) | undefined;
  const broken = { id: 'tried', layers: [] };

  test('takes no more than has room to wait, and counts the rest', async () => {
    const { differences, shadow } = open({ queue_max: 2 });
    await shadow.between('in force', broken);
    for (let number = 0; number < 5; number++) shadow.witness({} as Input, decided);
    expect(differences.report().dropped).toBe(3);
    await shadow.close();
  });

  test('takes no more in a second than it may cost', async () => {
    const { differences, shadow } = open({ perSecond_max: 1 });
    await shadow.between('in force', broken);
    for (let number = 0; number < 5; number++) shadow.witness({} as Input, decided);
    expect(differences.report().dropped).toBe(4);
    await shadow.close();
  });

  test('passes by what the gateway itself answered, and what another revision judged', async () => {
    const { differences, shadow } = open({ queue_max: 0 });
    await shadow.between('in force', broken);
    shadow.witness({} as Input, { ...decided, revision: 'older' });
    shadow.witness({} as Input, { ...decided, reasons: [{ code: 'token_expired' }] });
    expect(differences.report().dropped).toBe(0);
    await shadow.close();
  });

  test('that fails says so, drops what it had, and rests', async () => {
    const { differences, shadow } = open({});
    await shadow.between('in force', broken);
    const failed = new Promise<void>((resolve) => (told = resolve));
    shadow.witness({} as Input, decided);
    await failed;
    expect(differences.report()).toMatchObject({ dropped: 1, failure: expect.stringMatching(/at least one layer/) as unknown }); // prettier-ignore
    shadow.witness({} as Input, decided);
    expect(differences.report().dropped).toBe(2);
    await shadow.close();
  });
});
