import { expect, test } from '@jest/globals';
import { ConfigError } from '../errors.js';
import { whatWouldDiffer, type SearchOptions } from './differing.js';
import { readRequest } from './request.js';
import { readStatement } from './statement.js';

test('names of a query may be any, and a path with two slashes names no host', () => {
  const { http } = readRequest('GET //v1/a?__proto__=1&constructor=2&constructor=3') as unknown as {
    http: { query: object; path: string };
  };
  expect(Object.entries(http.query)).toEqual([
    ['__proto__', ['1']],
    ['constructor', ['2', '3']],
  ]);
  expect(http.path).toBe('//v1/a?__proto__=1&constructor=2&constructor=3');
});

test('a statement that is nested very deeply is refused, and the next one is read', async () => {
  for (const times of [1_500, 4_000, 30_000]) {
    await expect(readStatement(`select ${'1+'.repeat(times)}1 from a`)).rejects.toThrow(ConfigError);
  }
  expect((await readStatement('select 1 from a')).action).toBe('read');
});

test('on a large operation fewer values are tried, and it is said that not all were', () => {
  let decided = 0;
  const revision = { id: 'r', reads: () => true, decide: () => (decided++, { outcome: 'deny', reasons: [] }) };
  const values = Array.from({ length: 500 }, (_, at) => `value-${String(at)}`);
  const input = (text: string) => ({
    principal: { groups: [], roles: [] },
    target: { name: 'a', protocol: 'http' },
    operation: { http: { text } },
  });
  const search = (text: string) => {
    decided = 0;
    const options = { revision, input: input(text), values, targets: [], tries_max: 600, tried_chars_max: 1_000_000 };
    return whatWouldDiffer(options as unknown as SearchOptions);
  };
  expect(search('x'.repeat(100_000))).toMatchObject({ tried: 9, complete: false });
  // And once as it is.
  expect(decided).toBe(10);
  expect(search('x')).toMatchObject({ tried: 600 });
});
