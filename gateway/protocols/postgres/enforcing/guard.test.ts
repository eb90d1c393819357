import type { Socket } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { checkDescription, lasting, relationKey, scrub, stricter, Unmasked, type Guard } from './guard.js';
import { FrameReader } from '../wire/frames.js';
import { Outbox } from '../wire/outbox.js';
import { Responses } from '../session/responses.js';

const guard = (parts: Partial<Guard> = {}): Guard => ({
  hidden: new Set(),
  details: 'drop',
  withheld: false,
  describes: true,
  lasts: false,
  content: 0,
  position: (sent) => sent,
  ...parts,
});

function frame(type: string, body: Buffer): FrameReader {
  const header = Buffer.alloc(5);
  header.write(type, 'latin1');
  header.writeInt32BE(body.length + 4, 1);
  const reader = new FrameReader();
  reader.push(Buffer.concat([header, body]));
  expect(reader.next()).toBe(true);
  return reader;
}

const error = (fields: Readonly<Record<string, string>>) =>
  frame(
    'E',
    Buffer.from(
      `${Object.entries(fields)
        .map(([code, value]) => `${code}${value}\0`)
        .join('')}\0`,
    ),
  );

/** The fields that are left; undefined where the frame may go out as it is. */
function left(fields: Readonly<Record<string, string>>, by: Guard): Record<string, string> | undefined {
  const scrubbed = scrub(error(fields), by);
  if (scrubbed === undefined) return undefined;
  expect(scrubbed.readInt32BE(1)).toBe(scrubbed.length - 1);
  expect(scrubbed.subarray(-2)).toEqual(Buffer.from([0, 0]));
  const parts = scrubbed
    .toString('utf8', 5)
    .split('\0')
    .filter((part) => part !== '');
  return Object.fromEntries(parts.map((part) => [part.slice(0, 1), part.slice(1)]));
}

const whole = {
  S: 'ERROR',
  V: 'ERROR',
  C: '23514',
  M: 'violates a check',
  D: 'Failing row contains (canary)',
  H: 'a hint',
  P: '7',
  W: 'line 1: canary',
  q: 'canary',
  p: '3',
  s: 'app',
  t: 'customers',
  n: 'a_check',
  F: 'execMain.c',
};
const { D: _D, W: _W, q: _q, p: _p, ...harmless } = whole;

describe('errors and notices', () => {
  test.each<[string, Partial<Guard>, object | undefined]>([
    ['lose what may hold rows', {}, harmless],
    ['go out as they came where nothing is masked', { details: 'keep' }, undefined],
    [
      'keep it of relations in which nothing is',
      { details: { harmless: new Set([relationKey('app', 'customers')]), harmful: new Set() } },
      undefined,
    ],
    [
      'lose it of any other',
      { details: { harmless: new Set([relationKey('app', 'plain')]), harmful: new Set() } },
      harmless,
    ],
    ['are told where the client wrote it', { details: 'keep', position: (sent) => sent - 5 }, { ...whole, P: '2' }],
    [
      "are told nowhere in the gateway's own text",
      { details: 'keep', position: () => undefined },
      Object.fromEntries(Object.entries(whole).filter(([code]) => code !== 'P')),
    ],
  ])('%s', (_name, parts, expected) => {
    expect(left(whole, guard(parts))).toEqual(expected);
  });

  test.each([
    ['22P02', true],
    ['P0001', true],
    ['00000', true],
    ['XX000', true],
    ['42703', false],
    ['57014', false],
    ['40001', false],
  ])('of SQLSTATE %s have their message withheld: %s', (sqlstate, withheld) => {
    const said = left({ S: 'ERROR', C: sqlstate, M: 'invalid: "canary"', H: 'canary' }, guard({ withheld: true }));
    if (withheld)
      expect(said).toEqual({ S: 'ERROR', C: sqlstate, M: expect.not.stringContaining('canary') as unknown });
    else expect(said).toBeUndefined();
  });

  test('a relation that has changed since is an error that is worth another try, and says nothing else', () => {
    const fields = { ...whole, C: '22P02', M: 'invalid input syntax for type boolean: "sallyport: app.x has changed"' };
    for (const withheld of [true, false])
      expect(left(fields, guard({ withheld, details: 'keep' }))).toMatchObject({
        C: '40001',
        M: 'app.x has changed since the statement was judged: send the transaction again',
      });
    expect(left(fields, guard({ details: 'keep' }))).not.toHaveProperty('D');
  });

  test('with bytes that are no UTF-8 lose none of them', () => {
    const reader = frame('N', Buffer.concat([Buffer.from('M'), Buffer.from([0xe4, 0]), Buffer.from('Dcanary\0\0')]));
    expect(scrub(reader, guard())?.subarray(5)).toEqual(Buffer.from([0x4d, 0xe4, 0, 0]));
  });

  test('of two guards the stricter holds, and its own text decides on positions', () => {
    const both = stricter(
      guard({
        details: { harmless: new Set(['a', 'b']), harmful: new Set(['c']) },
        hidden: new Set(['1.1']),
        position: () => 1,
      }),
      guard({
        details: { harmless: new Set(['c', 'd']), harmful: new Set(['b']) },
        hidden: new Set(['2.1']),
        withheld: true,
        position: () => 2,
      }),
    );
    expect(both).toMatchObject({
      details: { harmless: new Set(['a', 'd']), harmful: new Set(['c', 'b']) },
      hidden: new Set(['1.1', '2.1']),
      withheld: true,
    });
    expect(both?.position(9)).toBe(2);
    expect(stricter(guard(), guard({ details: 'keep' }))?.details).toBe('drop');
    expect(lasting(guard({ position: () => 2 })).position(9)).toBe(9);
  });
});

describe('a RowDescription', () => {
  const described = (...columns: (readonly [table: number, attribute: number])[]) => {
    const count = Buffer.alloc(2);
    count.writeInt16BE(columns.length);
    const fields = columns.map(([table, attribute]) => {
      const field = Buffer.alloc(18);
      field.writeUInt32BE(table, 0);
      field.writeInt16BE(attribute, 4);
      return Buffer.concat([Buffer.from('email\0'), field]);
    });
    return frame('T', Buffer.concat([count, ...fields]));
  };
  const hiding = guard({ hidden: new Set(['3000000000.2']) });

  test('with a masked column as it stands in its table is a failure', () => {
    expect(() => checkDescription(described([3_000_000_000, 1], [3_000_000_000, 2]), hiding)).toThrow(Unmasked);
  });

  test.each(['query', 'describe'] as const)('of a %s does not go out then, nor do the rows behind it', (kind) => {
    const written: Buffer[] = [];
    const socket = {
      write: (chunk: Buffer) => written.push(chunk) > 0,
      cork: () => undefined,
      uncork: () => undefined,
    };
    const nothing = () => undefined;
    const events = {
      ready: nothing,
      batchFailed: nothing,
      parameterStatus: nothing,
      outdated: nothing,
      withheld: () => false,
      drained: nothing,
    };
    const outbox = new Outbox(socket as unknown as Socket);
    const responses = new Responses(outbox, events);
    // The second is the gateway's own look at a statement that it has rewritten.
    responses.expect(kind === 'query' ? { kind, guard: hiding } : { kind, hidden: true, tells: true, guard: hiding });
    expect(() => responses.frame(described([3_000_000_000, 2]))).toThrow(Unmasked);
    outbox.flush();
    expect(written).toEqual([]);
  });

  test('with others, or with what is computed, is none', () => {
    checkDescription(described([3_000_000_000, 1], [0, 0], [5, 2]), hiding);
  });
});
