import { sign, type KeyObject } from 'node:crypto';
import { digestOf, type Repository, type TestRegistry } from './registry.js';

/** Images in a registry of the tests, and signatures as cosign makes them, put there behind the gateway's back. */

export const oci = 'application/vnd.oci.image.manifest.v1+json';
export const index = 'application/vnd.oci.image.index.v1+json';
export const simpleSigning = 'application/vnd.dev.cosign.simplesigning.v1+json';
export const bundle = 'application/vnd.dev.sigstore.bundle.v0.3+json';

export interface Layer {
  readonly media: string;
  readonly bytes: string | Buffer;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Stored {
  readonly layers: readonly Layer[];
  readonly config?: object;
  readonly more?: object;
  readonly tag?: string;
}

export function repositoryOf({ repositories }: TestRegistry, name: string): Repository {
  const found = repositories.get(name) ?? { blobs: new Map(), manifests: new Map(), tags: new Map() };
  repositories.set(name, found);
  return found;
}

/** Gives the digest. */
export function store(repository: Repository, media: string, content: object, tag?: string): string {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: media, ...content }));
  const digest = digestOf(bytes);
  repository.manifests.set(digest, { media, bytes });
  if (tag !== undefined) repository.tags.set(tag, digest);
  return digest;
}

/** A manifest with its blobs; gives the digest. */
export function storeImage(repository: Repository, { layers, config = {}, more = {}, tag }: Stored): string {
  const blob = (mediaType: string, given: string | Buffer) => {
    const bytes = Buffer.from(given);
    const digest = digestOf(bytes);
    repository.blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const content = {
    config: blob('application/vnd.oci.image.config.v1+json', JSON.stringify(config)),
    layers: layers.map(({ media, bytes, annotations }) => ({
      ...blob(media, bytes),
      ...(annotations === undefined ? {} : { annotations }),
    })),
    ...more,
  };
  return store(repository, oci, content, tag);
}

/** How node signs: ECDSA on P-256 and RSA by SHA-256, as cosign does; Ed25519 by itself. */
export const signed = (bytes: Buffer | string, key: KeyObject, hash?: string): string =>
  sign(hash ?? (key.asymmetricKeyType === 'ed25519' ? null : 'sha256'), Buffer.from(bytes), key).toString('base64');

export interface Payload {
  readonly type?: string;
  readonly reference?: string;
  readonly optional?: object | null;
}

/** What cosign signs of an image: the payload of "simple signing". */
export function payloadOf(
  digest: string,
  { type, reference = 'registry.example/team/app', optional = null }: Payload = {},
): string {
  const identity = { 'docker-reference': reference };
  const critical = {
    identity,
    image: { 'docker-manifest-digest': digest },
    type: type ?? 'cosign container image signature',
  };
  return JSON.stringify({ critical, optional });
}

export const signatureLayer = (payload: string, signature: string): Layer => ({
  media: simpleSigning,
  bytes: payload,
  annotations: { 'dev.cosignproject.cosign/signature': signature },
});

export const signatureTag = (digest: string): string => `${digest.replace(':', '-')}.sig`;

/** What `cosign sign` puts beside an image by default: an envelope with a statement about its digest. */
export function bundleOf(digest: string, key: KeyObject, statement: object = {}): string {
  const [algorithm = '', hex = ''] = digest.split(':');
  const text = JSON.stringify({
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ digest: { [algorithm]: hex } }],
    predicateType: 'https://sigstore.dev/cosign/sign/v1',
    predicate: {},
    ...statement,
  });
  const type = 'application/vnd.in-toto+json';
  const envelope = `DSSEv1 ${String(type.length)} ${type} ${String(Buffer.byteLength(text))} ${text}`;
  return JSON.stringify({
    mediaType: bundle,
    verificationMaterial: { publicKey: { hint: 'key' } },
    dsseEnvelope: {
      payload: Buffer.from(text).toString('base64'),
      payloadType: type,
      signatures: [{ sig: signed(envelope, key) }],
    },
  });
}

/** Attaches it to what has this digest. */
export function refer(repository: Repository, to: string, artifactType: string, layers: readonly Layer[]): string {
  const subject = { mediaType: oci, digest: to, size: repository.manifests.get(to)?.bytes.length ?? 0 };
  return storeImage(repository, { layers, more: { artifactType, subject } });
}
