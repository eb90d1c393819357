import type { Manifest, Signature } from './schema.js';

/**
 * What was found out about a registry and stays true: all of it is bound to digests. It goes with the target's connections
 * where its keys or its credential change.
 */
export class Learned {
  readonly #signatures = new Youngest<readonly Signature[]>(512);
  readonly #inert = new Youngest<boolean>(512);
  readonly #members = new Youngest<readonly SignedIndex[]>(8_192);

  /** What the manifest of signatures with this digest says of an image. */
  async signatures(
    of: string,
    image: string,
    look: () => Promise<{ readonly found: readonly Signature[]; readonly whole: boolean }>,
  ): Promise<readonly Signature[]> {
    const known = this.#signatures.get(`${of} ${image}`);
    if (known !== undefined) return known;
    const { found, whole } = await look();
    if (whole) this.#signatures.set(`${of} ${image}`, found);
    return found;
  }

  async inert(digest: string, look: () => Promise<boolean>): Promise<boolean> {
    const known = this.#inert.get(digest);
    if (known !== undefined) return known;
    const is = await look();
    // What is not may be once all of its parts are there.
    if (is) this.#inert.set(digest, is);
    return is;
  }

  /** Whoever signs an index signs what it names: its images are asked for next, each by its own digest. */
  signedIndex(repository: string, { digest, manifests }: Manifest, found: readonly Signature[], now_ms: number): void {
    const verified = found.filter((one) => one.verified && one.index === undefined);
    if (verified.length === 0) return;
    const signatures = verified.map((one) => ({ ...one, index: digest }));
    const index: SignedIndex = { digest, signatures, until_ms: now_ms + member_ms_max };
    for (const member of manifests) {
      const key = `${repository}@${member.digest}`;
      const others = (this.#members.get(key) ?? []).filter((one) => one.digest !== digest && one.until_ms > now_ms);
      this.#members.set(key, [index, ...others].slice(0, indexes_max));
    }
  }

  /** By way of indexes that were asked for within the last minutes. */
  throughIndexes(repository: string, digest: string, now_ms: number): readonly Signature[] {
    const indexes = this.#members.get(`${repository}@${digest}`) ?? [];
    return indexes.filter(({ until_ms }) => until_ms > now_ms).flatMap(({ signatures }) => signatures);
  }
}

interface SignedIndex {
  readonly digest: string;
  readonly signatures: readonly Signature[];
  readonly until_ms: number;
}

/** How long after an index its images may be asked for as parts of it: a signature that is taken back counts no longer. */
const member_ms_max = 600_000;
/** That name one image. */
const indexes_max = 4;

/** A map that forgets what was set longest ago. */
class Youngest<V> {
  readonly #entries = new Map<string, V>();
  readonly #entries_max: number;

  constructor(entries_max: number) {
    this.#entries_max = entries_max;
  }

  get(key: string): V | undefined {
    return this.#entries.get(key);
  }

  set(key: string, value: V): void {
    this.#entries.delete(key);
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined && this.#entries.size >= this.#entries_max) this.#entries.delete(oldest);
    this.#entries.set(key, value);
  }
}
