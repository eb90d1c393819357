import { createPublicKey } from 'node:crypto';
import { promisify } from 'node:util';
import { crc32, gunzip } from 'node:zlib';
import type { Build } from './compile.js';
import { messageOf, refusal } from './error.js';
import { type BundleKeys, type BundleSigner, canonical, demandSignedBundle, signatureFile, signBundle } from './opa-signatures.js'; // prettier-ignore
import { isPolicyFile, SnapshotBuilder, snapshot_bytes_max } from './snapshot.js';
import { readTar, writeTar } from './tar.js';
import { libraryFolder } from './workspace.js';

/**
 * A bundle as OPA has it: Rego, one data.json, `.manifest` and perhaps `.signatures.json`, in a tar that is gzipped.
 *
 * @see https://www.openpolicyagent.org/docs/latest/management-bundles/#bundle-file-format
 */
export interface Archive {
  readonly builder: SnapshotBuilder;
  /** What whoever built it called it; for people. */
  readonly revision: string;
  /** The fingerprint of the key, where a signature is asked for. */
  readonly signer: string | undefined;
}

const unzip = promisify(gunzip);
const manifestFile = '.manifest';

/**
 * The policy in an archive, by whomever it was built.
 *
 * @throws BundleError where it is none, is a change to another, or is not signed as is asked for.
 */
export async function readBundle(body: Buffer, signing: BundleKeys | undefined): Promise<Archive> {
  return policyIn(await filesOf(body), signing);
}

/** The same of files that did not come in one archive. */
export async function policyIn(
  archive: ReadonlyMap<string, Uint8Array>,
  signing: BundleKeys | undefined,
): Promise<Archive> {
  if (archive.has('patch.json'))
    throw refusal('delta_bundle', 'is a change to another bundle', { file: 'patch.json', help: 'Serve whole bundles: this gateway asks for no others.' }); // prettier-ignore
  const signed = signing && (await demandSignedBundle(archive, signing));
  const builder = new SnapshotBuilder();
  for (const [name, content] of signed?.files ?? archive)
    if (isPolicyFile(name) && !isLibrary(name, content)) builder.add(name, content);
  return { builder, revision: revisionOf(archive.get(manifestFile)), signer: signed?.signer };
}

async function filesOf(body: Buffer): Promise<Map<string, Buffer>> {
  try {
    return readTar(await unzip(body, { maxOutputLength: 2 * snapshot_bytes_max }), 'whole');
  } catch (error) {
    throw refusal('bad_bundle', `what the server sent is no bundle: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Sallyport's own Rego, which `sallyport build` puts in for plain OPA: a gateway compiles with the one that it came with. Only what
 * says that it is that is left out. A site's rule in such a folder stays, and the build refuses it there: left out, it would be
 * a deny that nobody misses.
 */
function isLibrary(name: string, content: Uint8Array): boolean {
  if (!name.endsWith('.rego') || !`/${name}`.includes(`/${libraryFolder}/`)) return false;
  const said = Buffer.from(content).toString('utf8').split(/\r?\n/).filter((line) => !/^\s*(#.*)?$/.test(line)); // prettier-ignore
  // A module begins with its package; before it stand comments alone. `package policy` has nothing but its METADATA.
  return /^package sallyport(\.[a-z_]+)*\s*$/.test(said[0] ?? '') || said.join('\n').trimEnd() === 'package policy';
}

function revisionOf(manifest: Uint8Array | undefined): string {
  try {
    const { revision } = JSON.parse(Buffer.from(manifest ?? []).toString('utf8')) as { revision?: unknown };
    return typeof revision === 'string' ? revision.slice(0, 200) : '';
  } catch {
    return '';
  }
}

/**
 * The files of a bundle that plain OPA answers from as the gateway does, at `data.sallyport.decision`: the policy with its codes
 * filled in, its tests, Sallyport's own Rego, and its data as OPA has read them. Equal policies give equal files.
 *
 * @param revision What the bundle calls itself.
 */
export function bundleFiles({ rego, layer }: Build, revision: string): Map<string, Uint8Array> {
  return new Map<string, Uint8Array>([
    [manifestFile, Buffer.from(`${canonical({ rego_version: 1, revision, roots: [''] })}\n`)],
    ['data.json', Buffer.from(`${canonical(layer.data)}\n`)],
    ...rego,
  ]);
}

/** The files with their signature. @throws BundleError where the key cannot sign, or its signature would not be taken. */
export async function signedFiles(
  files: ReadonlyMap<string, Uint8Array>,
  signer: BundleSigner,
): Promise<Map<string, Uint8Array>> {
  const signed = new Map([...files, [signatureFile, await signBundle(files, signer)] as const]);
  const { key, algorithm, id, scope } = signer;
  const pem = createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();
  const keys = [{ algorithm, pem, ...(id !== undefined && { id }) }];
  await demandSignedBundle(signed, { keys, ...(scope !== undefined && { scope }) });
  return signed;
}

/** A gzipped tar, equal to the byte for equal files. */
export function packBundle(files: ReadonlyMap<string, Uint8Array>): Buffer {
  try {
    return stored(writeTar(files));
  } catch (error) {
    throw refusal('bad_name', messageOf(error), { help: 'Give the file or its folders shorter names.', cause: error });
  }
}

/** The largest stored block of deflate: its length has 16 bits (RFC 1951, 3.2.4). */
const block_bytes_max = 65_535;

/**
 * Gzip that does not compress: what zlib makes of the same bytes differs with its version and the processor, and policies are small.
 * No time, no name, no system in the header (RFC 1952, 2.3).
 */
function stored(content: Buffer): Buffer {
  const parts: Uint8Array[] = [Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])];
  for (let at = 0; at === 0 || at < content.length; at += block_bytes_max) {
    const piece = content.subarray(at, at + block_bytes_max);
    const head = Buffer.alloc(5);
    head[0] = at + block_bytes_max >= content.length ? 1 : 0;
    head.writeUInt16LE(piece.length, 1);
    head.writeUInt16LE(piece.length ^ 0xffff, 3);
    parts.push(head, piece);
  }
  const end = Buffer.alloc(8);
  end.writeUInt32LE(crc32(content), 0);
  end.writeUInt32LE(content.length % 2 ** 32, 4);
  return Buffer.concat([...parts, end]);
}
