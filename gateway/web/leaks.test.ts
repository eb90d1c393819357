import { describe, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { refuseLeak } from './leaks.js';

const token = `eyJ${randomBytes(60).toString('base64url')}.${randomBytes(30).toString('base64url')}`;
const base64 = (text: string) => Buffer.from(text).toString('base64');
const found = (part: string | Buffer, of = token): boolean => {
  try {
    refuseLeak(['before', part], of);
    return false;
  } catch {
    return true;
  }
};

describe('a token', () => {
  test.each([
    ['as it is', token],
    ['inside of something', `a=${token}&b=1`],
    ['in bytes', Buffer.from(`{"a":"${token}"}`)],
    ['as the password of Basic', `Basic ${base64(`x:${token}`)}`],
    ['behind two letters', base64(`ab${token}`)],
    ['behind three letters, and before others', base64(`abc${token}:end`)],
    ['in base64 for URLs', Buffer.from(`agent:${token}`).toString('base64url')],
    ['in a login file', Buffer.from(JSON.stringify({ auths: { gate: { auth: base64(`me:${token}`) } } }))],
  ])('%s is found', (_how, part) => expect(found(part)).toBe(true));

  test('behind any number of letters is found', () => {
    for (let before = 0; before < 9; before++)
      for (let behind = 0; behind < 4; behind++)
        expect(found(base64('é'.repeat(before % 2) + 'b'.repeat(before) + token + 'c'.repeat(behind)))).toBe(true);
  });

  test('of somebody else is not, nor a part of it', () => {
    const other = `eyJ${randomBytes(60).toString('base64url')}.x`;
    for (const part of [other, base64(`x:${other}`), token.slice(1), base64(token.slice(1)), '', Buffer.alloc(0)])
      expect(found(part)).toBe(false);
  });

  test('that is short is found as it is alone', () => {
    expect(found('a short-one here', 'short-one')).toBe(true);
    expect(found(base64('short-one'), 'short-one')).toBe(false);
  });
});
