import { describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { once } from 'node:events';
import { access } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { runDemo } from './demo.js';
import { usualPorts } from './ports.js';
import { createPrinter, layOut } from './print.js';
import { steps, StepFailed, type Stage } from './steps.js';

describe('the demo', () => {
  test('does every step, on other ports where the usual ones are taken, and leaves nothing behind', async () => {
    // Somebody else (another demo) may hold one already: then it is as taken as this test wants it.
    const blockers: Server[] = [];
    for (const port of Object.values(usualPorts)) {
      const blocker = createServer();
      blocker.listen(port, '127.0.0.1');
      await once(blocker, 'listening').then(
        () => blockers.push(blocker),
        () => undefined,
      );
    }
    let output = '';
    const code = await runDemo({ once: true, json: true, output: { write: (text: string) => (output += text) } });
    for (const blocker of blockers) blocker.close();

    const events = output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events.filter(({ event }) => event === 'failed')).toEqual([]);
    expect(code).toBe(0);
    expect(events.filter(({ event }) => event === 'passed')).toHaveLength(steps.length);
    expect(events.filter(({ event, text }) => event === 'remark' && String(text).includes('is taken'))).toHaveLength(4);
    const reasons = events
      .filter(({ event }) => event === 'refusal')
      .map(({ detail }) => (detail as { reasons: { code: string }[] }).reasons.map((reason) => reason.code));
    expect(reasons).toEqual([['payment_data'], ['not_allowed'], ['not_allowed']]);
    const policy = events.find(({ event, what }) => event === 'ready' && what === 'policy');
    const folder = /git repository (\S+)\/policy,/.exec(String(policy?.['text']))?.[1] ?? '/';
    await expect(access(folder)).rejects.toThrow('ENOENT');
  }, 300_000);

  const stage = (answer: () => Promise<unknown>): Stage => ({
    agent: { query: answer } as unknown as pg.Client,
    print: createPrinter({ write: () => true }, { json: true }),
    waiting: () => new Promise(() => undefined),
    answer: async () => 'approved',
    commitChange: async () => ({ id: '0'.repeat(40), done_ms: 0 }),
    diff: async () => '',
    inForce: async () => undefined,
    onDenied: () => undefined,
  });

  test.each(steps.map(({ title }, index) => [title, index] as const))(
    '%s: fails where the database itself refuses',
    async (_, index) => {
      // Postgres's own 42501, without the gateway's JSON: a demo that took it for a denial would prove nothing.
      const refused = Object.assign(new Error('permission denied for table customers'), { code: '42501' });
      await expect(steps[index]?.run(stage(async () => Promise.reject(refused)))).rejects.toBeInstanceOf(StepFailed);
    },
  );

  test('a step that should be denied fails where rows come back', async () => {
    await expect(steps[2]?.run(stage(async () => ({ rows: [{ card_number: '4000' }], rowCount: 1 })))).rejects.toThrow(
      /should have been denied, and 1 rows came back/,
    );
  });

  test('a step that should be denied for one reason fails where it is for another', async () => {
    const other = Object.assign(new Error('denied'), {
      code: '42501',
      detail: '{"reasons":[{"code":"no_policy"}]}',
      hint: '{}',
    });
    await expect(steps[2]?.run(stage(async () => Promise.reject(other)))).rejects.toThrow(
      /because of payment_data, and was because of no_policy/,
    );
  });
});

describe('a table', () => {
  test('has numbers to the right and text to the left', () => {
    expect(
      layOut([
        { region: 'EU', revenue: '7.50' },
        { region: null, revenue: 110 },
      ]),
    ).toBe(['region | revenue', '-------+--------', 'EU     |    7.50', '       |     110', '(2 rows)'].join('\n'));
  });

  test('is a count where nothing came', () => {
    expect(layOut([])).toBe('(0 rows)');
  });
});
