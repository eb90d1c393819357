import { bundle_type, bundled, objectOf, signature_annotation, simple_signing_type, simplySigned } from './cosign.js';
import type { SignatureKey } from './keys.js';
import type { Learned } from './learned.js';
import { isObject } from './manifest.js';
import { digestOf, type Digest } from './names.js';
import { understood, type Held, type Reading } from './reading.js';
import type { Descriptor, Manifest, Signature } from './schema.js';

/** Which signatures a registry has of an image: those at the tag where cosign puts them, and those that refer to it. */

/** By the media types of what is attached as a referrer: cosign's, sigstore's bundles, Notary's. */
const formats: Readonly<Record<string, Signature['format']>> = {
  'application/vnd.dev.cosign.artifact.sig.v1+json': 'cosign',
  [bundle_type]: 'bundle',
  'application/vnd.cncf.notary.signature': 'notary',
};

/** Parts of signatures and attestations: documents in JSON, of which nothing can be run. */
const documents: ReadonlySet<string> = new Set([
  simple_signing_type,
  bundle_type,
  'application/vnd.dsse.envelope.v1+json',
  'application/jose+json',
]);

/** Whoever may push may attach any number: more are not looked at. */
const signatures_max = 16;
const payload_bytes_max = 16_384;
const bundle_bytes_max = 131_072;
const document_bytes_max = 1_048_576;

const formatOf = ({ artifact_type: type }: Descriptor): Signature['format'] | undefined =>
  type !== undefined && Object.hasOwn(formats, type) ? formats[type] : undefined;

const tagOf = ({ algorithm, hex }: Digest): string => `${algorithm}-${hex}.sig`;

/** Whether there is any, by whomever. Throws UpstreamError. */
export async function hasSignature(reading: Reading, digest: Digest): Promise<boolean> {
  if ((await reading.tagged(tagOf(digest))) !== undefined) return true;
  return (await reading.referrers(digest)).some((one) => formatOf(one) !== undefined);
}

export class Signatures {
  readonly #reading: Reading;
  readonly #keys: readonly SignatureKey[];
  readonly #learned: Learned;

  constructor(reading: Reading, keys: readonly SignatureKey[], learned: Learned) {
    this.#reading = reading;
    this.#keys = keys;
    this.#learned = learned;
  }

  /** @param manifest What has this digest, where it is known; of an index, its images are taken as signed with it. Throws UpstreamError. */
  async of(digest: Digest, manifest: Manifest | undefined): Promise<Signature[]> {
    const { repository } = this.#reading;
    const attached = await this.#attached(digest);
    if (manifest?.kind === 'index') this.#learned.signedIndex(repository, manifest, attached, Date.now());
    return [...attached, ...this.#learned.throughIndexes(repository, digest.text, Date.now()).slice(0, signatures_max)];
  }

  async #attached(digest: Digest): Promise<Signature[]> {
    const found: Signature[] = [];
    const tagged = await this.#reading.tagged(tagOf(digest));
    if (tagged !== undefined) found.push(...(await this.#inManifest(tagged, digest, 'cosign')));
    for (const one of await this.#reading.referrers(digest)) {
      const format = formatOf(one);
      if (format === undefined) continue;
      if (found.length >= signatures_max) break;
      // Its signatures are made with certificates.
      if (format === 'notary') found.push({ format, verified: false });
      else {
        const held = await this.#reading.manifest(one.digest, digestOf(one.digest));
        if (held !== undefined) found.push(...(await this.#inManifest(held, digest, format)));
      }
    }
    return found.slice(0, signatures_max);
  }

  #inManifest(held: Held, digest: Digest, format: Signature['format']): Promise<readonly Signature[]> {
    return this.#learned.signatures(held.digest, digest.text, async () => {
      const found: Signature[] = [];
      let whole = true;
      for (const { descriptor, annotations } of layersOf(held)) {
        const bytes = await this.#bytesOf(descriptor);
        whole &&= bytes !== 'missing';
        const { media_type: type } = descriptor;
        if (bytes === 'missing' || bytes === 'too large') found.push({ format, verified: false });
        else if (type === bundle_type) found.push(bundled(bytes, digest, this.#keys));
        else {
          const signature = annotations[signature_annotation];
          found.push(simplySigned(bytes, typeof signature === 'string' ? signature : '', digest, this.#keys));
        }
      }
      return { found: found.length === 0 ? [{ format, verified: false }] : found, whole };
    });
  }

  async #bytesOf({ digest, size, media_type: type }: Descriptor): Promise<Buffer | 'missing' | 'too large'> {
    const bytes_max = type === bundle_type ? bundle_bytes_max : payload_bytes_max;
    if (size > bytes_max) return 'too large';
    return (await this.#reading.blob(digestOf(digest)!, bytes_max)) ?? 'missing';
  }

  /**
   * Whether this is itself a signature, or an attestation, with nothing in it that could be run: each of its parts is a
   * document in JSON, whatever its media type may say, which no layer of files can be. Throws UpstreamError.
   */
  async inert(manifest: Manifest): Promise<boolean> {
    const { kind, layers, manifests, digest } = manifest;
    // What an index names is judged when it is asked for; those of referrers say of each what it is.
    if (kind === 'index') return manifests.length > 0 && manifests.every((one) => one.artifact_type !== undefined);
    const possible = layers.length > 0 && layers.length <= signatures_max;
    if (!possible || !layers.every(({ media_type: type, size }) => documents.has(type) && size <= document_bytes_max)) {
      return false;
    }
    return this.#learned.inert(digest, async () => {
      for (const layer of layers) {
        const bytes = await this.#reading.blob(digestOf(layer.digest)!, document_bytes_max);
        if (bytes === undefined || objectOf(bytes.toString('utf8')) === undefined) return false;
      }
      return true;
    });
  }
}

/** The last of them are the youngest: cosign adds to the end. */
function layersOf(
  held: Held,
): { readonly descriptor: Descriptor; readonly annotations: Readonly<Record<string, unknown>> }[] {
  const layers = understood(held)?.layers ?? [];
  const raw = objectOf(held.bytes.toString('utf8'))?.['layers'];
  return layers
    .map((descriptor, index) => {
      const one: unknown = Array.isArray(raw) ? raw[index] : undefined;
      const annotations = isObject(one) && isObject(one['annotations']) ? one['annotations'] : {};
      return { descriptor, annotations };
    })
    .filter(({ descriptor: { media_type: type } }) => type === simple_signing_type || type === bundle_type)
    .slice(-signatures_max);
}
