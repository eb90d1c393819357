import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startTestApi, type TestApi } from '../../test/support/api.js';
import { policyHookGate } from './policy-hook.js';

const secret = 'a secret of the forge';
let api: TestApi;
let pushed = 0;
beforeAll(async () => {
  api = await startTestApi({ gates: () => [policyHookGate(secret, () => (pushed += 1), Date.now)] });
});
afterAll(() => api?.close());

const body = '{"ref":"refs/heads/main"}';
const hook = (headers: Record<string, string>) =>
  api.call('/v1/policy-hook', { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });
const signature = (key: string) => `sha256=${createHmac('sha256', key).update(body).digest('hex')}`;

test('a message that is signed has the repository asked, whichever forge it comes from', async () => {
  expect((await hook({ 'x-hub-signature-256': signature(secret) })).status).toBe(202);
  expect((await hook({ 'x-gitlab-token': secret })).status).toBe(202);
  expect(pushed).toBe(2);
});

test('a large one is hashed as it comes', async () => {
  const large = Buffer.alloc(3_000_000, 'x');
  const headers = { 'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(large).digest('hex')}` };
  expect((await api.call('/v1/policy-hook', { method: 'POST', body: large, headers })).status).toBe(202);
  const other = { method: 'POST', body: large.fill('y', 2_999_999), headers };
  expect((await api.call('/v1/policy-hook', other)).status).toBe(401);
});

test('one that is not, or by another secret, has not, and whoever guesses is slowed down', async () => {
  const before = pushed;
  expect((await hook({})).status).toBe(401);
  expect((await hook({ 'x-hub-signature-256': signature('another') })).status).toBe(401);
  // A token does not stand in for a signature that is wrong.
  expect((await hook({ 'x-hub-signature-256': signature('another'), 'x-gitlab-token': secret })).status).toBe(401);
  for (let guess = 0; guess < 8; guess++) await hook({ 'x-gitlab-token': `guess ${guess}` });
  expect((await hook({ 'x-gitlab-token': 'guess' })).status).toBe(429);
  // Then no body of theirs is waited for: here none comes.
  const headers = { 'content-type': 'application/json', 'content-length': '26000000', connection: 'close' };
  expect((await api.call('/v1/policy-hook', { method: 'POST', headers })).status).toBe(429);
  expect(pushed).toBe(before);
});
