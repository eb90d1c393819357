import { withBody, type Draft } from './draft.js';
import { asJson, otherType, request, type Gate } from './gate.js';

/** Registries of images. */
const digest = `sha256:${'0'.repeat(64)}`;
const image = 'application/vnd.oci.image.manifest.v1+json';
const index = 'application/vnd.oci.image.index.v1+json';
const descriptor = (change: object = {}) => ({
  mediaType: 'application/vnd.oci.image.layer.v1.tar',
  digest,
  size: 1,
  ...change,
});
const manifest = (change: object = {}) => ({
  schemaVersion: 2,
  mediaType: image,
  config: descriptor(),
  layers: [descriptor()],
  ...change,
});

const badDescriptors = [
  ...[
    { digest: 'sha256:x' },
    { digest: 7 },
    { digest: `md5:${'0'.repeat(32)}` },
    { digest: `SHA256:${'0'.repeat(64)}` },
  ],
  ...[
    { size: -1 },
    { size: 1.5 },
    { size: '1' },
    { size: 2 ** 53 },
    { mediaType: 7 },
    { URLs: ['https://x'] },
    { Digest: digest },
  ],
  ...[{ platform: 'linux' }, { platform: { OS: 'linux' } }, { digest: null }],
];

export function registryGate(token: string): Gate {
  const basic = [['Authorization', `Basic ${Buffer.from(`agent:${token}`).toString('base64')}`]] as const;
  const ask = (method: string, target: string, body?: string) =>
    request(basic, method, `/v2/images/team/app${target}`, body);
  const put = (change: object): Draft => ({
    ...withBody(ask('PUT', '/manifests/1.0'), image, JSON.stringify(manifest(change))),
  });
  return {
    protocol: 'registry',
    well: ask('GET', '/tags/list'),
    carrying: put({}),
    own: {
      'a manifest that is broken': asJson,
      'a manifest that is broken, once more': asJson,
      'a manifest that is none': (_draft, from) =>
        put(
          from.pick<object>([
            ...[
              { schemaVersion: 1 },
              { schemaVersion: '2' },
              { mediaType: index },
              { manifests: [] },
              { fsLayers: [] },
              { config: undefined },
            ],
            ...[
              { config: 'x' },
              { layers: {} },
              { layers: ['x'] },
              { layers: undefined },
              { annotations: [] },
              { annotations: { a: 1 } },
              { subject: 'x' },
            ],
            ...[
              { Layers: [] },
              { MediaType: image },
              { ['layer\u017f']: [] },
              { subject: {} },
              { schemaVersion: null },
            ],
          ]),
        ),
      'a part of a manifest that is none': (_draft, from) => {
        const bad = descriptor(from.pick<object>(badDescriptors));
        return put(from.pick([{ config: bad }, { layers: [descriptor(), bad] }, { subject: bad }]));
      },
      'a manifest of another type': otherType(
        'application/json',
        'text/plain',
        'application/vnd.docker.distribution.manifest.v1+prettyjws',
        index,
        `${image}x`,
      ),
      'a manifest of another digest': (draft) => ({ ...draft, target: `/v2/images/team/app/manifests/${digest}` }),
      'a reference that is none': (_draft, from) =>
        ask(
          from.pick(['GET', 'PUT', 'DELETE']),
          `/manifests/${from.pick(['-x', '.x', 'a'.repeat(129), 'sha256:x', 'sha256:', `sha256:${'g'.repeat(64)}`, 'a:b', 'a@b', '*', `md5:${'0'.repeat(32)}`])}`,
        ),
      'a repository that is none': (_draft, from) =>
        request(
          basic,
          'GET',
          `/v2/images/${from.pick(['Team', 'team/', '-a', 'a..b', 'a___b', '_', 'a'.repeat(300), 'a/../b', 'téam', 'a:b', 'a@b'])}/tags/list`,
        ),
      'an endpoint that is none': (_draft, from) =>
        request(
          basic,
          from.pick(['GET', 'POST']),
          from.pick([
            '/v2/images',
            '/v2/images/x',
            '/v2/images/a/tags',
            '/v2/images/a/manifests',
            '/v2/images/a/blobs',
            '/v2/images/_catalog',
            '/v2/_catalog',
            '/v2/%69mages/a/tags/list/x',
            '/v2/nobody/a/tags/list',
          ]),
        ),
      'a method that is none here': (_draft, from) =>
        ask(from.pick(['POST', 'PATCH', 'DELETE', 'OPTIONS', 'PURGE']), '/tags/list'),
      'a parameter that is none': (_draft, from) =>
        ask(
          'GET',
          `/tags/list?${from.pick(['x=1', 'n=x', 'n=-1', 'n=1&n=2', 'last=%2F', 'last=-', 'n=99999999', 'N=1&n=1', 'n=1e3'])}`,
        ),
      'an upload that nobody began': (_draft, from) =>
        ask(
          from.pick(['PATCH', 'PUT', 'GET', 'DELETE']),
          `/blobs/uploads/${from.pick(['x', 'a'.repeat(100), '..', 'AAAA-_', from.bytes(60).toString('base64url')])}?digest=${digest}`,
        ),
      'a blob that is none': (_draft, from) =>
        ask(
          'GET',
          `/blobs/${from.pick(['x', 'sha256:x', 'latest', `sha512:${'0'.repeat(64)}`, `sha256:${'0'.repeat(63)}`, `sha256:${'A'.repeat(64)}`])}`,
        ),
      'a mount that is none': (_draft, from) =>
        ask(
          'POST',
          `/blobs/uploads/?${from.pick(['mount=x', `mount=${digest}&digest=${digest}`, 'digest=x', `mount=${digest}&from=A/B`, `mount=${digest}&from=images/..`, 'x=1', 'digest-algorithm=md5'])}`,
        ),
      'a body where there is none': (_draft, from) =>
        ask(from.pick(['GET', 'DELETE']), `/manifests/${from.pick(['1.0', digest])}`, '{}'),
    },
  };
}
