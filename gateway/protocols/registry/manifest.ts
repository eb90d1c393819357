import { bodyOf, RequestRefusal, sha256 } from '../../web/index.js';
import { hash } from 'node:crypto';
import { digestOf, type Digest } from './names.js';
import type { Descriptor, Manifest } from './schema.js';

/**
 * Manifests: what an image is made of. Only those of which one reading is known are understood: by the four media types of
 * images and of lists of images.
 *
 * @see OCI image specification 1.1, "Image Manifest" and "Image Index"; Docker's "Image Manifest Version 2, Schema 2"
 */

/** What registries take at most (OCI distribution specification 1.1, "Pushing manifests"). */
export const manifest_bytes_max = 4_194_304;
const descriptors_max = 1_000;

const kinds: Readonly<Record<string, Manifest['kind']>> = {
  'application/vnd.oci.image.manifest.v1+json': 'image',
  'application/vnd.docker.distribution.manifest.v2+json': 'image',
  'application/vnd.oci.image.index.v1+json': 'index',
  'application/vnd.docker.distribution.manifest.list.v2+json': 'index',
};

/** What clients of the gateway are offered: other manifests (the first Docker schema) have another digest than their text. */
export const accepted = Object.keys(kinds).join(', ');

const spelled = (...keys: string[]): ReadonlyMap<string, string> => new Map(keys.map((key) => [folded(key), key]));
const folded = (key: string): string => key.normalize('NFKC').toLowerCase();

/** What is read of each part. */
const names = {
  manifest: spelled(
    ...['schemaVersion', 'mediaType', 'artifactType', 'config', 'layers', 'manifests', 'fsLayers'],
    ...['subject', 'annotations'],
  ),
  descriptor: spelled('mediaType', 'artifactType', 'digest', 'size', 'urls', 'annotations', 'data', 'platform'),
  platform: spelled('os', 'architecture', 'variant'),
};

const noRepeats = { repeated: new Set<string>() };

const essenceOf = (media: string | undefined): string => (media ?? '').split(';')[0]!.trim().toLowerCase();

/** Whether this is the media type of a manifest that is understood. */
export const isManifestType = (media: string): boolean => Object.hasOwn(kinds, essenceOf(media));

/** Throws RequestRefusal (code `manifest_invalid`) for what is none, or could be taken for another. */
export function readManifest(bytes: Buffer, media: string | undefined): Manifest {
  const essence = essenceOf(media);
  const kind = Object.hasOwn(kinds, essence) ? kinds[essence] : undefined;
  if (kind === undefined) throw invalid('Content-Type names none of the manifests of OCI and Docker (schema 2)');
  const { seen } = bodyOf(bytes, new Map([['content-type', 'application/json']]), noRepeats);
  if (!isObject(seen?.json)) throw invalid('it is no JSON object, or a larger one than is looked at');
  const own = seen.json;
  checkSpelling(own, names.manifest, 'the manifest');
  // A text that is both would be one thing to one reader and another to the next (CVE-2021-41190).
  if (own['mediaType'] !== undefined && own['mediaType'] !== essence) throw invalid('mediaType is not Content-Type');
  if (own['schemaVersion'] !== 2) throw invalid('schemaVersion is not 2');
  for (const name of kind === 'image' ? ['manifests', 'fsLayers'] : ['layers', 'config', 'fsLayers']) {
    if (own[name] !== undefined) throw invalid(`it is both an image and a list of images (${name})`);
  }
  const config = kind === 'image' ? descriptorOf(own['config'], 'config') : undefined;
  const layers = kind === 'image' ? listOf(own['layers'], 'layers') : [];
  const manifests = kind === 'index' ? listOf(own['manifests'], 'manifests') : [];
  const subject = own['subject'] === undefined ? undefined : descriptorOf(own['subject'], 'subject');
  return {
    kind,
    media_type: essence,
    digest: `sha256:${sha256(bytes)}`,
    bytes: bytes.length,
    ...(typeof own['artifactType'] === 'string' ? { artifact_type: own['artifactType'] } : {}),
    ...(config === undefined ? {} : { config }),
    layers,
    manifests,
    size: [...layers, ...manifests, ...(config === undefined ? [] : [config])].reduce((sum, one) => sum + one.size, 0),
    annotations: textsOf(own['annotations'], 'annotations'),
    ...(subject === undefined ? {} : { subject: subject.digest }),
  };
}

