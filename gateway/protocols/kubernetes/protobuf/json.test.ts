import { describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RequestRefusal } from '../../../web/index.js';
import { jsonOfProtobuf } from './json.js';

/** Objects as Kubernetes' own code writes and reads them: scripts/kubernetes-messages.mjs made them. */
interface Vector {
  readonly protobuf: string;
  readonly json: { readonly kind: string; readonly apiVersion: string };
}
const vectors = readFileSync(join(import.meta.dirname, 'vectors.jsonl'), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as Vector)
  .map(({ protobuf, json }) => ({
    name: `${json.apiVersion} ${json.kind}`,
    bytes: Buffer.from(protobuf, 'hex'),
    json,
  }));

const magic = Buffer.from('k8s\0');
const varint = (value: bigint | number): Buffer => {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
};
const number = (field: number, value: bigint | number) => Buffer.concat([varint(field << 3), varint(value)]);
const inside = (field: number, ...parts: (Buffer | string)[]) => {
  const bytes = Buffer.concat(parts.map((part) => Buffer.from(part as Buffer)));
  return Buffer.concat([varint((field << 3) | 2), varint(bytes.length), bytes]);
};
const object = (version: string, kind: string, ...raw: Buffer[]) =>
  Buffer.concat([magic, inside(1, inside(1, version), inside(2, kind)), inside(2, ...raw), inside(3), inside(4)]);
const configMap = (...raw: Buffer[]) => object('v1', 'ConfigMap', ...raw);
const read = (bytes: Buffer): unknown => JSON.parse(jsonOfProtobuf(bytes));
const refusal = (bytes: Buffer): RequestRefusal | undefined => {
  try {
    jsonOfProtobuf(bytes);
    return undefined;
  } catch (error) {
    if (error instanceof RequestRefusal) return error;
    throw error;
  }
};

