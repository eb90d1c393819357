import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { until } from '../support/approvals-side.js';
import {
  bundle,
  bundleOf,
  index,
  oci,
  payloadOf,
  refer,
  repositoryOf,
  signatureLayer,
  signatureTag,
  signed,
  simpleSigning,
  store,
  storeImage,
} from '../support/images.js';
import { startRegistry, type Repository, type TestRegistry } from '../support/registry.js';
import { startWeb, type Web } from '../support/web.js';

/** Images that have to be signed: by whom a signature counts, what is none, and what is asked of the registry for it. */

const policy = {
  'registry.rego': `package policy.registry

import data.sallyport.registry

allow contains {"code": "pulls"} if registry.pulls_only

allow contains {"code": "pushes"} if registry.pushes

deny contains {"code": "unsigned", "message": concat(",", registry.signers)} if {
  registry.below("signed")
  input.operation.registry.object == "manifest"
  not registry.verified
  not registry.inert
}

deny contains {"code": "not_released", "message": "it is not for production"} if {
  registry.below("signed/production")
  input.operation.registry.object == "manifest"
  not _for_production
}

deny contains {"code": "labelled", "message": "no team is named"} if {
  registry.below("labelled")
  input.operation.registry.object == "manifest"
  not registry.labels.team
}

_for_production if {
  some signature in input.operation.registry.signatures
  signature.verified
  signature.key == "p256"
  signature.annotations.for == "production"
}
`,
};

const layer = 'application/vnd.oci.image.layer.v1.tar+gzip';
const keys = {
  p256: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }),
  p384: generateKeyPairSync('ec', { namedCurve: 'secp384r1' }),
  rsa: generateKeyPairSync('rsa', { modulusLength: 2_048 }),
  ed25519: generateKeyPairSync('ed25519'),
};
const other = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const pem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString();
const own = keys.p256.privateKey;

let folder: string;
let registry: TestRegistry;
let web: Web;
let headers: Record<string, string>;
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-signatures-'));
  await writeFile(join(folder, 'rotated.pub'), pem(other.publicKey));
  registry = await startRegistry();
  const named = Object.entries(keys).map(([name, { publicKey }]) => ({ name, key: pem(publicKey) }));
  const upstream = (signatures: object) => ({ url: `http://127.0.0.1:${String(registry.port)}`, ...signatures });
  web = await startWeb({
    policy,
    protocol: 'registry',
    config: {
      targets: [
        { name: 'cloud', protocol: 'registry', upstream: upstream({ signatures: { keys: named } }) },
        { name: 'keyless', protocol: 'registry', upstream: upstream({}) },
        {
          name: 'rotating',
          protocol: 'registry',
          upstream: upstream({
            signatures: { keys: [{ name: 'rotated', key: { file: join(folder, 'rotated.pub') } }] },
          }),
        },
      ],
    },
  });
  headers = await web.bearer();
});
afterAll(async () => {
  await web?.close();
  await registry?.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  registry.heard.length = 0;
  registry.referrers = true;
});

interface Fresh {
  readonly name: string;
  readonly repository: Repository;
  readonly digest: string;
}

/** An image in a repository of its own, with the tag v1. */
function fresh(below = 'signed'): Fresh {
  const name = `${below}/app${String(count++)}`;
  const repository = repositoryOf(registry, name);
  const digest = storeImage(repository, { layers: [{ media: layer, bytes: gzipSync(name) }], tag: 'v1' });
  return { name, repository, digest };
}

const pull = (name: string, reference: string, target = 'cloud') =>
  web.call(`/v2/${target}/${name}/manifests/${reference}`, { headers });

const statusOf = async (name: string, reference: string, target?: string) =>
  (await pull(name, reference, target)).status;

/** The policy reads labels as well. */
const configuration = 'blobs/sha256:…';
const lines = () => registry.heard.map(({ line }) => line.replace(/[0-9a-f]{64}/g, '…'));

type Attach = (image: Fresh) => unknown;