/** The digest of these bytes by the algorithm of another one. */
export const digestLike = (bytes: Buffer, { algorithm }: Digest): string =>
  `${algorithm}:${hash(algorithm, bytes, 'hex')}`;

/**
 * The labels of an image, from its configuration; undefined where it is none, or has labels that are no texts.
 *
 * @see OCI image specification 1.1, "Image Configuration"
 */
export function labelsOf(bytes: Buffer): Readonly<Record<string, string>> | undefined {
  let seen: unknown;
  try {
    seen = bodyOf(bytes, new Map([['content-type', 'application/json']]), noRepeats).seen?.json;
    if (!isObject(seen) || !(seen['config'] === undefined || isObject(seen['config']))) return undefined;
    return textsOf(seen['config']?.['Labels'] ?? {}, 'Labels');
  } catch (error) {
    if (error instanceof RequestRefusal) return undefined;
    throw error;
  }
}

const invalid = (what: string) => new RequestRefusal(400, 'manifest_invalid', `the manifest is refused: ${what}`);

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Registries and clients that are written in Go take a key in capitals, or with a letter that folds to the right one, for the
 * one that they look for: "URLs" would be urls to them, and nothing here.
 *
 * @see https://pkg.go.dev/encoding/json#Unmarshal
 */
function checkSpelling(value: object, known: ReadonlyMap<string, string>, where: string): void {
  for (const key of Object.keys(value)) {
    const meant = known.get(folded(key));
    if (meant !== undefined && meant !== key) throw invalid(`${where} has ${meant} in another spelling`);
  }
}

function listOf(value: unknown, name: string): Descriptor[] {
  if (!Array.isArray(value)) throw invalid(`${name} is no list`);
  if (value.length > descriptors_max) throw invalid(`${name} has more than ${descriptors_max} parts`);
  return value.map((one) => descriptorOf(one, name));
}

function descriptorOf(value: unknown, name: string): Descriptor {
  if (!isObject(value)) throw invalid(`${name} is no descriptor`);
  checkSpelling(value, names.descriptor, name);
  const { mediaType, digest, size, platform, artifactType } = value;
  if (typeof digest !== 'string' || digestOf(digest) === undefined) throw invalid(`${name} has no digest`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw invalid(`${name} has no size`);
  if (typeof mediaType !== 'string') throw invalid(`${name} has no mediaType`);
  const on = platform === undefined ? undefined : platformOf(platform);
  return {
    digest,
    size,
    media_type: mediaType,
    ...(typeof artifactType === 'string' ? { artifact_type: artifactType } : {}),
    ...(on === undefined ? {} : { platform: on }),
    // Layers that are not in the registry are fetched from where this says.
    ...(value['urls'] === undefined ? {} : { foreign: true }),
  };
}

/** linux/amd64, linux/arm/v7 */
function platformOf(value: unknown): string {
  if (!isObject(value)) throw invalid('platform is no object');
  checkSpelling(value, names.platform, 'platform');
  const parts = [value['os'], value['architecture'], value['variant']];
  return parts.filter((part) => typeof part === 'string' && part !== '').join('/');
}

function textsOf(value: unknown, name: string): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw invalid(`${name} is no object`);
  const texts = Object.entries(value);
  if (!texts.every((entry): entry is [string, string] => typeof entry[1] === 'string')) {
    throw invalid(`${name} has a value that is no text`);
  }
  return Object.fromEntries(texts);
}
