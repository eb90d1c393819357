import { describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readRequest } from '../codec.js';
import { operationOf } from '../operation.js';
import { jsonOfProtobuf, protobuf } from './json.js';

/** What policy is shown of a write: the same, in whichever form it comes. */

const vectors = readFileSync(join(import.meta.dirname, 'vectors.jsonl'), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as { protobuf: string; json: { kind: string } })
  .map((vector) => ({ ...vector, kind: vector.json.kind }));

const paths: Readonly<Record<string, readonly [string, string]>> = {
  DeleteOptions: ['DELETE', '/apis/apps/v1/namespaces/shop/deployments/web'],
  Eviction: ['POST', '/api/v1/namespaces/shop/pods/web/eviction'],
  Binding: ['POST', '/api/v1/namespaces/shop/pods/web/binding'],
  Scale: ['PUT', '/apis/apps/v1/namespaces/shop/deployments/web/scale'],
  TokenRequest: ['POST', '/api/v1/namespaces/shop/serviceaccounts/agent/token'],
  Secret: ['PUT', '/api/v1/namespaces/shop/secrets/db'],
};

describe('a write in protobuf', () => {
  test.each(vectors)('is the same operation as in JSON: $kind', ({ protobuf: digits, json, kind }) => {
    const [method, path] = paths[kind] ?? ['POST', '/apis/example.com/v1/namespaces/shop/things'];
    const operation = (media: string, bytes: Buffer) => {
      const request = readRequest(method, path, ['Content-Type', media], bytes);
      expect(request.body.media).toBe('application/json');
      return operationOf(request, { host: 'api:443', impersonate: false });
    };
    const bytes = Buffer.from(digits, 'hex');
    const own = operation(protobuf, bytes);
    // To the hash, which is that of what leaves.
    expect(own).toEqual(operation('application/json', Buffer.from(jsonOfProtobuf(bytes))));
    // As client-go itself would have written it: only the order of its fields, and so the hash, may differ.
    const { hash } = own;
    expect(own).toEqual({ ...operation('application/json', Buffer.from(JSON.stringify(json))), hash });
    expect(own.opaque).toBe(false);
  });

  test('that is more than policy looks at is opaque, as in JSON', () => {
    const value = Buffer.alloc(1_100_000, 'x');
    const length = (size: number) => Buffer.from([(size & 0x7f) | 0x80, ((size >> 7) & 0x7f) | 0x80, size >> 14]);
    const field = (tag: number, bytes: Buffer) => Buffer.concat([Buffer.from([tag]), length(bytes.length), bytes]);
    const entry = field(0x12, Buffer.concat([Buffer.from('\n\x01a'), field(0x12, value)]));
    const meta = Buffer.from('k8s\0\n\x0f\n\x02v1\x12\x09ConfigMap');
    const bytes = Buffer.concat([meta, field(0x12, entry)]);
    const request = readRequest('POST', '/api/v1/namespaces/a/configmaps', ['Content-Type', protobuf], bytes);
    expect(request.body).toMatchObject({ opaque: true, media: 'application/json' });
    expect(JSON.parse(request.body.bytes.toString())).toMatchObject({
      kind: 'ConfigMap',
      data: { a: value.toString() },
    });
  });
});
