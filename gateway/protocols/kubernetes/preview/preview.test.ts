import { describe, expect, test } from '@jest/globals';
import { changesBetween, valueAt } from './changes.js';
import { pinned } from './precondition.js';

describe('what differs between two forms of an object', () => {
  test.each([
    ['nothing', { a: 1, b: [{}] }, { b: [{}], a: 1 }, []],
    ['a value', { spec: { replicas: 1 } }, { spec: { replicas: 2 } }, [{ path: 'spec.replicas', before: 1, after: 2 }]],
    ['what is new', {}, { spec: { a: [1] } }, [{ path: 'spec', after: { a: [1] } }]],
    ['what is gone', { a: null }, {}, [{ path: 'a', before: null }]],
    [
      'names that are no words',
      { m: { 'a.b/c': 'x' } },
      { m: { 'a.b/c': 'y' } },
      [{ path: 'm["a.b/c"]', before: 'x', after: 'y' }],
    ],
    ['a list for an object', { a: [] }, { a: {} }, [{ path: 'a', before: [], after: {} }]],
    [
      'a list by its places',
      { a: [1, 2] },
      { a: [1, 3, 4] },
      [
        { path: 'a[1]', before: 2, after: 3 },
        { path: 'a[2]', after: 4 },
      ],
    ],
    [
      'a list by its names, whatever their places',
      {
        c: [
          { name: 'a', v: 1 },
          { name: 'b', v: 1 },
        ],
      },
      {
        c: [
          { name: 'x"', v: 9 },
          { name: 'b', v: 2 },
          { name: 'a', v: 1 },
        ],
      },
      [
        { path: 'c[name="b"].v', before: 1, after: 2 },
        { path: 'c[name="x\\""]', after: { name: 'x"', v: 9 } },
      ],
    ],
    [
      'a list in which a name comes twice by its places',
      { c: [{ name: 'a' }, { name: 'a' }] },
      { c: [{ name: 'a' }, { name: 'b' }] },
      [{ path: 'c[1].name', before: 'a', after: 'b' }],
    ],
    ['all of it', undefined, { a: 1 }, [{ path: '', after: { a: 1 } }]],
  ])('%s', (_name, before, after, expected) => {
    const changes = changesBetween(before, after);
    expect(changes).toEqual(expected);
    // Each path leads to what it was made of.
    for (const { path, ...change } of changes)
      expect([valueAt(before, path), valueAt(after, path)]).toEqual([change.before, change.after]);
  });

  test('a path leads to nothing in another object', () => {
    for (const path of ['a.b', 'a["b"]', 'a[0]', 'a[name="b"]']) expect(valueAt({ a: 'text' }, path)).toBeUndefined();
    expect(valueAt({}, 'constructor')).toBeUndefined();
  });
});

describe('a write is bound to a version', () => {
  const bound = (text: string, patch?: 'json' | 'merge') =>
    pinned({ bytes: Buffer.from(text), opaque: false, ...(patch && { patch }) }, '7')?.bytes.toString();

  test.each([
    ['{}', '{"metadata":{"resourceVersion":"7"}}'],
    [' { "spec" : 1.0 } ', '{"metadata":{"resourceVersion":"7"},"spec" : 1.0 }'],
    ['{"a":1e2,"metadata":{ }}', '{"a":1e2,"metadata":{"resourceVersion":"7"}}'],
    ['{"metadata":{"name":"a"}}', '{"metadata":{"resourceVersion":"7","name":"a"}}'],
    ['{"metadata":{"name":"a","resourceVersion":null}}', '{"metadata":{"name":"a","resourceVersion":"7"}}'],
    ['{"meta\\u0064ata":{"resourceVersion":"9"}}', '{"meta\\u0064ata":{"resourceVersion":"7"}}'],
    [
      '{"spec":{"metadata":{"resourceVersion":"9"}}}',
      '{"metadata":{"resourceVersion":"7"},"spec":{"metadata":{"resourceVersion":"9"}}}',
    ],
  ])('%s', (text, expected) => expect(bound(text, 'merge')).toBe(expected));

  test.each([
    ['[]', '[{"op":"add","path":"/metadata/resourceVersion","value":"7"}]'],
    [
      '[ {"op":"remove","path":"/a"} ]\n',
      '[{"op":"remove","path":"/a"},{"op":"add","path":"/metadata/resourceVersion","value":"7"}]',
    ],
  ])('as a JSON patch: %s', (text, expected) => expect(bound(text, 'json')).toBe(expected));

  test.each(['{"metadata":null}', '{"metadata":[]}', '[]', 'null', '{"a":'])('or not at all: %s', (text) =>
    expect(bound(text)).toBeUndefined(),
  );
  test('nor a JSON patch that is no list', () => expect(bound('{}', 'json')).toBeUndefined());
});