const tagged =
  (made: (digest: string) => readonly { payload: string; signature: string }[]): Attach =>
  ({ repository, digest }) =>
    storeImage(repository, {
      layers: made(digest).map(({ payload, signature }) => signatureLayer(payload, signature)),
      tag: signatureTag(digest),
    });
const simple = (payload: string, key: KeyObject, hash?: string) => ({ payload, signature: signed(payload, key, hash) });

describe('a signature counts', () => {
  const ways: readonly (readonly [string, Attach])[] = [
    ['by ECDSA on P-256, where cosign puts it', tagged((digest) => [simple(payloadOf(digest), own)])],
    ['by ECDSA on P-384 and SHA-256', tagged((digest) => [simple(payloadOf(digest), keys.p384.privateKey)])],
    ['by ECDSA on P-384 and SHA-384', tagged((digest) => [simple(payloadOf(digest), keys.p384.privateKey, 'sha384')])],
    ['by RSA', tagged((digest) => [simple(payloadOf(digest), keys.rsa.privateKey)])],
    ['by Ed25519', tagged((digest) => [simple(payloadOf(digest), keys.ed25519.privateKey)])],
    [
      'among others that do not',
      tagged((digest) => [
        simple(payloadOf(digest), other.privateKey),
        { payload: '{', signature: '' },
        simple(payloadOf(digest), own),
      ]),
    ],
    [
      'as a referrer',
      ({ repository, digest }) => {
        const payload = payloadOf(digest);
        const type = 'application/vnd.dev.cosign.artifact.sig.v1+json';
        refer(repository, digest, type, [signatureLayer(payload, signed(payload, own))]);
      },
    ],
    [
      'in a bundle',
      ({ repository, digest }) => refer(repository, digest, bundle, [{ media: bundle, bytes: bundleOf(digest, own) }]),
    ],
    [
      'in a bundle at a registry without referrers',
      ({ repository, digest }) => {
        registry.referrers = false;
        const made = refer(repository, digest, bundle, [{ media: bundle, bytes: bundleOf(digest, own) }]);
        const size = repository.manifests.get(made)!.bytes.length;
        const manifests = [{ mediaType: oci, digest: made, size, artifactType: bundle }];
        store(repository, index, { manifests }, digest.replace(':', '-'));
      },
    ],
  ];

  test.each(ways)('%s', async (_way, attach) => {
    const image = fresh();
    const refused = await pull(image.name, 'v1');
    expect({ status: refused.status, said: refused.text.includes('unsigned') }).toEqual({ status: 403, said: true });
    attach(image);
    expect(await statusOf(image.name, 'v1')).toBe(200);
    expect(await statusOf(image.name, image.digest)).toBe(200);
    const head = await web.call(`/v2/cloud/${image.name}/manifests/v1`, { method: 'HEAD', headers });
    expect(head.status).toBe(200);
  });
});

