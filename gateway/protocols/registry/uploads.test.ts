import { randomBytes } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { UploadSeal } from './uploads.js';

const owner = { issuer: 'https://idp.example', subject: 'agent:a', target: 'images', repository: 'team/app' };
const upload = { ...owner, place: '/v2/team/app/blobs/uploads/1?_state=x', expires_ms: 1_000 };
const seal = new UploadSeal(randomBytes(32));

test('an upload is opened for whom it was sealed, in time, and shows nothing', () => {
  const sealed = seal.seal(upload);
  expect(sealed).toMatch(/^[\w-]+$/);
  expect(seal.open(sealed, owner, 999)).toEqual(upload);
  expect(() => seal.open(sealed, owner, 1_000)).toThrow(/upload/);
});

test.each([
  ['issuer', 'https://other.example'],
  ['subject', 'agent:b'],
  ['target', 'others'],
  ['repository', 'team/other'],
])('an upload of another %s is none', (name, value) => {
  expect(() => seal.open(seal.seal(upload), { ...owner, [name]: value }, 0)).toThrow(/upload/);
});

test('an upload that was sealed elsewhere, or changed, is none', () => {
  expect(() => seal.open(new UploadSeal(randomBytes(32)).seal(upload), owner, 0)).toThrow(/upload/);
  expect(() => seal.open(`A${seal.seal(upload).slice(1)}B`, owner, 0)).toThrow(/upload/);
});
