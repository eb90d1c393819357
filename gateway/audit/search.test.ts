import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { byLog, filesOf, rotatedAt, rotatedName } from './files.js';
import { lines, linesBackwards } from './lines.js';
import { searchAudit, type SearchOptions } from './search.js';
import type { AuditQuery } from './query.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-search-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const start_ms = Date.UTC(2026, 10, 22, 9);
const at = (minute: number) => new Date(start_ms + minute * 60_000).toISOString();

function line(sequence: number, minute: number, fields: Record<string, unknown>): string {
  const { kind, ...rest } = fields;
  return `${JSON.stringify({ version: 1, kind, writer: 'w', sequence, timestamp: at(minute), ...rest })}\n`;
}

function intent(
  sequence: number,
  minute: number,
  id: string,
  fields: Record<string, unknown> = {},
  who = 'agent:a',
): string {
  return line(sequence, minute, {
    kind: 'intent',
    decision_id: id,
    session_id: 's1',
    target: 'orders',
    resources: [{ type: 'column', name: 'app.customers.email' }],
    result: { outcome: 'allow', reasons: [{ code: 'reads' }] },
    ...fields,
    personal: {
      principal: { subject: who, actor: { subject: 'ada' } },
      prompt: { id: 'p1', text: 'Tidy UP the orders' },
    },
  });
}

const outcome = (sequence: number, minute: number, id: string, result: Record<string, unknown>) =>
  line(sequence, minute, { kind: 'outcome', decision_id: id, session_id: 's1', result });

async function ids(files: readonly string[], query: AuditQuery, options?: SearchOptions): Promise<string[]> {
  const found: string[] = [];
  for await (const { record, outcome: end } of searchAudit(files, query, options)) {
    const { status } = (end?.['result'] ?? {}) as { status?: string };
    found.push([(record['decision_id'] as string | undefined) ?? record.kind, status].filter(Boolean).join(':'));
  }
  return found;
}

function log(): string[] {
  const current = join(folder, 'audit.jsonl');
  const older = rotatedName(current, start_ms + 150_000);
  writeFileSync(
    older,
    intent(1, 0, 'd1') +
      intent(2, 1, 'd2', { result: { outcome: 'deny', reasons: [{ code: 'no_deletes' }] } }) +
      outcome(3, 2, 'd1', { status: 'ok' }),
  );
  writeFileSync(
    current,
    intent(4, 3, 'd3', { target: 'crm', resources: [{ name: 'app.orders' }] }, 'agent:b') +
      line(5, 4, { kind: 'session_kill', session_id: 's2' }) +
      intent(6, 5, 'd4') +
      outcome(7, 6, 'd4', { status: 'error', code: '23505' }) +
      // Written again after a failure, and cut off by a crash.
      outcome(7, 6, 'd4', { status: 'error', code: '23505' }) +
      '{"version":1,"ki',
  );
  return [current, older];
}

describe('a search', () => {
  test('finds operations with their ends, newest or oldest first, over rotated files', async () => {
    const files = log();
    expect(await ids(files, {})).toEqual(['d4:error', 'session_kill', 'd3', 'd2', 'd1:ok']);
    expect(await ids(files, {}, { order: 'oldest' })).toEqual(['d1:ok', 'd2', 'd3', 'session_kill', 'd4:error']);
    expect(await ids(files, {}, { limit: 2 })).toEqual(['d4:error', 'session_kill']);
    expect(await ids([...files, join(folder, 'missing')], { kinds: ['session_kill'] })).toEqual(['session_kill']);
  });

  test.each<[AuditQuery, string[]]>([
    [{ principal: 'agent:b' }, ['d3']],
    [{ principal: 'ada' }, ['d4:error', 'd3', 'd2', 'd1:ok']],
    [{ prompt: 'tidy up' }, ['d4:error', 'd3', 'd2', 'd1:ok']],
    [{ prompt: 'p1', target: 'crm' }, ['d3']],
    [{ prompt: 'nobody said this' }, []],
    [{ decision: 'deny' }, ['d2']],
    [{ code: 'no_deletes' }, ['d2']],
    [{ code: '23505' }, ['d4:error']],
    [{ outcome: 'ok' }, ['d1:ok']],
    [{ outcome: 'none' }, ['d3']],
    [{ resource: 'customers' }, ['d4:error', 'd2', 'd1:ok']],
    [{ resource: 'app.orders' }, ['d3']],
    [{ resource: 'rders' }, []],
    [{ since_ms: start_ms + 180_000, until_ms: start_ms + 300_000 }, ['session_kill', 'd3']],
    [{ decision_id: 'd4' }, ['d4:error']],
    [{ session_id: 's2' }, ['session_kill']],
    [{ kinds: ['outcome'] }, ['d4', 'd1']],
  ])('for %j', async (query, expected) => {
    const files = log();
    expect(await ids(files, query)).toEqual(expected);
    expect(await ids(files, query, { order: 'oldest' })).toEqual([...expected].reverse());
  });

  test('ends when it is told to', async () => {
    const files = log();
    const controller = new AbortController();
    controller.abort(new Error('enough'));
    await expect(ids(files, {}, { signal: controller.signal })).rejects.toThrow('enough');
  });

  test('puts the records of two gateways in the order of their times', async () => {
    const [one, two] = [join(folder, 'one.jsonl'), join(folder, 'two.jsonl')];
    writeFileSync(one, intent(1, 0, 'a0') + intent(2, 4, 'a4'));
    writeFileSync(
      two,
      line(1, 2, { kind: 'intent', writer: 'x', decision_id: 'b2', result: {} }) +
        line(2, 6, { kind: 'policy', writer: 'x' }),
    );
    expect(await ids([one, two], {})).toEqual(['policy', 'a4', 'b2', 'a0']);
    expect(await ids([one, two], {}, { order: 'oldest' })).toEqual(['a0', 'b2', 'a4', 'policy']);
  });
});

test('lines are the same from both ends, whatever their length', async () => {
  const file = join(folder, 'lines');
  for (const text of [
    '',
    '\n',
    'a',
    'a\n',
    '\n\na\n\n',
    `${'x'.repeat(700_000)}\ny\n${'z'.repeat(262_144)}`,
    `${'é'.repeat(131_072)}\n`,
  ]) {
    writeFileSync(file, text);
    const forwards: [string, number, boolean][] = [];
    for await (const { bytes, offset, whole } of lines(file)) forwards.push([bytes.toString(), offset, whole]);
    const backwards: [string, number, boolean][] = [];
    for await (const { bytes, offset, whole } of linesBackwards(file))
      backwards.unshift([bytes.toString(), offset, whole]);
    expect(backwards).toEqual(forwards);
    expect(forwards.map(([content, , whole]) => content + (whole ? '\n' : '')).join('')).toBe(text);
  }
});

test('a rotated file is known by its name', async () => {
  const current = join(folder, 'named.jsonl');
  const older = rotatedName(current, start_ms);
  expect(older).toBe(`${current}.20261122T090000000Z`);
  expect([rotatedAt(older), rotatedAt(current)]).toEqual([start_ms, undefined]);
  for (const name of [older, current, `${current}.bak`]) writeFileSync(name, '');
  expect(await filesOf(current)).toEqual([older, current]);
  expect(byLog([current, `${current}.bak`, older])).toEqual([[older, current], [`${current}.bak`]]);
});
