import { expect, test } from '@jest/globals';
import { inputOf } from '../../test/support/policy.js';
import { PromptsInMemory, registered } from './prompts.js';

const { principal } = inputOf();
const identity = { principal, expires_ms: Date.now() + 60_000 };
const other = { ...principal, subject: 'agent:other' };
const trace = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;

test('an operation that names a registered prompt has its text and trace, whether it says an id or an id in the place of a text', async () => {
  const prompts = new PromptsInMemory();
  const { id } = await prompts.register(identity, { text: 'Tidy up.', trace });
  const whole = { id, text: 'Tidy up.', trace };
  expect(registered({ id }, principal, prompts)).toEqual(whole);
  expect(registered({ text: id }, principal, prompts)).toEqual(whole);
  expect(registered({ id: 'of-the-session', text: id }, principal, prompts)).toEqual(whole);
});

test('what the operation itself says goes before', async () => {
  const prompts = new PromptsInMemory();
  const { id } = await prompts.register(identity, { text: 'Tidy up.', trace });
  expect(registered({ id, text: 'Rather not.' }, principal, prompts)).toEqual({ id, text: 'Rather not.', trace });
});

test('a prompt that somebody else registered, or nobody, is an id and no more', async () => {
  const prompts = new PromptsInMemory();
  const { id } = await prompts.register(identity, { text: 'Tidy up.' });
  expect(registered({ id }, other, prompts)).toEqual({ id });
  expect(registered({ id }, { ...principal, issuer: 'https://other.example' }, prompts)).toEqual({ id });
  expect(registered({ id: 'p-unknown' }, principal, prompts)).toEqual({ id: 'p-unknown' });
  expect(registered({ text: 'Tidy up.' }, principal, undefined)).toEqual({ text: 'Tidy up.' });
});
