import { UpstreamError } from '../../errors.js';
import { readAnswer, RequestRefusal } from '../../web/index.js';
import { accepted, digestLike, manifest_bytes_max, readManifest } from './manifest.js';
import { digestOf, isTag, type Digest } from './names.js';
import type { Descriptor, Manifest } from './schema.js';
import type { Scope } from './tokens.js';
import type { RegistryTarget } from './upstream.js';

/** A manifest as the registry gave it. */
export interface Held {
  readonly bytes: Buffer;
  readonly media: string;
  readonly digest: string;
}

const index_type = 'application/vnd.oci.image.index.v1+json';

/** What the gateway itself asks of one repository, before an operation there is judged. */
export class Reading {
  readonly repository: string;
  readonly #target: RegistryTarget;
  readonly #signal: AbortSignal;

  constructor(target: RegistryTarget, repository: string, signal: AbortSignal) {
    this.repository = repository;
    this.#target = target;
    this.#signal = signal;
  }

  /** Its digest checked; undefined where there is none. Throws UpstreamError. */
  async manifest(reference: string, expected?: Digest, accept = accepted): Promise<Held | undefined> {
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

  /** Its digest checked; undefined where there is none. Throws UpstreamError, for one with more bytes as well. */
  async blob(digest: Digest, bytes_max: number): Promise<Buffer | undefined> {
    const sent = { method: 'GET', path: `/v2/${this.repository}/blobs/${digest.text}`, scope: this.#scope };
    const answer = await this.#target.fetch(sent, this.#signal);
    if (answer.statusCode !== 200) {
      answer.destroy();
      return undefined;
    }
    const bytes = await readAnswer(answer, bytes_max);
    if (digestLike(bytes, digest) !== digest.text) {
      throw new UpstreamError('the registry gave another blob than the digest names');
    }
    return bytes;
  }

  /**
   * What says of itself that it is about this digest, as far as one answer tells.
   *
   * @see OCI distribution specification 1.1, "Listing referrers", and for registries without them "Referrers tag schema"
   */
  async referrers(digest: Digest): Promise<readonly Descriptor[]> {
    const answer = await this.#get(`referrers/${digest.text}`, index_type);
    if (answer.statusCode === 200) {
      const bytes = await readAnswer(answer, manifest_bytes_max);
      return understood({ bytes, media: index_type })?.manifests ?? [];
    }
    answer.destroy();
    const tag = `${digest.algorithm}-${digest.hex.slice(0, 64)}`;
    const held = answer.statusCode === 404 ? await this.manifest(tag, undefined, index_type) : undefined;
    return held === undefined ? [] : (understood(held)?.manifests ?? []);
  }

  /** What has this tag; undefined for a text that can be none. */
  async tagged(tag: string): Promise<Held | undefined> {
    return isTag(tag) ? this.manifest(tag) : undefined;
  }

  get #scope(): Scope {
    return { repository: this.repository, actions: 'pull' };
  }

  #get(path: string, accept: string) {
    const sent = { method: 'GET', path: `/v2/${this.repository}/${path}`, scope: this.#scope, fields: { accept } };
    return this.#target.send(sent, this.#signal);
  }
}

const sha = { algorithm: 'sha256', hex: '', text: '' } as const;

/** Undefined for what is none of the manifests that are known (the first Docker schema, for one). */
export function understood({ bytes, media }: Pick<Held, 'bytes' | 'media'>): Manifest | undefined {
  try {
    return readManifest(bytes, media);
  } catch (error) {
    if (error instanceof RequestRefusal) return undefined;
    throw error;
  }
}
