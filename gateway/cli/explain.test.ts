import { describe, expect, test } from '@jest/globals';
import type { AuditRecord } from '../audit/record.js';
import { describe as tell } from './explain.js';

const record = (fields: Record<string, unknown>): AuditRecord => ({
  version: 1,
  kind: 'intent',
  writer: 'gateway-1',
  sequence: 7,
  timestamp: '2026-11-22T09:00:00.000Z',
  ...fields,
});

const intent = record({
  decision_id: 'd-1-2',
  stage: 'execute',
  target: 'orders',
  protocol: 'postgres',
  action: 'delete',
  opaque: true,
  revision: 'git:3f2c',
  result: {
    outcome: 'deny',
    reasons: [
      { code: 'no_deletes', rule: 'policy.postgres', title: 'Nobody deletes', message: 'ask the owners' },
      { code: 'second' },
    ],
  },
  resources: [{ access: 'delete', type: 'relation', name: 'app.orders' }],
  purpose: 'month-end',
  personal: {
    principal: { subject: 'agent:billing', issuer: 'https://idp.example', actor: { subject: 'ada@example.com' } },
    client: { address: '10.0.0.7' },
    prompt: { text: 'tidy up', trace: '00-ab-cd-01' },
    operation: { statement: 'DELETE FROM orders\nWHERE id = $1', parameters: ['17', null] },
  },
});

describe('explain', () => {
  test('leaves out what is not there or has another shape, as after an erasure', () => {
    const erased = record({
      decision_id: 'd-1-4',
      resources: 'gone',
      result: null,
      personal: { principal: [], prompt: 3 },
    });
    expect(tell([erased])).toBe(`decision    d-1-4
when        2026-11-22T09:00:00.000Z
record      gateway-1 #7
`);
  });

  test('says who, why, what, by which rule, and that nothing was sent', () => {
    expect(tell([intent])).toBe(`decision    deny d-1-2
when        2026-11-22T09:00:00.000Z (at execute)
who         agent:billing for ada@example.com (https://idp.example)
purpose     month-end
from        10.0.0.7
prompt      tidy up
            trace 00-ab-cd-01
target      orders (postgres)
action      delete (opaque: its effects cannot be known)
statement   DELETE FROM orders
            WHERE id = $1
parameters  $1 = "17"
            $2 = NULL
touches     delete relation app.orders
because     no_deletes (policy.postgres) Nobody deletes: ask the owners
            second
revision    git:3f2c
outcome     refused: nothing was sent to the target
record      gateway-1 #7
`);
  });

  test('says what came of an operation that was let through', () => {
    const allowed = record({ decision_id: 'd-1-3', result: { outcome: 'allow' } });
    const outcome = record({
      kind: 'outcome',
      sequence: 8,
      decision_id: 'd-1-3',
      result: { status: 'ok', tag: 'SELECT 3', rows: 3, bytes: 120 },
      metrics: { duration_ms: 4 },
    });
    expect(tell([outcome, allowed])).toContain(
      'outcome     ok · SELECT 3 · 3 rows, 120 bytes, 4 ms\nrecord      gateway-1 #7 and #8\n',
    );
  });

  test('names the recording, and by what it is known', () => {
    const allowed = record({ decision_id: 'd-1-3', result: { outcome: 'allow' } });
    const recording = { id: 'r-1-3', sha256: 'ab12', bytes: 9, complete: false };
    const outcome = record({ kind: 'outcome', decision_id: 'd-1-3', result: { status: 'ok', recording } });
    expect(tell([outcome, allowed])).toContain('recording   r-1-3 (sha256 ab12) not complete\n');
    const line = record({ kind: 'outcome', decision_id: 'd-1-3', result: { status: 'ok', recorded_in: 'r-1-2' } });
    expect(tell([line, allowed])).toContain("recording   r-1-2 (a shell's, of which this is a line)\n");
  });

  test('does not claim an outcome that nobody recorded', () => {
    expect(tell([record({ decision_id: 'd-1-3', result: { outcome: 'allow' } })])).toContain(
      'outcome     not recorded',
    );
  });

  test("keeps others' text from moving the reader's cursor or turning it round", () => {
    const told = tell([
      record({ decision_id: 'd', personal: { operation: { statement: 'SELECT 1\u001b[2J\u202e\r' } } }),
    ]);
    expect(told).toContain('SELECT 1\\u001b[2J\\u202e\\u000d');
    expect(told).not.toContain('\u001b');
  });
});
