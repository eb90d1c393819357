import type { ServerResponse } from 'node:http';
import type { Heard } from './web.js';

/**
 * As much of an API server as kubectl needs to find out what there is, and to read, watch and write Secrets and Pods: the
 * answers are shaped as a real one's are, tables and what was last applied included.
 */

export const canary = 'canary-5e1d';
const base64 = (text: string) => Buffer.from(text).toString('base64');
/** The forms in which a canary may stand in an answer. */
export const shows = (text: string): boolean =>
  [canary, ...[0, 1, 2].map((pad) => base64('x'.repeat(pad) + canary).slice(4, -4))].some((form) =>
    text.includes(form),
  );

const metadata = (name: string) => ({
  name,
  namespace: 'shop',
  uid: '8b9b2e1c-0000-4000-8000-000000000000',
  resourceVersion: '41',
  creationTimestamp: '2026-11-20T10:00:00Z',
  annotations: {
    'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ data: { password: base64(canary) } }),
  },
  managedFields: [
    {
      manager: 'kubectl',
      operation: 'Update',
      apiVersion: 'v1',
      time: '2026-11-20T10:00:00Z',
      fieldsV1: { [`v:${canary}`]: {} },
    },
  ],
});
export const secret = {
  kind: 'Secret',
  apiVersion: 'v1',
  metadata: metadata('db'),
  data: { password: base64(canary), user: base64('shop') },
  type: 'Opaque',
};
export const pod = {
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: metadata('web'),
  spec: { containers: [{ name: 'web', image: 'web:1', env: [{ name: 'TOKEN', value: canary }] }] },
  status: { phase: 'Running' },
};
const objects: Readonly<Record<string, typeof secret | typeof pod>> = { secrets: secret, pods: pod };

const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const kinds = [
  { name: 'secrets', singularName: 'secret', namespaced: true, kind: 'Secret', verbs },
  { name: 'pods', singularName: 'pod', namespaced: true, kind: 'Pod', verbs, shortNames: ['po'] },
  { name: 'namespaces', singularName: 'namespace', namespaced: false, kind: 'Namespace', verbs },
];

export function apiServer({ method, url, headers, body }: Heard, response: ServerResponse): void {
  const json = (status: number, value: unknown) => {
    const text = JSON.stringify(value);
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
    response.end(text);
  };
  const { pathname, searchParams } = new URL(url, 'http://server');
  const found = discovery(pathname);
  if (found !== undefined) return json(200, found);
  const [, kind = '', name] =
    /^\/api\/v1(?:\/watch)?(?:\/namespaces\/[^/]+)?\/(secrets|pods)(?:\/([^/]+))?(?:\/status)?$/.exec(pathname) ?? [];
  const object = objects[kind];
  if (object === undefined)
    return json(404, {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      reason: 'NotFound',
      message: 'not there',
      code: 404,
    });
  if (body.includes('"invalid"'))
    return json(422, {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      reason: 'Invalid',
      message: `the value ${canary} is wrong`,
      code: 422,
    });
  const watch = searchParams.get('watch');
  const watches = watch !== null && watch !== '0' && watch.toLowerCase() !== 'false';
  if ((watches && name === undefined) || pathname.includes('/watch/')) {
    response.writeHead(200, { 'content-type': 'application/json' });
    const event = `${JSON.stringify({ type: 'ADDED', object })}\n`;
    // In pieces that no line ends in.
    for (const piece of [event.slice(0, 40), event.slice(40) + event.slice(0, 90), event.slice(90)])
      response.write(piece);
    return void response.end();
  }
  if (method !== 'GET' || name !== undefined) return json(method === 'POST' ? 201 : 200, object);
  if ((headers.accept ?? '').includes('as=Table'))
    return json(200, {
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      metadata: {},
      columnDefinitions: [
        { name: 'Name', type: 'string' },
        { name: 'Password', type: 'string' },
      ],
      rows: [{ cells: [object.metadata.name, canary], object }],
    });
  json(200, {
    kind: `${object.kind}List`,
    apiVersion: 'v1',
    metadata: { resourceVersion: '42' },
    items: [object, object],
  });
}

function discovery(path: string): unknown {
  switch (path) {
    case '/version':
      return { major: '1', minor: '34', gitVersion: 'v1.34.1' };
    case '/api':
      return { kind: 'APIVersions', versions: ['v1'] };
    case '/apis':
      return { kind: 'APIGroupList', apiVersion: 'v1', groups: [] };
    case '/api/v1':
      return { kind: 'APIResourceList', groupVersion: 'v1', resources: kinds };
    default:
      return undefined;
  }
}

/** A kubeconfig for it, with the credential that clients never learn. */
export const kubeconfig = (port: number): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'one',
    contexts: [{ name: 'one', context: { cluster: 'one', user: 'one' } }],
    clusters: [{ name: 'one', cluster: { server: `http://127.0.0.1:${String(port)}` } }],
    users: [{ name: 'one', user: { token: 'the-real-one' } }],
  });