describe('an object in protobuf', () => {
  test.each(vectors)('is the JSON that Kubernetes would write: $name', ({ bytes, json }) => {
    expect(read(bytes)).toEqual(json);
  });

  test('is any of some twenty kinds, at least', () => {
    expect(vectors.length).toBeGreaterThan(20);
  });

  test('has its numbers to the last digit', () => {
    const revision = object('apps/v1', 'ControllerRevision', number(3, -9223372036854775808n));
    expect(jsonOfProtobuf(revision)).toContain('"revision":-9223372036854775808');
  });

  test('holds JSON as it is, and nothing that ends what it stands in', () => {
    const revision = (text: string) => object('apps/v1', 'ControllerRevision', inside(2, inside(1, text)));
    expect(jsonOfProtobuf(revision('{"a": 1.0}'))).toContain('"data":{"a": 1.0}');
    for (const text of ['', '{}},"revision":7,"x":{"y":{}', '{} {}', 'k8s\0', '\u{fffe}'])
      expect(refusal(revision(text))?.message).toContain('no JSON');
  });

  test.each([
    ['nothing', Buffer.alloc(0), 'does not begin'],
    ['no magic', Buffer.from('{"kind":"ConfigMap"}'), 'does not begin'],
    ['no kind', Buffer.concat([magic, inside(2, '')]), 'a kind that is not known here, or none'],
    ['a kind that is unknown', object('example.com/v1', 'Thing'), 'a kind that is not known here'],
    ['a version that is unknown', object('v9', 'ConfigMap'), 'a kind that is not known here'],
    ['a field that is unknown', configMap(inside(99, 'x')), 'a field that is not known here (core/v1.ConfigMap, 99)'],
    ['an unknown field of the envelope', Buffer.concat([configMap(), inside(5, '')]), 'not known here (Unknown, 5)'],
    ['an encoding of the envelope', Buffer.concat([configMap().subarray(0, -4), inside(3, 'gzip')]), 'packed'],
    ['another type in the envelope', Buffer.concat([configMap().subarray(0, -2), inside(4, 'application/json')]), 'of another type'], // prettier-ignore
    ['a field of another type', configMap(number(1, 1)), 'a field of another type than is known here'],
    ['a group', configMap(Buffer.from([0x0b, 0x0c])), 'of a type that is not used'],
    ['32 bits of their own', configMap(Buffer.from([0x0d, 0, 0, 0, 0])), 'of a type that is not used'],
    ['the field 0', configMap(Buffer.from([0x02, 0])), 'without a number'],
    ['a field twice', configMap(inside(1), inside(1)), 'a field twice (core/v1.ConfigMap, 1)'],
    ['a part of the envelope twice', Buffer.concat([configMap(), inside(2, inside(1))]), 'a field twice (Unknown, 2)'],
    ['a key twice', configMap(inside(2, inside(1, 'a'), inside(2, '1')), inside(2, inside(1, 'a'), inside(2, '2'))), 'a key twice'], // prettier-ignore
    ['a value twice', configMap(inside(2, inside(1, 'a'), inside(2, '1'), inside(2, '2'))), 'no key and value'],
    ['bad UTF-8', configMap(inside(2, inside(1, Buffer.from([0xc3, 0x28])), inside(2))), 'no UTF-8'],
    ['half of a character', configMap(inside(2, inside(1, Buffer.from([0xed, 0xa0, 0x80])), inside(2))), 'no UTF-8'],
    ['an end in the middle', configMap(Buffer.from([0x0a, 0x05, 0x0a])), 'ends in the middle'],
    ['bytes behind it', Buffer.concat([configMap(), Buffer.from([0])]), 'without a number'],
    ['a number with too many bytes', configMap(Buffer.from([0x20, 0x81, 0x00])), 'in a form that nobody writes'],
    ['a number without an end', configMap(Buffer.from([0x20, ...Array<number>(11).fill(0x80)])), 'nobody writes'],
    ['a yes that is none', configMap(number(4, 2)), 'where yes or no belongs'],
    ['more than 32 bits', object('apps/v1', 'Deployment', inside(2, number(1, 2n ** 31n))), 'more than 32 bits'],
    ['packed numbers', object('v1', 'Pod', inside(2, inside(14, inside(4, Buffer.from([1, 2]))))), 'another type'],
    ['a time with a fraction', configMap(inside(1, inside(8, number(1, 5), number(2, 1)))), 'fraction'],
    ['a time after all times', configMap(inside(1, inside(8, number(1, 10n ** 15n)))), 'outside the years'],
    ['a number and a text at once', object('policy/v1', 'PodDisruptionBudget', inside(2, inside(1, number(1, 0), inside(3, '5%')))), 'at once'], // prettier-ignore
    ['a quantity without a text', object('v1', 'ResourceQuota', inside(2, inside(1, inside(1, 'a'), inside(2, inside(1))))), 'quantity'], // prettier-ignore
  ])('is refused with what to do: %s', (_, bytes, words) => {
    const { status, message } = refusal(bytes)!;
    expect([400, 415]).toContain(status);
    expect(message).toContain(words);
    expect(message).toContain('ContentType "application/json"');
  });

  test('is refused where it is nested too deeply, or too large', () => {
    let schema = Buffer.alloc(0);
    for (let depth = 0; depth < 100; depth++) schema = inside(29, inside(1, 'a'), inside(2, schema));
    const definition = (bytes: Buffer) =>
      object('apiextensions.k8s.io/v1', 'CustomResourceDefinition', inside(2, inside(7, inside(4, inside(1, bytes)))));
    expect(refusal(definition(schema))?.message).toContain('messages deep');
    // Two bytes of protobuf that are 27 of JSON each.
    const containers = Buffer.concat(Array.from({ length: 200_000 }, () => inside(2)));
    expect(refusal(object('v1', 'Pod', inside(2, containers)))).toMatchObject({ status: 413 });
  });

  test('costs no more than its size allows, whatever it is made of', () => {
    // An empty schema is two bytes, and any of some forty fields could be in it.
    const schemas = Buffer.alloc(3_000_000, inside(25));
    const version = inside(7, inside(4, inside(1, schemas)));
    const started = performance.now();
    expect(refusal(object('apiextensions.k8s.io/v1', 'CustomResourceDefinition', inside(2, version)))?.status).toBe(
      413,
    );
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});

describe('ten thousand bodies that are malformed', () => {
  /** The same ones each time. */
  const random = (seed: number) => () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed / 2 ** 32;
  };

  test('are read as something that was meant, or refused, and never more', () => {
    const next = random(7);
    const pick = (below: number) => Math.floor(next() * below);
    let refused = 0;
    let meant = 0;
    let slowest_ms = 0;
    while (refused < 10_000) {
      const bytes = Buffer.from(vectors[pick(vectors.length)]!.bytes);
      const at = 4 + pick(bytes.length - 4);
      const ways: readonly (() => Buffer)[] = [
        () => bytes.subarray(0, at),
        () => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + pick(8))]),
        () => Buffer.concat([bytes.subarray(0, at), Buffer.from([pick(256)]), bytes.subarray(at)]),
        () => Buffer.concat([bytes.subarray(0, at), bytes.subarray(4), bytes.subarray(at)]),
        () => Buffer.concat([bytes, Buffer.from(Array.from({ length: 1 + pick(16) }, () => pick(256)))]),
        () => Buffer.concat([magic, Buffer.from(Array.from({ length: pick(200) }, () => pick(256)))]),
      ];
      const body = ways[pick(ways.length)]!();
      const started = performance.now();
      const is = refusal(body) !== undefined;
      slowest_ms = Math.max(slowest_ms, performance.now() - started);
      // A byte of a text that is another byte of a text: nothing is wrong with it.
      if (is) refused++;
      else {
        meant++;
        read(body);
      }
    }
    expect(meant).toBeLessThan(refused / 10);
    expect(slowest_ms).toBeLessThan(1_000);
  });
});
