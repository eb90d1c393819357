import { describe, expect, test } from '@jest/globals';
import type { Mask } from '#engine';
import { readRequest } from './codec.js';
import { fieldMasks, maskedStatus } from './masking.js';
import type { ResourceRequest } from './request-info.js';

/** What an API server answers, as a client sees it for whom fields are masked. */

const key = 'ab'.repeat(32);
const canary = 'canary-7f3a';
const base64 = (text: string) => Buffer.from(text).toString('base64');
const mask = (resource: string, how: Mask['with'] = 'redact'): Mask => ({
  resource,
  with: how,
  scope: 'source',
  code: 'masked',
});
const secretMasks = [mask('secrets:data'), mask('secrets:stringData')];

const asked = (line: string, body = '', fields: readonly string[] = []) => {
  const [method = '', url = ''] = line.split(' ');
  return readRequest(method, url, fields, Buffer.from(body));
};
const masksOf = (line: string, masks: readonly Mask[] = secretMasks) =>
  fieldMasks(masks, asked(line).info as ResourceRequest, () => key);

const secret = {
  kind: 'Secret',
  apiVersion: 'v1',
  metadata: {
    name: 'db',
    resourceVersion: '9007199254740993',
    annotations: {
      'kubectl.kubernetes.io/last-applied-configuration': `{"data":{"password":"${base64(canary)}"}}`,
      a: 'b',
    },
    managedFields: [{ manager: 'kubectl', fieldsV1: { 'f:data': { [`v:"${canary}"`]: {} } } }],
  },
  data: { password: base64(canary), user: base64(`x${canary}`) },
  type: 'Opaque',
};
const get = 'GET /api/v1/namespaces/shop/secrets/db';
const list = 'GET /api/v1/namespaces/shop/secrets';
const shows = (text: string) =>
  [canary, base64(canary), base64(`x${canary}`), base64(`xx${canary}`)].some((form) =>
    text.includes(form.replace(/=+$/, '')),
  );

test.each([
  ['redact and hash', ['redact', 'hash'], 'Kioq'],
  ['hash and redact', ['hash', 'redact'], 'Kioq'],
  ['hash and null', ['hash', 'null'], null],
  ['null and redact', ['null', 'redact'], null],
] as const)(
  'of masks with %s on one value the strictest holds, in whichever order they stand',
  (_name, hows, shown) => {
    const everywhere = hows.map((how) => mask('secrets:data.password', how));
    const around = [mask('secrets:data', hows[0]), mask('secrets:data.password', hows[1])];
    for (const masks of [everywhere, around]) {
      const { data } = JSON.parse(masksOf(get, masks)!.mask(JSON.stringify(secret))) as { data: { password: unknown } };
      expect(data.password).toBe(shown);
    }
  },
);

describe('masks of fields', () => {
  test.each([
    ['one object', get, secret],
    ['a list', list, { kind: 'SecretList', items: [secret, secret] }],
    ['an event of a watch', 'GET /api/v1/secrets?watch=1', { type: 'ADDED', object: secret }],
    ['what a deletion answers', 'DELETE /api/v1/namespaces/shop/secrets/db', secret],
    [
      'what a deletion of all answers',
      'DELETE /api/v1/namespaces/shop/secrets',
      { kind: 'SecretList', items: [secret] },
    ],
    ['what a write answers', 'PUT /api/v1/namespaces/shop/secrets/db', secret],
    ['a status subresource', 'GET /api/v1/namespaces/shop/secrets/db/status', secret],
    ['metadata alone', list, { kind: 'PartialObjectMetadataList', items: [{ metadata: secret.metadata }] }],
    ['values that are no text', get, { ...secret, data: { a: [canary], b: { c: canary }, d: 7 } }],
  ])('hide values in %s', (_name, line, answer) => {
    const masked = masksOf(line)!.mask(JSON.stringify(answer));
    expect(shows(masked)).toBe(false);
    expect(masked).toContain('"metadata"');
  });

  test('keep what clients need: keys, types, numbers as they were', () => {
    const masked = JSON.parse(masksOf(get)!.mask(JSON.stringify(secret))) as typeof secret;
    expect(masked).toEqual({
      ...secret,
      metadata: {
        ...secret.metadata,
        annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', a: 'b' },
        managedFields: [],
      },
      data: { password: base64('***'), user: base64('***') },
    });
  });

  test('reach into lists, by kind and group, or for all kinds', () => {
    const deployment = { spec: { template: { spec: { containers: [{ env: [{ name: 'A', value: canary }] }] } } } };
    const line = 'GET /apis/apps/v1/namespaces/shop/deployments/web';
    const path = 'spec.template.spec.containers[*].env[*].value';
    for (const resource of [`deployments.apps:${path}`, `*:${path}`, '*:**.value']) {
      const masked = masksOf(line, [mask(resource)])!.mask(JSON.stringify(deployment));
      expect(masked).toBe(JSON.stringify(deployment).replace(canary, '***'));
    }
    expect(masksOf(line, [mask(`deployments:${path}`)])).toBeUndefined();
    expect(masksOf(line, [mask(`pods:${path}`)])).toBeUndefined();
  });

  test('null and hash', () => {
    const masked = (how: Mask['with']) =>
      (JSON.parse(masksOf(get, [mask('secrets:data', how)])!.mask(JSON.stringify(secret))) as typeof secret).data;
    expect(masked('null')).toEqual({ password: null, user: null });
    const { password, user } = masked('hash');
    expect(Buffer.from(password, 'base64').toString()).toMatch(/^hash:[0-9a-f]{32}$/);
    expect(user).not.toBe(password);
  });

  test.each([
    ['without a kind', mask('data'), 'write RESOURCE:FIELD'],
    ['on what is no path', mask('secrets:data..x'), 'is no path'],
    ['that objects cannot have', mask('secrets:data', 'partial'), 'null, redact or hash'],
  ])('a mask %s is refused', (_name, bad, message) => {
    expect(() => masksOf(get, [bad])).toThrow(message);
  });

  test('hold for no stream, and for no other object', () => {
    expect(masksOf('GET /api/v1/namespaces/shop/secrets/db/log')).toBeUndefined();
    expect(masksOf('GET /api/v1/namespaces/shop/pods/web')).toBeUndefined();
  });
});

