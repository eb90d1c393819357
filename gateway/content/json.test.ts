import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { editJson, findInJson, JsonError, readJsonPath } from './json.js';

const masked = (text: string, ...paths: string[]) => editJson(text, paths.map(readJsonPath), () => '"*"');

describe('values in a JSON text', () => {
  test.each([
    ['a member', '{"a":1,"b":2}', 'a', '{"a":"*","b":2}'],
    ['a member of a member', '{"a":{"b":"x"},"b":"y"}', 'a.b', '{"a":{"b":"*"},"b":"y"}'],
    ['any member', '{"data":{"x":"1","y":"2"}}', 'data.*', '{"data":{"x":"*","y":"*"}}'],
    ['each element', '{"a":[{"v":1},{"v":2,"w":3}]}', 'a[*].v', '{"a":[{"v":"*"},{"v":"*","w":3}]}'],
    ['a name with dots', '{"a":{"b.c/d":1}}', 'a["b.c/d"]', '{"a":{"b.c/d":"*"}}'],
    ['any depth', '{"p":1,"a":[{"p":2}],"b":{"c":{"p":3}}}', '**.p', '{"p":"*","a":[{"p":"*"}],"b":{"c":{"p":"*"}}}'],
    ['all in what it leads to', '{"a":{"b":[1,true,null],"c":{}}}', 'a', '{"a":{"b":["*","*","*"],"c":{}}}'],
    ['a name that is written with escapes', '{"\\u0061":1}', 'a', '{"\\u0061":"*"}'],
    ['each of two of one name', '{"a":1,"a":2}', 'a', '{"a":"*","a":"*"}'],
    ['elements at the top', '[{"a":1},{"a":2}]', '[*].a', '[{"a":"*"},{"a":"*"}]'],
    ['nothing, where members are no elements', '{"a":{"0":1}}', 'a[*]', '{"a":{"0":1}}'],
    [
      'with every other byte as it was',
      ' {"a" :\t1.50e+03 , "b":9007199254740993}\n',
      'a',
      ' {"a" :\t"*" , "b":9007199254740993}\n',
    ],
  ])('%s', (_name, text, path, expected) => {
    expect(masked(text, path)).toBe(expected);
  });

  test('of two paths the first counts, and one that leads deeper adds nothing', () => {
    const [value] = findInJson('{"a":{"b":1}}', [readJsonPath('a.b'), readJsonPath('*')]);
    expect(value).toMatchObject({ path: 1, kind: 'number' });
  });

  test('an object is one value where its path asks for it whole', () => {
    const paths = [readJsonPath('a'), readJsonPath('b')];
    expect(editJson('{"a":{"x":[1]},"b":{"y":2}}', paths, () => '0', new Set([0]))).toBe('{"a":0,"b":{"y":0}}');
  });

  test('a text that no path leads into is the same text', () => {
    const text = '{"a":[1,2,3]}';
    expect(masked(text, 'b')).toBe(text);
  });

  test.each([
    '',
    '{',
    '{"a"}',
    '{"a":}',
    '[1,]',
    '{"a":1,}',
    '01',
    '1.',
    '"\n"',
    '"\\x"',
    'nul',
    '1 2',
    "{'a':1}",
    'NaN',
    '"a',
  ])('refuses %j', (text) => {
    expect(() => findInJson(text, [])).toThrow(JsonError);
  });

  test('many depths in one path take no longer than one', () => {
    const text = `${'{"a":'.repeat(200)}1${'}'.repeat(200)}`;
    expect(masked(text, Array.from({ length: 30 }, () => '**').join('.a.'))).toContain('"*"');
  });

  test('refuses what is too deep', () => {
    expect(() => findInJson('['.repeat(300) + ']'.repeat(300), [])).toThrow('deeper than 256');
  });

  test.each(['', '.', '.a', 'a["\\x"]', 'a[*]b', 'a.', 'a..b', 'a[', 'a[0]', 'a b', 'a["x]', '[*', 'a*'])(
    '%j is no path',
    (text) => {
      expect(() => readJsonPath(text)).toThrow(JsonError);
    },
  );

  test('takes what JSON.parse takes, and finds every value of every name', () => {
    const names = fc.constantFrom('a', 'b', 'secret', 'x.y', 'é', '"', '\\');
    const { document } = fc.letrec((tie) => ({
      document: fc.oneof(
        { maxDepth: 4 },
        fc.string({ unit: 'grapheme' }),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('document'), { maxLength: 4 }),
        fc.dictionary(names, tie('document'), { maxKeys: 4 }),
      ),
    }));
    const without = (value: unknown, inside = false): unknown => {
      if (Array.isArray(value)) return value.map((each) => without(each, inside));
      if (typeof value === 'object' && value !== null)
        return Object.fromEntries(
          Object.entries(value).map(([name, each]) => [name, without(each, inside || name === 'secret')]),
        );
      return inside ? '*' : value;
    };
    fc.assert(
      fc.property(document, fc.constantFrom(undefined, 1, '\t'), (value, space) => {
        const text = JSON.stringify(value, null, space);
        expect(JSON.parse(masked(text, '**.secret'))).toEqual(JSON.parse(JSON.stringify(without(value))));
      }),
    );
  });

  test('agrees with JSON.parse on what is JSON', () => {
    const pieces = fc.array(
      fc.constantFrom(
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        '"a"',
        '"',
        '\\',
        '0',
        '1',
        '-',
        '.',
        'e',
        'true',
        'null',
        ' ',
        '\u00a0',
      ),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(pieces, (parts) => {
        const text = parts.join('');
        const taken = (read: () => unknown) => {
          try {
            read();
            return true;
          } catch {
            return false;
          }
        };
        expect(taken(() => findInJson(text, []))).toBe(taken(() => JSON.parse(text)));
      }),
      { numRuns: 3000 },
    );
  });
});
