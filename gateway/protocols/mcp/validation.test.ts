import { describe, expect, test } from '@jest/globals';
import { compileSchema } from './validation.js';

describe('arguments against a schema', () => {
  const schema = {
    type: 'object',
    properties: { words: { type: 'string', maxLength: 5 } },
    required: ['words'],
    additionalProperties: false,
  };

  test('are the same check for each session that lists the same tool, and each says what is wrong with its own', () => {
    const one = compileSchema(schema);
    const other = compileSchema(structuredClone(schema));
    expect(one({ words: 'x' })).toBeUndefined();
    expect(one({ words: 7 })).toBe('/words must be string');
    expect(other({ words: 'x', more: 1 })).toBe('must NOT have additional properties');
    expect(one({ words: 'x' })).toBeUndefined();
  });

  test('a schema that says one word otherwise is another one', () => {
    const longer = { ...schema, properties: { words: { type: 'string', maxLength: 50 } } };
    expect(compileSchema(schema)({ words: 'too long' })).toBe('/words must NOT have more than 5 characters');
    expect(compileSchema(longer)({ words: 'too long' })).toBeUndefined();
  });

  test('that are large are checked as small ones are', () => {
    const check = compileSchema({ type: 'object', additionalProperties: { type: 'string' } });
    const large = Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`name-${String(at)}`, 'x'.repeat(20)]));
    expect(check(large)).toBeUndefined();
    expect(check({ ...large, last: 7 })).toBe('/last must be string');
  });

  test('one session in which a check took too long takes nothing from the others', () => {
    // Each reference doubles the next one.
    const $defs = Object.fromEntries(
      Array.from({ length: 40 }, (_, at) => {
        const next = { $ref: `#/$defs/d${String(at + 1)}` };
        return [`d${String(at)}`, at === 39 ? { type: 'object' } : { allOf: [next, next] }];
      }),
    );
    const doubling = { type: 'object', properties: { deep: { $ref: '#/$defs/d0' } }, $defs };
    const one = compileSchema(doubling);
    expect(one({ deep: {} })).toMatch(/takes too long/);
    expect(one({})).toMatch(/takes too long/);
    expect(compileSchema(doubling)({})).toBeUndefined();
  });
});
