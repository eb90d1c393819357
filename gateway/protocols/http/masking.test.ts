import { describe, expect, test } from '@jest/globals';
import type { Mask } from '#engine';
import { addressed, readFields, readRequest } from './codec.js';
import { answerMasks, checkMasked } from './masking.js';

const mask = (code: string, resource: string, how: Mask['with'], kinds?: readonly string[]): Mask => ({
  code,
  resource,
  with: how,
  scope: 'source',
  ...(kinds === undefined ? {} : { parameters: { kinds } }),
});
const person = JSON.stringify({ user: { ssn: 'canary', mail: 'ada@example.com', card: '4111 1111 1111 1111' } });
const masked = (...masks: Mask[]) => JSON.parse(answerMasks(masks, () => '0'.repeat(64))!.json(person)) as unknown;
const cards = mask('cards', 'body:**', 'pattern', ['card']);

describe('of masks that meet', () => {
  test.each([
    ['null', null],
    ['redact', '***'],
    ['hash', expect.stringMatching(/^hash:[0-9a-f]{32}$/)],
  ] as const)('%s of a field holds inside of what patterns are looked for in', (how, ssn) => {
    for (const wider of ['body:user', 'body:**', 'body:user.ssn']) {
      const pattern = mask('wide', wider, 'pattern', ['card']);
      const narrow = mask('narrow', 'body:user.ssn', how);
      expect(masked(pattern, narrow)).toMatchObject({ user: { ssn } });
      expect(masked(narrow, pattern)).toMatchObject({ user: { ssn } });
    }
  });

  test('the stricter function has the last word, on an object or in it', () => {
    const hashed = mask('a', 'body:user', 'hash');
    const redacted = mask('b', 'body:user.ssn', 'redact');
    expect(masked(hashed, redacted)).toMatchObject({ user: { ssn: '***' } });
    expect(masked(mask('a', 'body:user', 'redact'), mask('b', 'body:user.ssn', 'null'))).toEqual({
      user: { ssn: null, mail: '***', card: '***' },
    });
  });

  test('patterns look for what each of them looks for', () => {
    const mails = mask('mails', 'body:user', 'pattern', ['email']);
    for (const both of [
      [cards, mails],
      [mails, cards],
    ]) {
      expect(masked(...both)).toEqual({ user: { ssn: 'canary', mail: '***', card: '***' } });
    }
  });
});

test('what is no JSON is told apart without masks of fields, too', () => {
  const masks = answerMasks([mask('content', '*', 'pattern', ['email'])], () => '')!;
  expect(() => masks.json('ada@example.com')).toThrow('no JSON');
});

test('where fields are masked, what names the fields of its answer is refused, in whichever form it is asked', () => {
  const masks = answerMasks([mask('ssn', 'body:**.ssn', 'null')], () => '')!;
  const check = (body: unknown, served: boolean) => () => {
    const fields = readFields(['content-type', 'application/json'], true);
    const reading = { base: '', repeated: new Set<string>(), encodedSlashes: false };
    const request = readRequest(
      ...(['POST', addressed('/http/t/api'), fields, Buffer.from(JSON.stringify(body)), reading] as const),
    );
    checkMasked(request, masks, served);
  };
  expect(check({ query: '{ other: ssn }' }, false)).toThrow(/GraphQL/);
  expect(check({ Query: '{ other: ssn }' }, false)).toThrow(/GraphQL/);
  expect(check({ id: 'kept-by-the-server' }, true)).toThrow(/GraphQL/);
  expect(check({ id: '7' }, false)).not.toThrow();
});
