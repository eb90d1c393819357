// An API server with a shop in it, in memory: PORT=26443 node cluster.mjs. It believes whoever has the token, and prints each
// request that reaches it.
import { createServer } from 'node:http';

const base64 = (text) => Buffer.from(text).toString('base64');
const metadata = (name, applied) => ({
  name,
  namespace: 'shop',
  // What kubectl leaves in an object that was applied: a copy of it, in clear.
  annotations: { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(applied) },
});
const settings = { DB_HOST: 'db.shop.svc', DB_USER: 'shop' };
const passwords = {
  user: base64('shop_v2'),
  password: base64('pw-of-the-shop'),
  'root-password': base64('pw-of-root'),
};
const objects = {
  configmaps: { kind: 'ConfigMap', metadata: metadata('settings', { data: settings }), data: settings },
  pods: {
    kind: 'Pod',
    metadata: metadata('web', {}),
    status: { phase: 'Failed', message: 'password authentication failed for user "shop"' },
  },
  secrets: { kind: 'Secret', metadata: metadata('db', { data: passwords }), type: 'Opaque', data: passwords },
};

const server = createServer(({ method, url, headers }, response) => {
  const answer = (status, value) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ apiVersion: 'v1', ...value }));
  };
  const failure = (code, reason) => answer(code, { kind: 'Status', status: 'Failure', reason, message: reason, code });
  if (headers.authorization !== 'Bearer the-gateway-knows-it') return failure(401, 'Unauthorized');
  console.log(`${method} ${url} for ${headers['impersonate-user']}`);
  const { pathname } = new URL(url, 'http://cluster');
  const [, kind, name] = /^\/api\/v1\/namespaces\/shop\/(\w+)(?:\/(\w+))?$/.exec(pathname) ?? [];
  const object = objects[kind];
  if (method !== 'GET' || object === undefined) return failure(404, 'NotFound');
  if (name === undefined) return answer(200, { kind: `${object.kind}List`, metadata: {}, items: [object] });
  if (name !== object.metadata.name) return failure(404, 'NotFound');
  answer(200, object);
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  console.log(`the cluster listens on port ${server.address().port}`);
});