describe('no signature', () => {
  const attestation = { predicateType: 'https://slsa.dev/provenance/v1' };
  const ways: readonly (readonly [string, Attach])[] = [
    ['is by another key', tagged((digest) => [simple(payloadOf(digest), other.privateKey)])],
    ['is of another image', tagged(() => [simple(payloadOf(`sha256:${'0'.repeat(64)}`), own)])],
    ['is of something else', tagged((digest) => [simple(payloadOf(digest, { type: 'a receipt' }), own)])],
    [
      'is of a payload that was changed',
      tagged((digest) => [
        { payload: payloadOf(digest), signature: signed(payloadOf(`sha256:${'0'.repeat(64)}`), own) },
      ]),
    ],
    ['is of a payload without an end', tagged((digest) => [simple(payloadOf(digest).padEnd(16_385), own)])],
    [
      'is any image at its tag',
      ({ repository, digest }) => storeImage(repository, { layers: [], tag: signatureTag(digest) }),
    ],
    [
      'is made with a certificate',
      ({ repository, digest }) => refer(repository, digest, 'application/vnd.cncf.notary.signature', []),
    ],
    [
      'is an attestation, which is signed too',
      ({ repository, digest }) =>
        refer(repository, digest, bundle, [{ media: bundle, bytes: bundleOf(digest, own, attestation) }]),
    ],
    [
      'is the bundle of another image',
      ({ repository, digest }) =>
        refer(repository, digest, bundle, [{ media: bundle, bytes: bundleOf(`sha256:${'0'.repeat(64)}`, own) }]),
    ],
    [
      'is a bundle by another key',
      ({ repository, digest }) =>
        refer(repository, digest, bundle, [{ media: bundle, bytes: bundleOf(digest, other.privateKey) }]),
    ],
    [
      'stands in a bundle that is none',
      ({ repository, digest }) => refer(repository, digest, bundle, [{ media: bundle, bytes: '[]' }]),
    ],
  ];

  test.each(ways)('%s', async (_way, attach) => {
    const image = fresh();
    attach(image);
    const answer = await pull(image.name, 'v1');
    expect({ status: answer.status, said: answer.text.includes('unsigned') }).toEqual({ status: 403, said: true });
  });

  test('counts at a target that names no keys', async () => {
    const image = fresh();
    tagged((digest) => [simple(payloadOf(digest), own)])(image);
    expect(await statusOf(image.name, 'v1')).toBe(200);
    registry.heard.length = 0;
    expect(await statusOf(image.name, 'v1', 'keyless')).toBe(403);
    expect(lines()).toEqual(['manifests/v1', configuration].map((one) => `GET /v2/${image.name}/${one}`));
  });

  test('is judged that the registry does not give', async () => {
    const image = fresh();
    const payload = payloadOf(image.digest);
    tagged(() => [simple(payload, own)])(image);
    registry.corrupts = () => Buffer.from(payload.replace('team', 'Team'));
    try {
      expect(await statusOf(image.name, 'v1')).toBe(502);
    } finally {
      registry.corrupts = undefined;
    }
    expect(await statusOf(image.name, 'v1')).toBe(200);
  });
});

test('rules see which key signed, and what was signed with the digest', async () => {
  const released = { optional: { for: 'production' } };
  for (const [key, payload, status] of [
    [own, {}, 403],
    [keys.rsa.privateKey, released, 403],
    [own, released, 200],
  ] as const) {
    const image = fresh('signed/production');
    tagged((digest) => [simple(payloadOf(digest, payload), key)])(image);
    expect(await statusOf(image.name, 'v1')).toBe(status);
  }
  const image = fresh('signed/production');
  const [, hex = ''] = image.digest.split(':');
  const subject = [{ digest: { sha256: hex }, annotations: { for: 'production' } }];
  refer(image.repository, image.digest, bundle, [{ media: bundle, bytes: bundleOf(image.digest, own, { subject }) }]);
  expect(await statusOf(image.name, 'v1')).toBe(200);
});

test('a tag is made once what it names is signed', async () => {
  const image = fresh();
  const body = image.repository.manifests.get(image.digest)!.bytes;
  const push = () =>
    web.call(`/v2/cloud/${image.name}/manifests/v2`, {
      method: 'PUT',
      headers: { ...headers, 'content-type': oci },
      body,
    });
  expect((await push()).status).toBe(403);
  tagged((digest) => [simple(payloadOf(digest), own)])(image);
  expect((await push()).status).toBe(201);
});

test('images of a signed index are pulled behind it, and by no other way', async () => {
  const image = fresh();
  const member = (repository: Repository) => ({
    mediaType: oci,
    digest: image.digest,
    size: repository.manifests.get(image.digest)!.bytes.length,
    platform: { os: 'linux', architecture: 'amd64' },
  });
  const digest = store(image.repository, index, { manifests: [member(image.repository)] }, 'all');
  expect(await statusOf(image.name, 'all')).toBe(403);
  expect(await statusOf(image.name, image.digest)).toBe(403);
  tagged(() => [simple(payloadOf(digest), own)])({ ...image, digest });
  expect(await statusOf(image.name, image.digest)).toBe(403);
  expect(await statusOf(image.name, 'all')).toBe(200);
  expect(await statusOf(image.name, image.digest)).toBe(200);
  const elsewhere = repositoryOf(registry, `${image.name}/other`);
  elsewhere.manifests.set(image.digest, image.repository.manifests.get(image.digest)!);
  expect(await statusOf(`${image.name}/other`, image.digest)).toBe(403);
});

