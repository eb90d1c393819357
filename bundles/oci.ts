import { createHash } from 'node:crypto';
import { BundleError, messageOf, refusal } from './error.js';
import { isPlainOnLoopback } from './loopback.js';
import { demandDigest, Registry, type RegistryOptions } from './oci-registry.js';
import { type Archive, policyIn, readBundle } from './opa-archive.js';
import { type BundleKeys, isSignedByKey } from './opa-signatures.js';
import { type Commit, files_max, isPolicyFile, type Snapshot, snapshot_bytes_max, type Source } from './snapshot.js';

export interface OciOptions extends Pick<RegistryOptions, 'user' | 'password' | 'token' | 'ca'> {
  /** oci://REGISTRY/REPOSITORY:TAG, or @sha256:… in place of the tag. */
  readonly url: string;
  readonly poll_ms: number;
  /** For all of an artifact together. Default: two minutes. */
  readonly time_ms_max?: number;
  /** Absent: an artifact needs no signature. */
  readonly signing?: BundleKeys | undefined;
}

/** The specification says that registries should take as much. */
const manifest_bytes_max = 4 * 1024 * 1024;
/** An artifact has up to thousands of layers, each asked for by itself. */
const time_default_ms_max = 120_000;

const manifestTypes = ['application/vnd.oci.image.manifest.v1+json', 'application/vnd.docker.distribution.manifest.v2+json']; // prettier-ignore
/** A bundle as it is, as OPA, ORAS and crane push one. */
const bundleTypes = new Set(['application/vnd.oci.image.layer.v1.tar+gzip', 'application/vnd.docker.image.rootfs.diff.tar.gzip']); // prettier-ignore
/** A layer for each file, as conftest and policy push them, with the file's path in the annotation of its title. */
const fileTypes = /^application\/vnd\.cncf\.openpolicyagent\.(policy\.layer\.v1\+rego|data\.layer\.v1\+json|manifest\.layer\.v1\+json)$/; // prettier-ignore
const title = 'org.opencontainers.image.title';

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations: Readonly<Record<string, unknown>>;
}

/**
 * Policy from an artifact in a registry of images, asked for by the digest of its manifest. All that comes is held to its
 * digest and size; what makes it policy is the signature in the bundle, where one is asked for, as of a bundle from a server.
 *
 * @see https://www.openpolicyagent.org/docs/latest/management-bundles/#oci-registry
 */
export class OciSource implements Source {
  readonly description: string;
  readonly #options: OciOptions;
  readonly #reference: string;
  readonly #registry: Registry;
  #kept: { readonly digest: string; readonly snapshot: Snapshot } | undefined;
  #failure: Error | undefined;
  #asking: Promise<void> | undefined;
  #due = true;

  constructor(options: OciOptions) {
    const { host, repository, reference } = locationOf(options.url);
    const { user, password, token, ca } = options;
    const plain = `http://${host}`;
    // With authorities of its own, one on this machine speaks TLS as well.
    const origin = isPlainOnLoopback(plain) && ca === undefined ? plain : `https://${host}`;
    this.#options = options;
    this.#reference = reference;
    this.#registry = new Registry({ origin, repository, user, password, token, ca });
    this.description = `oci ${options.url.replace(/^oci:\/\//, '')}`;
  }

  async head(): Promise<string> {
    return (await this.read()).revision;
  }

