import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { toJson } from './json.js';

function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const part of Object.values(value)) frozen(part);
  return Object.freeze(value);
}

describe('the text is that of JSON.stringify', () => {
  const odd = fc.oneof(
    fc.constantFrom(undefined, Number.NaN, -0, () => 1, Symbol('s'), new Date(0), '\ud800', '\u2028'),
  );
  const values = fc.object({
    key: fc.string(),
    values: [fc.string(), fc.double(), fc.boolean(), fc.constant(null), odd],
  });

  test('for any object, frozen or not, also the second time', () => {
    fc.assert(
      fc.property(values, (value) => {
        const text = JSON.stringify(value);
        expect(toJson(value)).toBe(text);
        const whole = frozen(structuredCloneOfPlain(value));
        expect([toJson(whole), toJson(whole)]).toEqual([JSON.stringify(whole), JSON.stringify(whole)]);
        expect(toJson({ part: whole, list: [whole], other: value })).toBe(
          JSON.stringify({ part: whole, list: [whole], other: value }),
        );
      }),
    );
  });

  test('for what writes itself, and for what stands in no object of its own', () => {
    const own = { toJSON: () => 'own' };
    for (const value of [
      own,
      { own },
      [own],
      new (class A {
        x = 1;
      })(),
      Object.create({ inherited: 1 }),
      new Map([[1, 2]]),
      'text',
      7,
      null,
      undefined,
    ]) {
      expect(toJson(value)).toBe(JSON.stringify(value));
    }
  });
});

test('what can change is written as it is now', () => {
  const inner = { n: 1 };
  const shallow = Object.freeze({ inner });
  expect(toJson(shallow)).toBe('{"inner":{"n":1}}');
  inner.n = 2;
  expect(toJson(shallow)).toBe('{"inner":{"n":2}}');

  const date = Object.freeze({ date: Object.freeze(new Date(0)) });
  expect(toJson(date)).toBe('{"date":"1970-01-01T00:00:00.000Z"}');
  date.date.setTime(1_000);
  expect(toJson(date)).toBe('{"date":"1970-01-01T00:00:01.000Z"}');

  let count = 0;
  const accessor = Object.freeze(Object.defineProperty({}, 'n', { enumerable: true, get: () => ++count }));
  expect([toJson(accessor), toJson(accessor)]).toEqual(['{"n":1}', '{"n":2}']);

  const writes = Object.freeze({ toJSON: () => ++count });
  expect([toJson(writes), toJson(writes)]).toEqual(['3', '4']);
});

test('what JSON cannot say throws', () => {
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  expect(() => toJson(circle)).toThrow(TypeError);
  expect(() => toJson({ deep: { big: 1n } })).toThrow(TypeError);
});

/** fast-check shares what it made between runs: frozen is only a copy. Functions and symbols go. */
function structuredCloneOfPlain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(structuredCloneOfPlain);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, structuredCloneOfPlain(part)]));
}
