import { brokenJson, brokenYaml } from './broken.js';
import { withBody, withField, type Draft } from './draft.js';
import { asJson, bearer, otherType, request, type Gate } from './gate.js';

/** API servers of Kubernetes. */
export function kubernetesGate(token: string): Gate {
  const ask = (method: string, target: string, body?: string) =>
    request(bearer(token), method, `/kubernetes/cluster/api/v1/namespaces/shop${target}`, body);
  const pod = '{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web"},"spec":{"containers":[]}}';
  const command = (query: string): Draft => ask('GET', `/pods/web/exec?${query}`);
  const upgrade = (draft: Draft, fields: Draft['fields']): Draft => ({
    ...draft,
    fields: [...draft.fields, ...fields],
  });
  const asks = [['Connection', 'Upgrade']] as const;
  const socket = [...asks, ['Upgrade', 'websocket']] as const;
  const key = ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='] as const;
  const version = ['Sec-WebSocket-Version', '13'] as const;
  const protocol = ['Sec-WebSocket-Protocol', 'v5.channel.k8s.io'] as const;
  return {
    protocol: 'kubernetes',
    well: ask('GET', '/pods/web'),
    carrying: ask('POST', '/pods', pod),
    own: {
      'an object that is broken': asJson,
      'an object that is broken, once more': asJson,
      'YAML that is broken': (draft, from) => withBody(draft, 'application/yaml', brokenYaml(from)),
      'a patch that is broken': (draft, from) => ({
        ...withBody(
          draft,
          from.pick([
            'application/merge-patch+json',
            'application/json-patch+json',
            'application/strategic-merge-patch+json',
          ]),
          brokenJson(from),
        ),
        method: 'PATCH',
        target: `${draft.target}/web`,
      }),
      'an apply that is broken': (draft, from) => ({
        ...withBody(draft, 'application/apply-patch+yaml', brokenYaml(from)),
        method: 'PATCH',
        target: `${draft.target}/web`,
      }),
      'a type that means nothing': otherType(
        'text/plain',
        'application/vnd.kubernetes.protobuf',
        'application/cbor',
        'application/merge-patch+json',
        'x',
      ),
      'a body where there is none': (draft) => ({ ...draft, method: 'GET' }),
      'a method that is none of the API': (draft, from) => ({
        ...draft,
        method: from.pick(['OPTIONS', 'TRACE', 'PROPFIND', 'PURGE']),
        body: Buffer.alloc(0),
      }),
      'somebody else to be': (draft, from) =>
        withField(
          from.pick([
            'Impersonate-User',
            'Impersonate-Group',
            'Impersonate-Extra-Scopes',
            'X-Remote-User',
            'Impersonate-Uid',
          ]),
          'system:admin',
        )(draft, from),
      'a parameter twice': (draft, from) => ({
        ...draft,
        target: `${draft.target}?${from.pick(['watch=1&watch=0', 'pretty=1&Pretty=0', 'fieldManager=a&fieldManager=b', 'limit=1&limit=2'])}`,
      }),
      'ports that are none': (_draft, from) =>
        ask(
          'GET',
          `/pods/web/portforward?ports=${from.pick(['0', '65536', 'x', '-1', '80,x', '1e3', '080', '', '80&ports=99999'])}`,
        ),
      'a verb without a resource': (draft, from) => ({
        ...draft,
        method: 'GET',
        body: Buffer.alloc(0),
        target: `/kubernetes/cluster/api/v1/${from.pick(['watch', 'proxy', 'watch/', 'proxy/'])}`,
      }),
      'a handshake that is none': (_draft, from) => {
        const good = command('command=ls&stdout=true');
        return from.pick([
          upgrade(good, [...socket, version, protocol]),
          upgrade(good, [...socket, key, protocol]),
          upgrade(good, [...socket, key, version]),
          upgrade(good, [...socket, key, protocol, ['Sec-WebSocket-Version', from.pick(['8', '12', '014', 'x'])]]),
          upgrade(good, [
            ...socket,
            version,
            protocol,
            ['Sec-WebSocket-Key', from.pick(['x', '!'.repeat(24), 'dGhlIHNhbXBsZSBub25jZQ', ''])],
          ]),
          upgrade(good, [
            ...socket,
            key,
            version,
            ['Sec-WebSocket-Protocol', from.pick(['v1.channel.k8s.io', 'x', 'base64.channel.k8s.io', ''])],
          ]),
          upgrade({ ...good, method: 'POST' }, [...socket, key, version, protocol]),
          upgrade(good, [
            ...asks,
            ['Upgrade', from.pick(['SPDY/3.1', 'h2c', 'x', 'websocket, h2c'])],
            key,
            version,
            protocol,
          ]),
          upgrade(ask('GET', from.pick(['/pods', '/pods/web', '/pods/web/proxy/x', '/services/web/proxy'])), [
            ...socket,
            key,
            version,
            protocol,
          ]),
        ]);
      },
    },
  };
}
