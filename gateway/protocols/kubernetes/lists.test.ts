import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Mask } from '#engine';
import { ListReader, type Part } from './lists.js';
import { fieldMasks } from './masking.js';

/** A list that comes in parts is masked as the whole of it would be. */

const info = { ...{ verb: 'list', group: '', version: 'v1', resource: 'secrets', subresource: '', namespace: 'shop', name: '' }, ...{ isResource: true, path: '', fieldSelector: '', labelSelector: '' } }; // prettier-ignore
const masksOf = (...all: (readonly [string, 'redact' | 'null' | 'hash'])[]) =>
  fieldMasks(
    all.map(([resource, how]) => ({ code: 'c', resource, with: how, scope: 'source' }) as unknown as Mask),
    info as never,
    () => '00'.repeat(32),
  )!;

function partsOf(bytes: Buffer, sizes: readonly number[]): Part[] {
  const reader = new ListReader();
  const parts: Part[] = [];
  let at = 0;
  for (const size of sizes) {
    parts.push(...reader.push(bytes.subarray(at, at + size)));
    at += size;
  }
  parts.push(...reader.push(bytes.subarray(at)));
  return [...parts, { where: reader.over ? 'tail' : 'head', bytes: reader.rest() }];
}

function inParts(text: string, masks: ReturnType<typeof masksOf>, sizes: readonly number[]): string {
  const parts = partsOf(Buffer.from(text), sizes);
  if (parts.length === 1) return masks.mask(text);
  let items = 0;
  return parts
    .map(({ where, bytes }) => {
      if (where === 'none') return bytes.toString();
      const masked = masks.maskPart(bytes.toString(), where);
      return where === 'item' && items++ > 0 ? `,${masked}` : masked;
    })
    .join('');
}

const secret = (name: string) => ({
  metadata: {
    name,
    annotations: { 'kubectl.kubernetes.io/last-applied-configuration': 'x' },
    managedFields: [{ a: 1 }],
  },
  data: { password: 'Y2FuYXJ5', 'a"b\\': 'ew==' },
  items: [{ data: { inner: 'Y2FuYXJ5' }, metadata: { managedFields: [1] } }],
  object: { data: { inner: 'Y2FuYXJ5' } },
});
const listed = [secret('a'), secret('b, "items":['), 7, [secret('c')], {}];
const whole = (value: object) => JSON.stringify(value);
const masks = {
  'fields of objects': masksOf(['secrets:data', 'redact']),
  'any depth': masksOf(['secrets:**.inner', 'redact'], ['secrets:data', 'hash']),
  'members of the list itself': masksOf(
    ['secrets:*[*].metadata.name', 'null'],
    ['secrets:metadata.continue', 'redact'],
  ),
  'all there is': masksOf(['secrets:items', 'hash']),
  'what is behind': masksOf(['secrets:tail.**', 'redact'], ['secrets:kind', 'redact']),
};

describe.each(Object.entries(masks))('under masks on %s', (_name, each) => {
  test.each([
    ['a list', whole({ kind: 'SecretList', apiVersion: 'v1', metadata: { continue: 'c' }, items: listed })],
    ['one in lines', JSON.stringify({ kind: 'SecretList', items: listed, tail: { a: ['b'] } }, undefined, 2)],
    ['an empty one', '{"items": [ ] , "kind":"x"}'],
    ['one without spaces', '{"items":[]}'],
    ['objects before them', whole({ object: secret('o'), data: { a: 'b' }, items: listed, tail: { items: listed } })],
    ['a name of the same kind before', whole({ kind: 'items', x: { items: [1] }, items: listed })],
    ['the name twice', '{"items":{"data":{"a":"b"}},"items":[{"data":{"a":"b"}}],"items":[{"data":{"a":"b"}}]}'],
    ['the name with an escape', '{"\\u0069tems":[{"data":{"a":"b"}}]}'],
    ['an object', whole(secret('a'))],
  ])('%s has the same bytes, however it is cut', (_what, text) => {
    const expected = each.mask(text);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 40 }), (sizes) => {
        expect(inParts(text, each, sizes)).toBe(expected);
      }),
      { numRuns: 60 },
    );
    expect(
      inParts(
        text,
        each,
        Array.from(text, () => 1),
      ),
    ).toBe(expected);
  });
});

test.each([
  '{"items":[{},]}',
  '{"items":[,{}]}',
  '{"items":[{} {}]}',
  '{"items":[{"a":1]}]}',
  '{"items":[{}}',
  '{"items":[{}]',
  '{"items":[{}]}}',
  '{"a":"items":[{}]}',
  '["items":[{}]]',
  '{"items":["a\nb"]}',
  '{"items":[ , ]}',
])('what is no JSON is none in its parts: %j', (text) => {
  expect(() => masks['fields of objects'].mask(text)).toThrow();
  expect(() => inParts(text, masks['fields of objects'], [])).toThrow();
});

test('nothing is held of objects that are over', () => {
  const reader = new ListReader();
  reader.push(Buffer.from('{"items":['));
  for (let number = 0; number < 100; number++) {
    expect(reader.push(Buffer.from(`${JSON.stringify(secret('a'))},`))).toHaveLength(1);
    expect(reader.held_bytes).toBe(0);
  }
});
