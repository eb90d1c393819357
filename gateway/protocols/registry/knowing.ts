import { UpstreamError } from '../../errors.js';
import type { Session } from '../../protocol.js';
import { readAnswer, RequestRefusal } from '../../web/index.js';
import type { RegistryRequest } from './codec.js';
import { accepted, digestLike, isManifestType, labelsOf, manifest_bytes_max, readManifest } from './manifest.js';
import { digestOf, type Digest } from './names.js';
import type { Known } from './operation.js';
import type { Manifest } from './schema.js';
import type { RegistryTarget } from './upstream.js';

/**
 * What policy may ask of an image beside what the request says: its manifest, the labels of its configuration, whether there
 * is a signature. The registry is asked for it only where the policy in force reads it.
 */
export interface Held {
  readonly bytes: Buffer;
  readonly media: string;
  readonly digest: string;
}

/** `missing`: the registry has none, and the answer says so, whatever comes there meanwhile. */
export interface Pulled {
  readonly known: Known;
  readonly held?: Held | 'missing';
}

const config_bytes_max = 1_048_576;

/** Media types of signatures that are attached as referrers: cosign's, sigstore's bundles, Notary's. */
const signatureTypes: ReadonlySet<string> = new Set([
  'application/vnd.dev.cosign.artifact.sig.v1+json',
  'application/vnd.dev.sigstore.bundle.v0.3+json',
  'application/vnd.cncf.notary.signature',
]);

export class Knowing {
  readonly #target: RegistryTarget;
  readonly #repository: string;
  readonly #signal: AbortSignal;

  constructor(target: RegistryTarget, repository: string, signal: AbortSignal) {
    this.#target = target;
    this.#repository = repository;
    this.#signal = signal;
  }

  /** Of a manifest that is written: what the policy reads of it. */
  async ofPushed(manifest: Manifest, session: Session): Promise<Known> {
    return { manifest: await this.#labelled(manifest, session), ...(await this.#signature(manifest.digest, session)) };
  }

  /**
   * Of a manifest that is pulled: itself where policy reads of it, so that the very bytes are judged that the client gets,
   * whichever image the tag leads to a moment later. `held` is undefined where nothing is read of it.
   */
  async ofPulled(request: RegistryRequest, session: Session): Promise<Pulled> {
    const reads = ['manifest', 'signature', 'digest'].some((name) => session.policyReads(`operation.registry.${name}`));
    if (!reads || request.endpoint.kind !== 'manifest') return { known: {} };
    const { tag, digest } = request.endpoint;
    const held = await this.manifest(tag ?? digest?.text ?? '', digest, request.fields.get('accept'));
    if (held === undefined) return { known: {}, held: 'missing' };
    const manifest = understood(held);
    // Rules that forbid something of it would find nothing, and clients may read it all the same.
    if (manifest === undefined && isManifestType(held.media) && session.policyReads('operation.registry.manifest')) {
      throw new UpstreamError('the registry has a manifest there that cannot be judged: it is malformed, or too large');
    }
    const known = {
      ...(manifest === undefined ? {} : { manifest: await this.#labelled(manifest, session) }),
      ...(await this.#signature(held.digest, session)),
    };
    return { known, held };
  }

  /** A manifest of the registry, its digest checked; undefined where there is none. Throws UpstreamError. */
  async manifest(reference: string, expected: Digest | undefined, accept = accepted): Promise<Held | undefined> {
    const answer = await this.#get(`manifests/${reference}`, accept);
    if (answer.statusCode !== 200) {
      answer.destroy();
      if (answer.statusCode === 404) return undefined;
      throw new UpstreamError(`the registry answered ${String(answer.statusCode)} when it was asked for a manifest`);
    }
    const said = digestOf(String(answer.headers['docker-content-digest'] ?? ''));
    const media = String(answer.headers['content-type'] ?? '');
    const bytes = await readAnswer(answer, manifest_bytes_max);
    for (const digest of [expected, said]) {
      if (digest !== undefined && digestLike(bytes, digest) !== digest.text) {
        throw new UpstreamError('the registry gave another manifest than the digest names');
      }
    }
    return { bytes, media, digest: (expected ?? said ?? { text: digestLike(bytes, sha) }).text };
  }

  async #labelled(manifest: Manifest, session: Session): Promise<Manifest> {
    const { config } = manifest;
    if (config === undefined || config.size > config_bytes_max) return manifest;
    if (!session.policyReads('operation.registry.manifest.labels')) return manifest;
    const digest = digestOf(config.digest)!;
    const answer = await this.#target.fetch(
      { method: 'GET', path: `/v2/${this.#repository}/blobs/${digest.text}` },
      this.#signal,
    );
    if (answer.statusCode !== 200) {
      answer.destroy();
      return manifest;
    }
    const bytes = await readAnswer(answer, config_bytes_max);
    if (digestLike(bytes, digest) !== digest.text) {
      throw new UpstreamError('the registry gave another configuration than the digest names');
    }
    const labels = labelsOf(bytes);
    return labels === undefined ? manifest : { ...manifest, labels };
  }

  async #signature(digest: string, session: Session): Promise<Pick<Known, 'signature'>> {
    if (!session.policyReads('operation.registry.signature')) return {};
    const signed = (await this.#hasTag(`${digest.replace(':', '-')}.sig`)) || (await this.#hasReferrer(digest));
    return { signature: signed ? 'present' : 'none' };
  }

  /** Where cosign puts signatures. */
  async #hasTag(tag: string): Promise<boolean> {
    return (await this.manifest(tag, undefined)) !== undefined;
  }

  /** OCI distribution specification 1.1, "Listing referrers"; registries that have none answer 404. */
  async #hasReferrer(digest: string): Promise<boolean> {
    const answer = await this.#get(`referrers/${digest}`, 'application/vnd.oci.image.index.v1+json');
    if (answer.statusCode !== 200) {
      answer.destroy();
      return false;
    }
    const index = understood({
      bytes: await readAnswer(answer, manifest_bytes_max),
      media: 'application/vnd.oci.image.index.v1+json',
      digest: '',
    });
    return index?.manifests.some(({ artifact_type: type }) => type !== undefined && signatureTypes.has(type)) ?? false;
  }

  #get(path: string, accept: string) {
    const sent = { method: 'GET', path: `/v2/${this.#repository}/${path}`, fields: { accept } };
    return this.#target.send(sent, this.#signal);
  }
}

const sha = { algorithm: 'sha256', hex: '', text: '' } as const;

/** Undefined for what is none of the manifests that are known (the first Docker schema, for one). */
function understood({ bytes, media }: Held): Manifest | undefined {
  try {
    return readManifest(bytes, media);
  } catch (error) {
    if (error instanceof RequestRefusal) return undefined;
    throw error;
  }
}