  async read(): Promise<Snapshot> {
    if (this.#due) {
      this.#due = false;
      this.#asking ??= this.#ask().finally(() => (this.#asking = undefined));
    }
    await this.#asking;
    if (this.#failure !== undefined) throw this.#failure;
    return this.#kept!.snapshot;
  }

  poke(): void {
    this.#due = true;
  }

  accepts(commit: Commit | undefined): boolean {
    return isSignedByKey(commit, this.#options.signing);
  }

  async watch(changed: () => void): Promise<() => Promise<void>> {
    const timer = setInterval(() => (this.poke(), changed()), this.#options.poll_ms);
    timer.unref();
    return async () => {
      clearInterval(timer);
      await this.#asking;
    };
  }

  /** Never throws: what fails is told by the next read, and holds until it is asked again. */
  async #ask(): Promise<void> {
    const { time_ms_max = time_default_ms_max } = this.#options;
    const signal = AbortSignal.timeout(time_ms_max);
    try {
      const digest = await this.#newest(signal);
      if (digest === undefined || digest !== this.#kept?.digest) this.#kept = await this.#fetch(signal);
      this.#failure = undefined;
    } catch (error) {
      this.#failure =
        error instanceof BundleError
          ? error
          : refusal(
              'unreachable',
              `${this.#options.url} cannot be fetched: ${signal.aborted ? `no end within ${time_ms_max / 1000} s` : messageOf(error)}`,
              {
                help: 'Check policy.oci: url, user and password or token, and ca. The last good revision stays in force.',
                cause: error,
              },
            );
    }
  }

  /** What the reference stands for by now; undefined where the registry says it only with the manifest. */
  async #newest(signal: AbortSignal): Promise<string | undefined> {
    if (this.#kept === undefined) return undefined;
    const { status, headers } = await this.#registry.manifest(this.#reference, manifestTypes, { method: 'HEAD', bytes_max: 0, signal }); // prettier-ignore
    if (status === 405) return undefined;
    if (status !== 200) throw new Error(`the registry answers ${status}`);
    return headers['docker-content-digest']?.toString();
  }

  async #fetch(signal: AbortSignal): Promise<{ digest: string; snapshot: Snapshot }> {
    const { status, headers, body } = await this.#registry.manifest(this.#reference, manifestTypes, { bytes_max: manifest_bytes_max, signal }); // prettier-ignore
    if (status !== 200) throw new Error(`the registry answers ${status}`);
    const own = `sha256:${createHash('sha256').update(body).digest('hex')}`;
    const digest = headers['docker-content-digest']?.toString() ?? own;
    demandDigest(digest, body);
    if (this.#reference.includes(':')) demandDigest(this.#reference, body);
    const manifest = manifestOf(body);
    const { builder, revision, signer } = await this.#policyOf(manifest.layers, signal);
    const hash = own.slice('sha256:'.length);
    const created = Date.parse(String(manifest.annotations['org.opencontainers.image.created']));
    const commit = {
      ...{ hash, subject: revision, author: this.#options.url, time: new Date(created || Date.now()).toISOString() },
      ...(signer && { signer }),
    };
    return { digest, snapshot: builder.finish({ revision: `oci:${hash}`, commit }) };
  }

  async #policyOf(layers: readonly Descriptor[], signal: AbortSignal): Promise<Archive> {
    const bundles = layers.filter(({ mediaType }) => bundleTypes.has(mediaType));
    const single = layers.filter(({ mediaType }) => fileTypes.test(mediaType));
    const [bundle] = bundles;
    // A layer of another kind may be what was meant to deny.
    if (bundles.length + single.length !== layers.length || layers.length === 0 || (bundle && layers.length !== 1))
      throw refusal('bad_artifact', 'the artifact is neither one bundle nor files of policy: its layers are ' + (layers.map(({ mediaType }) => mediaType).join(', ').slice(0, 500) || 'none'), {
        help: `Push what \`sallyport build\` writes as one layer of ${[...bundleTypes][0]!}.`,
      }); // prettier-ignore
    const bytes = layers.reduce((sum, { size }) => sum + size, 0);
    if (bytes > snapshot_bytes_max || layers.length > files_max) throw new Error('the artifact is too large');
    const { signing } = this.#options;
    if (bundle !== undefined) return readBundle(await this.#registry.blob(bundle.digest, bundle.size, signal), signing);
    const files = new Map<string, Uint8Array>();
    for (const { annotations, digest, size, mediaType } of single) {
      const titled = annotations[title];
      const own = typeof titled === 'string' ? titled.replace(/^(\.?\/)+/, '') : '';
      const name = mediaType.includes('.manifest.') ? '.manifest' : own;
      if ((name !== '.manifest' && !isPolicyFile(name)) || files.has(name))
        throw refusal('bad_artifact', `a layer has the title of no policy file, or one that another has: ${JSON.stringify(name)}`, { help: 'Rego ends in .rego, and data are data.json.' }); // prettier-ignore
      files.set(name, await this.#registry.blob(digest, size, signal));
    }
    return policyIn(files, signing);
  }
}

function manifestOf(body: Buffer): { layers: Descriptor[]; annotations: Record<string, unknown> } {
  const { layers, annotations = {} } = JSON.parse(body.toString('utf8')) as Record<string, unknown>;
  if (!Array.isArray(layers))
    throw refusal('bad_artifact', 'the manifest has no layers: it is an index of several, or something else', {
      help: 'Name the artifact itself, by its tag or digest.',
    });
  return { layers: layers.map(descriptor), annotations: annotations as Record<string, unknown> };
}

function descriptor(given: unknown): Descriptor {
  const { mediaType, digest, size, annotations } = (given ?? {}) as Record<string, unknown>;
  if (typeof mediaType !== 'string' || typeof digest !== 'string' || !Number.isSafeInteger(size) || Number(size) < 0)
    throw refusal('bad_artifact', 'a layer of the manifest has no type, digest or size');
  return { mediaType, digest, size: Number(size), annotations: (annotations ?? {}) as Record<string, unknown> };
}

/** Names as the distribution specification has them: nothing in them leads to another path of the registry. */
export const ociUrlPattern =
  '^oci://(?<host>[A-Za-z0-9.-]+(?::[0-9]{1,5})?|\\[::1\\](?::[0-9]{1,5})?)/(?<repository>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)(?::(?<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127})|@(?<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))$';

function locationOf(url: string): { host: string; repository: string; reference: string } {
  const { host, repository, tag, digest } = new RegExp(ociUrlPattern).exec(url)?.groups ?? {};
  const reference = tag ?? digest;
  if (host === undefined || repository === undefined || reference === undefined)
    throw refusal('bad_remote', `policy.oci.url ${JSON.stringify(url.slice(0, 500))} names no artifact`, {
      help: 'Write oci://REGISTRY/REPOSITORY:TAG, or @sha256:… in place of the tag.',
    });
  return { host, repository, reference };
}
