import { expect, test } from '@jest/globals';
import { signed, signerOf, type AwsKey, type Signable } from './sigv4.js';

/**
 * Requests and the signatures that AWS publishes for them.
 *
 * @see "Signature Version 4 test suite"; IAM and S3 documentation, "Authenticating requests"
 */

const suite: AwsKey = {
  region: 'us-east-1',
  service: 'service',
  access_key_id: 'AKIDEXAMPLE',
  secret_access_key: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
};
const s3: AwsKey = {
  region: 'us-east-1',
  service: 's3',
  access_key_id: 'AKIAIOSFODNN7EXAMPLE',
  secret_access_key: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};
const then = Date.parse('2015-08-30T12:36:00Z');
const before = Date.parse('2013-05-24T00:00:00Z');
const bucket = 'examplebucket.s3.amazonaws.com';

interface Case {
  readonly key?: AwsKey;
  readonly at?: number;
  readonly method?: string;
  readonly path?: string;
  readonly query?: readonly [string, string][];
  readonly fields?: Readonly<Record<string, string>>;
  readonly body?: string;
}

function signatureOf({ key = suite, at = then, method = 'GET', path = '/', query = [], fields = {}, body = '' }: Case) {
  const request: Signable = {
    method,
    path,
    segments: path.slice(1).split('/').map(decodeURIComponent),
    query: query.map(([name, value]) => ({ name, value })),
    fields: new Map(Object.entries({ host: key === s3 ? bucket : 'example.amazonaws.com', ...fields })),
    body: Buffer.from(body),
  };
  return /Signature=([0-9a-f]{64})$/.exec(signed(request, key, at)['authorization'] ?? '')?.[1];
}

const form = { 'content-type': 'application/x-www-form-urlencoded' };

test.each<[string, string, Case]>([
  ['get-vanilla', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31', {}],
  ['post-vanilla', '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b', { method: 'POST' }],
  [
    'get-vanilla-query-order-key-case',
    'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
    {
      query: [
        ['Param2', 'value2'],
        ['Param1', 'value1'],
      ],
    },
  ],
  [
    'post-x-www-form-urlencoded',
    'ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a',
    { method: 'POST', fields: form, body: 'Param1=value1' },
  ],
  [
    'the example of IAM, ListUsers',
    '5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7',
    {
      key: { ...suite, service: 'iam' },
      query: [
        ['Action', 'ListUsers'],
        ['Version', '2010-05-08'],
      ],
      fields: { host: 'iam.amazonaws.com', 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
    },
  ],
  [
    'the example of S3, GET of an object',
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    { key: s3, at: before, path: '/test.txt', fields: { range: 'bytes=0-9' } },
  ],
  [
    'the example of S3, GET ?lifecycle',
    'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    { key: s3, at: before, query: [['lifecycle', '']] },
  ],
  [
    'the example of S3, a list',
    '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    {
      key: s3,
      at: before,
      query: [
        ['max-keys', '2'],
        ['prefix', 'J'],
      ],
    },
  ],
  [
    'the example of S3, PUT',
    '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    {
      key: s3,
      at: before,
      method: 'PUT',
      path: '/test%24file.text',
      fields: { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
      body: 'Welcome to Amazon S3.',
    },
  ],
])('%s', (_name, signature, request) => {
  expect(signatureOf(request)).toBe(signature);
});

test('a session token is signed, and who signed is found', () => {
  const request = {
    method: 'GET',
    path: '/',
    segments: [''],
    query: [],
    fields: new Map([['host', 'h']]),
    body: Buffer.alloc(0),
  };
  const fields = signed(request, { ...suite, session_token: 'st' }, then);
  expect(fields['authorization']).toContain('SignedHeaders=host;x-amz-date;x-amz-security-token,');
  expect(signerOf(fields['authorization'] ?? '')).toBe('AKIDEXAMPLE');
  expect(signerOf('Bearer x')).toBeUndefined();
});