const patch = (type: string) => ['content-type', `application/${type}`];
describe('where fields are masked, a request is refused that', () => {
  test.each([
    [
      'selects by a masked field',
      'GET /api/v1/pods?fieldSelector=status.podIP=10.0.0.1',
      '',
      [],
      'nothing can be selected',
    ],
    ['selects by what is below', 'GET /api/v1/pods?fieldSelector=status.podIP.x!=1', '', [], 'nothing can be selected'],
    ['selects by labels that are masked', 'GET /api/v1/pods?labelSelector=a', '', [], 'nothing can be selected'],
    ['writes a mask back', 'PUT /api/v1/namespaces/a/pods/b', '{"status":{"podIP":"***"}}', [], 'as it was masked'],
    [
      'writes nothing in its place',
      'PUT /api/v1/namespaces/a/pods/b',
      '{"status":{"podIP":null}}',
      [],
      'as it was masked',
    ],
    [
      'writes a hash back',
      'PUT /api/v1/namespaces/a/pods/b',
      `{"status":{"podIP":"hash:${'0'.repeat(32)}"}}`,
      [],
      'as it was masked',
    ],
    [
      'merges a mask back',
      'PATCH /api/v1/namespaces/a/pods/b',
      '{"status":{"podIP":"***"}}',
      patch('merge-patch+json'),
      'as it was masked',
    ],
    [
      'applies a mask back',
      'PATCH /api/v1/namespaces/a/pods/b',
      'status:\n  podIP: "***"\n',
      patch('apply-patch+yaml'),
      'as it was masked',
    ],
    [
      'tests a value',
      'PATCH /api/v1/namespaces/a/pods/b',
      '[{"op":"test","path":"/status/podIP","value":"x"}]',
      patch('json-patch+json'),
      'neither test',
    ],
    [
      'copies a value',
      'PATCH /api/v1/namespaces/a/pods/b',
      '[{"op":"copy","from":"/status/podIP","path":"/metadata/labels/x"}]',
      patch('json-patch+json'),
      'neither test',
    ],
    [
      'moves a value',
      'PATCH /api/v1/namespaces/a/pods/b',
      '[{"op":"move","from":"/status/podIP","path":"/x"}]',
      patch('json-patch+json'),
      'neither test',
    ],
    [
      'patches a mask in',
      'PATCH /api/v1/namespaces/a/pods/b',
      '[{"op":"replace","path":"/status","value":{"podIP":"***"}}]',
      patch('json-patch+json'),
      'writes a masked value',
    ],
  ])('%s', (_name, line, body, fields, message) => {
    const request = asked(line, body, fields);
    const masks = fieldMasks(
      [mask('pods:status.podIP'), mask('pods:metadata.labels')],
      request.info as ResourceRequest,
      () => key,
    );
    expect(() => masks!.check(request)).toThrow(message);
  });

  test.each([
    ['selects by another field', 'GET /api/v1/pods?fieldSelector=metadata.name=a', '', []],
    [
      'writes another field',
      'PATCH /api/v1/namespaces/a/pods/b',
      '{"metadata":{"annotations":{"a":"b"}}}',
      patch('merge-patch+json'),
    ],
    [
      'writes a value anew',
      'PATCH /api/v1/namespaces/a/pods/b',
      '[{"op":"replace","path":"/status/podIP","value":"10.0.0.2"}]',
      patch('json-patch+json'),
    ],
  ])('but not one that %s', (_name, line, body, fields) => {
    const request = asked(line, body, fields);
    expect(() =>
      fieldMasks([mask('pods:status.podIP')], request.info as ResourceRequest, () => key)!.check(request),
    ).not.toThrow();
  });
});

test('an error that quotes nothing stays, one that may is told without its words', () => {
  const status = (reason: string) => JSON.stringify({ kind: 'Status', reason, message: `it is ${canary}`, code: 422 });
  expect(maskedStatus(status('NotFound'))).toBe(status('NotFound'));
  for (const text of [status('Invalid'), status('BadRequest'), status(''), canary, `{"message":"${canary}"}`])
    expect(maskedStatus(text)).not.toContain(canary);
  expect(maskedStatus(status('Invalid'))).toContain('"reason":"Invalid"');
});
