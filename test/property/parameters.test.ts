import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeBinary, decodeParameters } from '../../gateway/protocols/postgres/judging/parameters.js';
import { testServer } from '../support/postgres.js';
import { message, row, WireClient } from '../support/wire.js';

/** A binary parameter, decoded here, is what the server says in text of the same value. */
const letters = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => !text.includes('\0'));
const integer = (bits: number) =>
  fc.bigInt({ min: -(2n ** BigInt(bits - 1)), max: 2n ** BigInt(bits - 1) - 1n }).map(String);
const special = ['NaN', 'Infinity', '-Infinity'];
const digits = fc.stringMatching(/^-?[0-9]{1,30}(\.[0-9]{1,30})?$/);
const pad = (number: number, length = 2) => String(number).padStart(length, '0');
const day = fc
  .tuple(
    fc.integer({ min: 1, max: 9999 }),
    fc.integer({ min: 1, max: 12 }),
    fc.integer({ min: 1, max: 28 }),
    fc.constantFrom('', ' BC'),
  )
  .map(([year, month, date, era]) => ({ text: `${pad(year, 4)}-${pad(month)}-${pad(date)}`, era }));
const clock = fc
  .tuple(fc.nat({ max: 23 }), fc.nat({ max: 59 }), fc.nat({ max: 59 }), fc.nat({ max: 999_999 }))
  .map(([hour, minute, second, micro]) => `${pad(hour)}:${pad(minute)}:${pad(second)}.${pad(micro, 6)}`);
const moment = fc.oneof(
  fc.tuple(day, clock).map(([{ text, era }, time]) => `${text} ${time}${era}`),
  fc.constantFrom('infinity', '-infinity'),
);
const date = fc.oneof(
  day.map(({ text, era }) => text + era),
  fc.constantFrom('infinity', '-infinity'),
);
const hex = fc.uint8Array({ maxLength: 30 }).map((array) => `\\x${Buffer.from(array).toString('hex')}`);
const double = fc.oneof(
  fc.double().map(String),
  fc.double({ min: 2 ** 53, max: 2 ** 62 }).map(String),
  fc.constantFrom(...special, '-0', '1e-5', '1e15', '123456789012345'),
);
const single = fc.oneof(fc.float().map(String), fc.constantFrom(...special, '-0', '1e6', '16777217'));
const item = (text: fc.Arbitrary<string>) =>
  fc.oneof({ weight: 5, arbitrary: text.map((one) => `"${one.replace(/["\\]/g, '\\$&')}"`) }, fc.constant('NULL'));
const list = (text: fc.Arbitrary<string>) =>
  fc.array(item(text), { maxLength: 5 }).map((items) => `{${items.join(',')}}`);

const types: readonly [name: string, oid: number, values: fc.Arbitrary<string>][] = [
  ['boolean', 16, fc.constantFrom('t', 'f')],
  ['bytea', 17, hex],
  ['bigint', 20, integer(64)],
  ['smallint', 21, integer(16)],
  ['integer', 23, integer(32)],
  ['text', 25, letters],
  ['oid', 26, fc.nat({ max: 0x7fff_ffff }).map(String)],
  ['json', 114, fc.json()],
  ['real', 700, single],
  ['double precision', 701, double],
  ['varchar', 1043, letters],
  ['date', 1082, date],
  ['time', 1083, clock],
  ['timestamp', 1114, moment],
  ['timestamptz', 1184, moment],
  ['numeric', 1700, fc.oneof(digits, fc.constantFrom(...special, '0.000', '-0.0001', '1e100', '10000', '1e-20'))],
  ['uuid', 2950, fc.uuid()],
  ['integer[]', 1007, list(integer(32))],
  ['text[]', 1009, list(letters)],
  ['numeric[]', 1231, list(digits)],
  ['timestamptz[]', 1185, list(moment)],
];

describe('a binary parameter, decoded', () => {
  let client: WireClient;
  beforeAll(async () => {
    client = await WireClient.open({
      ...(await testServer()),
      database: 'postgres',
      parameters: { timezone: 'UTC', datestyle: 'ISO' },
    });
  });
  afterAll(() => {
    client?.socket.destroy();
  });

  /** A number of which the shortest text lies halfway to the next: the server writes one digit more. */
  const known: Readonly<Record<string, readonly string[]>> = {
    real: ['33926352', '-33926352', '16777216'],
    // In JavaScript's words; most lie halfway to another.
    'double precision':
      `32535853505285450 -36868023537569620 132964962771210600 180505286276631600 47710685667733380 52705193796256300 202409432805758000
      37289834404731220 9007199254740992 9007199254740994 -9007199254740993 1.7976931348623157e308 1e23 5e-324`.split(
        /\s+/,
      ),
  };

  test.each(types)('of type %s is what the server calls it', async (name, oid, values) => {
    await fc.assert(
      fc.asyncProperty(values, async (value) => {
        client.received.length = 0;
        const frames = await client.exchange(
          message.parse(`select $1::text::${name}, $1::text::${name}`),
          message.bind([value], { results: [1, 0] }),
          message.execute(),
          message.sync(),
        );
        const found = frames.find(({ type }) => type === 'D');
        // What the server does not take (a float out of range, \u0000 in JSON) has no binary form.
        fc.pre(found !== undefined);
        const [binary, text] = row(found.body);
        expect(decodeBinary(binary!, oid)).toBe(text!.toString('utf8'));
        expect(decodeParameters([binary!], [1], [oid])).toEqual({ values: [text!.toString('utf8')], undecoded: false });
      }),
      { numRuns: 60, examples: (known[name] ?? []).map((value): [string] => [value]) },
    );
  });

  test('of any type and any bytes is text, or says that it is not decoded', () => {
    const oid = fc.oneof(fc.constantFrom(...types.map(([, known]) => known)), fc.nat({ max: 5000 }));
    fc.assert(
      fc.property(oid, fc.uint8Array({ maxLength: 60 }), (type, array) => {
        const bytes = Buffer.from(array);
        const { values, undecoded } = decodeParameters([bytes], [1], [type]);
        expect(values).toHaveLength(1);
        if (undecoded) expect(values).toEqual([`base64:${bytes.toString('base64')}`]);
      }),
      { numRuns: 2000 },
    );
  });
});
