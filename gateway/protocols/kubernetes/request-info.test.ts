import { describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { readAddress } from './address.js';
import { requestInfo, type ResourceRequest } from './request-info.js';

interface Case {
  readonly request: string;
  /** Of a resource: what the API server makes of it; absent parts are empty. */
  readonly is?: Partial<ResourceRequest>;
  readonly path?: string;
  readonly refused?: string;
}

const cases = parse(readFileSync(join(import.meta.dirname, 'request-info.yaml'), 'utf8')) as readonly Case[];

describe('a request is what the API server takes it for', () => {
  test.each(cases)('$request', ({ request, is, path, refused }) => {
    const [method = '', url = ''] = request.split(' ');
    const read = () => requestInfo(method, readAddress(url));
    if (refused !== undefined) {
      expect(read).toThrow(refused);
      return;
    }
    if (path !== undefined) {
      expect(read()).toEqual({ isResource: false, verb: method.toLowerCase(), path });
      return;
    }
    const { parts, prefix, ...info } = read() as ResourceRequest;
    expect(prefix).toBe(url.split('/')[1]);
    expect(parts[0]).toBe(info.resource);
    expect(info).toEqual({
      isResource: true,
      group: '',
      version: 'v1',
      namespace: '',
      subresource: '',
      name: '',
      fieldSelector: '',
      labelSelector: '',
      ...is,
    });
  });

  test('has one spelling, whichever it came in', () => {
    const spelt = (url: string) => readAddress(url).text;
    expect(spelt('/api/v1/namespaces/shop/p%6fds/')).toBe('/api/v1/namespaces/shop/pods');
    expect(spelt('/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node')).toBe(
      '/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node',
    );
    expect(spelt('/api/v1/pods?labelSelector=a+in+(b,c)&&watch')).toBe(
      '/api/v1/pods?labelSelector=a%20in%20%28b%2Cc%29&watch',
    );
    expect(spelt('/api/v1/pods?command=a&command=b')).toBe('/api/v1/pods?command=a&command=b');
    expect(spelt('')).toBe('/');
  });
});
