import { expect, test } from '@jest/globals';
import { fetchedToken } from './fetched-token.js';

const options = { names: ['token', 'access_token'], asked_ms: 1_000, lifetime_seconds_default: 300, early_ms: 60_000 };
const read = (answer: object | string) =>
  fetchedToken(typeof answer === 'string' ? answer : JSON.stringify(answer), options);

test.each([
  ['with a lifetime', { access_token: 'x', expires_in: 3_600 }, { token: 'x', until_ms: 1_000 + 3_540_000 }],
  ['whose lifetime is a text', { access_token: 'x', expires_in: '3600' }, { until_ms: 1_000 + 3_540_000 }],
  ['with a short one', { access_token: 'x', expires_in: 60 }, { until_ms: 1_000 + 30_000 }],
  ['without one', { access_token: 'x' }, { until_ms: 1_000 + 240_000 }],
  ['with one that is no number', { access_token: 'x', expires_in: 'soon' }, { until_ms: 1_000 + 240_000 }],
  ['with one that is over', { access_token: 'x', expires_in: -5 }, { until_ms: 1_000 }],
  ['with one of years', { access_token: 'x', expires_in: 1e9 }, { until_ms: 1_000 + 86_340_000 }],
  ['of a type', { access_token: 'x', token_type: 'Bearer' }, { type: 'bearer' }],
  ['of a type that is none', { access_token: 'x', token_type: 7 }, { type: undefined }],
  ['by its first name', { access_token: 'other', token: 'x' }, { token: 'x' }],
  ['by its second', { access_token: 'x', token: null }, { token: 'x' }],
])('a token %s', (_what, answer, found) => expect(read(answer)).toMatchObject(found));

test.each([
  ['what is no JSON', '{"token":'],
  ['nothing', 'null'],
  ['an answer without one', { expires_in: 5 }],
  ['one that is no text', { token: 7 }],
  ['one that fits into no field', { token: 'a b' }],
  ['an empty one', { token: '' }],
])('%s is none', (_what, answer) => expect(read(answer)).toBeUndefined());
