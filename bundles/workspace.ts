import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { refusal } from './error.js';
import { packageRoot } from './package-root.js';
import { writeTar } from './tar.js';

/** Sallyport's own Rego: what every policy is compiled with. */
export interface Library {
  /** The entry point and the helpers, without tests; by path. */
  readonly rego: ReadonlyMap<string, Uint8Array>;
  /** JSON Schemas of the input; by file name. */
  readonly schemas: ReadonlyMap<string, Uint8Array>;
  /** Of all of it; hexadecimal. */
  readonly digest: string;
}

/** The folder in which the library stands beside a site's files; a site's own folder must not be called so. */
export const libraryFolder = '_sallyport';

export async function loadLibrary(folder = path.join(packageRoot, 'rego')): Promise<Library> {
  const rego = await filesBelow(
    path.join(folder, 'sallyport'),
    (name) => name.endsWith('.rego') && !name.endsWith('_test.rego'),
  );
  const schemas = await filesBelow(path.join(folder, 'schemas'), (name) => name.endsWith('.json'));
  if (rego.size === 0)
    throw refusal('library_missing', `Sallyport's own Rego is not in ${folder}`, { help: 'Reinstall Sallyport.' });
  const hash = createHash('sha256');
  for (const [name, content] of [...rego, ...schemas]) {
    hash.update(`${Buffer.byteLength(name)}:${name}${content.length}:`);
    hash.update(content);
  }
  return { rego, schemas, digest: hash.digest('hex') };
}

async function filesBelow(folder: string, wanted: (name: string) => boolean): Promise<Map<string, Uint8Array>> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const kept = names
    .map((name) => name.split(path.sep).join('/'))
    .filter(wanted)
    .sort();
  const contents = await Promise.all(kept.map((name) => readFile(path.join(folder, name))));
  return new Map(kept.map((name, index) => [name, contents[index] ?? new Uint8Array()]));
}

/** A private folder in which one build works, gone afterwards. */
export async function withWorkspace<T>(work: (folder: string) => Promise<T>): Promise<T> {
  // mkdtemp makes it readable for its owner alone.
  const folder = await mkdtemp(path.join(os.tmpdir(), 'sallyport-build-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Writes files beneath a folder. The paths were checked when the snapshot was made; here they are checked again. */
export async function writeFiles(
  folder: string,
  files: Iterable<readonly [string, Uint8Array | string]>,
): Promise<void> {
  const made = new Set<string>();
  for (const [name, content] of files) {
    const file = path.resolve(folder, name);
    if (!file.startsWith(path.resolve(folder) + path.sep)) throw new Error(`${name} leads out of the workspace`);
    const parent = path.dirname(file);
    if (!made.has(parent)) await mkdir(parent, { recursive: true });
    made.add(parent);
    await writeFile(file, content);
  }
}

/** One file in place of hundreds, which OPA reads as it reads the folder: it is put together here and read there in a tenth of the time. */
export async function writeArchive(file: string, files: Iterable<readonly [string, Uint8Array]>): Promise<void> {
  // Stored and not compressed: it is read once, on this machine.
  await writeFile(file, await promisify(gzip)(writeTar(new Map(files)), { level: 0 }));
}
