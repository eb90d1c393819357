import { RequestRefusal } from '../../web/index.js';

/**
 * Names of repositories, tags and digests, by their grammars.
 *
 * @see OCI distribution specification 1.1, "Pulling manifests"; OCI image specification 1.1, "Digests"
 */

export type DigestAlgorithm = 'sha256' | 'sha512';

export interface Digest {
  readonly algorithm: DigestAlgorithm;
  /** Hexadecimal, in small letters. */
  readonly hex: string;
  /** "sha256:…" */
  readonly text: string;
}

const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
/** Servers find these in paths by their place from the end, or from the beginning: a repository named so would be read in two ways. */
const reserved: ReadonlySet<string> = new Set(['manifests', 'blobs', 'tags', 'referrers', 'uploads', 'v2']);
const name_chars_max = 255;
const digest_pattern = /^(?:(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128}))$/;
const tag_pattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

export function repositoryOf(components: readonly string[]): string {
  const name = components.join('/');
  const valid = components.length > 0 && components.every((part) => component.test(part) && !reserved.has(part));
  if (!valid || name.length > name_chars_max) {
    throw new RequestRefusal(
      400,
      'name_invalid',
      'that is no name of a repository: small letters, digits, ".", "_" and "-" between slashes, and none of the API\'s own words',
    );
  }
  return name;
}

/** Undefined for what is no digest, or one of an algorithm that is not checked here. */
export function digestOf(text: string): Digest | undefined {
  const [, short, shortHex, long, longHex] = digest_pattern.exec(text) ?? [];
  const algorithm = (short ?? long) as DigestAlgorithm | undefined;
  const hex = shortHex ?? longHex;
  return algorithm === undefined || hex === undefined ? undefined : { algorithm, hex, text };
}

/** Throws RequestRefusal. */
export function neededDigest(text: string): Digest {
  const digest = digestOf(text);
  if (digest === undefined) {
    throw new RequestRefusal(400, 'digest_invalid', 'that is no digest: sha256: or sha512: and its hexadecimal digits');
  }
  return digest;
}

export const isTag = (text: string): boolean => tag_pattern.test(text);

/** This machine, as URLs name it. */
export const loopback = /^(127(\.[0-9]{1,3}){3}|\[::1\]|localhost)$/u;