test('the signature itself is pulled, and an image that says it were one is not', async () => {
  const image = fresh();
  tagged((digest) => [simple(payloadOf(digest), own)])(image);
  const made = refer(image.repository, image.digest, bundle, [{ media: bundle, bytes: bundleOf(image.digest, own) }]);
  expect(await statusOf(image.name, signatureTag(image.digest))).toBe(200);
  expect(await statusOf(image.name, made)).toBe(200);
  for (const layers of [
    [{ media: simpleSigning, bytes: gzipSync('files') }],
    [
      { media: bundle, bytes: '{}' },
      { media: layer, bytes: '{}' },
    ],
    [],
  ]) {
    storeImage(image.repository, { layers, tag: 'disguised.sig' });
    expect(await statusOf(image.name, 'disguised.sig')).toBe(403);
  }
});

test('what was found out by digest is not asked for again', async () => {
  const image = fresh();
  tagged((digest) => [simple(payloadOf(digest), own)])(image);
  const asked = (...places: string[]) => places.map((place) => `GET /v2/${image.name}/${place}`);
  const first = ['manifests/v1', configuration, 'manifests/sha256-….sig'];
  expect(await statusOf(image.name, 'v1')).toBe(200);
  expect(lines()).toEqual(asked(...first, 'blobs/sha256:…', 'referrers/sha256:…'));
  registry.heard.length = 0;
  expect(await statusOf(image.name, 'v1')).toBe(200);
  expect(lines()).toEqual(asked(...first, 'referrers/sha256:…'));
  // A signature that is taken back counts no longer.
  image.repository.tags.delete(signatureTag(image.digest));
  expect(await statusOf(image.name, 'v1')).toBe(403);
});

test('no more than sixteen signatures are looked at, the youngest of them', async () => {
  const image = fresh();
  const many = Array.from({ length: 16 }, (_, at) =>
    simple(payloadOf(image.digest, { reference: `r/${String(at)}` }), other.privateKey),
  );
  tagged((digest) => [simple(payloadOf(digest), own), ...many])(image);
  expect(await statusOf(image.name, 'v1')).toBe(403);
  expect(lines().filter((line) => line.includes('/blobs/'))).toHaveLength(16 + 1);
  tagged((digest) => [...many, simple(payloadOf(digest), own)])(image);
  expect(await statusOf(image.name, 'v1')).toBe(200);
});

test('a key that is replaced counts no longer', async () => {
  const image = fresh();
  tagged((digest) => [simple(payloadOf(digest), other.privateKey)])(image);
  expect(await statusOf(image.name, 'v1', 'rotating')).toBe(200);
  await writeFile(join(folder, 'rotated.pub'), pem(keys.p256.publicKey));
  await until(async () => (await statusOf(image.name, 'v1', 'rotating')) === 403);
});

test('a pull is judged by the labels of the image', async () => {
  const name = 'labelled/app';
  const repository = repositoryOf(registry, name);
  const files = [{ media: layer, bytes: gzipSync(name) }];
  const without = storeImage(repository, { layers: files, config: { config: { Labels: { owner: 'x' } } }, tag: 'v1' });
  const labelled = storeImage(repository, {
    layers: files,
    config: { config: { Labels: { team: 'shop' } } },
    tag: 'v2',
  });
  for (const [reference, status] of [
    ['v1', 403],
    [without, 403],
    ['v2', 200],
    [labelled, 200],
  ] as const) {
    expect({ reference, status: await statusOf(name, reference) }).toEqual({ reference, status });
  }
});
