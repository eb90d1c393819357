import { UpstreamError } from '../../errors.js';
import type { Session } from '../../protocol.js';
import type { RegistryRequest } from './codec.js';
import { isManifestType, labelsOf } from './manifest.js';
import { digestOf, type Digest } from './names.js';
import type { Known } from './operation.js';
import { Reading, understood, type Held } from './reading.js';
import type { Manifest } from './schema.js';
import { hasSignature, Signatures } from './signatures.js';
import type { RegistryTarget } from './upstream.js';

/**
 * What policy may ask of an image beside what the request says: its manifest, the labels of its configuration, its signatures.
 * The registry is asked for it only where the policy in force reads it.
 */

/** `missing`: the registry has none, and the answer says so, whatever comes there meanwhile. */
export interface Pulled {
  readonly known: Known;
  readonly held?: Held | 'missing';
}

const config_bytes_max = 1_048_576;

export class Knowing {
  readonly #reading: Reading;
  readonly #session: Session;
  readonly #signatures: Signatures | undefined;

  constructor(target: RegistryTarget, repository: string, session: Session, signal: AbortSignal) {
    this.#reading = new Reading(target, repository, signal);
    this.#session = session;
    const { keys, learned } = target;
    this.#signatures = keys.length === 0 ? undefined : new Signatures(this.#reading, keys, learned);
  }

  /** Of a manifest that is written: what the policy reads of it. */
  async ofPushed(manifest: Manifest): Promise<Known> {
    return { manifest: await this.#labelled(manifest), ...(await this.#signed(digestOf(manifest.digest)!, manifest)) };
  }

  /**
   * Of a manifest that is pulled: itself where policy reads of it, so that the very bytes are judged that the client gets,
   * whichever image the tag leads to a moment later. `held` is undefined where nothing is read of it.
   */
  async ofPulled(request: RegistryRequest): Promise<Pulled> {
    const names = [
      'manifest',
      'signature',
      'digest',
      ...(this.#signatures === undefined ? [] : ['signatures', 'inert']),
    ];
    if (!names.some((name) => this.#reads(name)) || request.endpoint.kind !== 'manifest') return { known: {} };
    const { tag, digest } = request.endpoint;
    const held = await this.#reading.manifest(tag ?? digest?.text ?? '', digest, request.fields.get('accept'));
    if (held === undefined) return { known: {}, held: 'missing' };
    const manifest = understood(held);
    // Rules that forbid something of it would find nothing, and clients may read it all the same.
    if (manifest === undefined && isManifestType(held.media) && this.#reads('manifest')) {
      throw new UpstreamError('the registry has a manifest there that cannot be judged: it is malformed, or too large');
    }
    const known = {
      ...(manifest === undefined ? {} : { manifest: await this.#labelled(manifest) }),
      ...(await this.#signed(digestOf(held.digest)!, manifest)),
    };
    return { known, held };
  }

  async #labelled(manifest: Manifest): Promise<Manifest> {
    const { config } = manifest;
    if (config === undefined || config.size > config_bytes_max) return manifest;
    if (!this.#reads('manifest.labels')) return manifest;
    const bytes = await this.#reading.blob(digestOf(config.digest)!, config_bytes_max);
    const labels = bytes === undefined ? undefined : labelsOf(bytes);
    return labels === undefined ? manifest : { ...manifest, labels };
  }

  async #signed(digest: Digest, manifest: Manifest | undefined): Promise<Known> {
    const signatures = this.#signatures;
    if (signatures === undefined) {
      if (!this.#reads('signature')) return {};
      return { signature: (await hasSignature(this.#reading, digest)) ? 'present' : 'none' };
    }
    const inert =
      manifest !== undefined && this.#reads('inert') ? { inert: await signatures.inert(manifest) } : undefined;
    if (!this.#reads('signature') && !this.#reads('signatures')) return { ...inert };
    const found = await signatures.of(digest, manifest);
    const verified = found.some((one) => one.verified);
    return { ...inert, signature: verified ? 'verified' : found.length > 0 ? 'present' : 'none', signatures: found };
  }

  #reads(name: string): boolean {
    return this.#session.policyReads(`operation.registry.${name}`);
  }
}
