import type { IncomingMessage } from 'node:http';
import { expect, test } from '@jest/globals';
import type { KubernetesRequest } from '../codec.js';
import { whyUntriable } from './support.js';

/** Which groups count as the API server's own, so that nobody asks what their server says of itself. */
test.each([
  ['', 'v1', false],
  ['apps', 'v1', false],
  ['autoscaling', 'v2', false],
  ['rbac.authorization.k8s.io', 'v1', false],
  ['apps', 'v2', true],
  ['apps', 'v1beta9', true],
  ['autoscaling', 'v3', true],
  ['example.com', 'v1', true],
])('%s/%s', async (group, version, looks) => {
  const prefix = group === '' ? 'api' : 'apis';
  const info = { isResource: true, prefix, group, version, namespace: 'shop', parts: ['things', 'one'] };
  const asked: string[] = [];
  const why = await whyUntriable({ info, method: 'PATCH' } as unknown as KubernetesRequest, async ({ address }) => {
    asked.push(address.text);
    return { statusCode: 404, destroy: () => undefined } as unknown as IncomingMessage;
  });
  expect(asked).toEqual(looks ? [`/openapi/v3/apis/${group}/${version}`] : []);
  expect(why === undefined).toBe(!looks);
});
