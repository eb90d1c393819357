import type { Layer, LayerManifest } from '#engine';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { codeOf } from './error.js';
import type { Commit } from './snapshot.js';

/** One revision as it lies on disk: everything that is needed to put it into force without its source. */
export interface Stored {
  readonly revision: string;
  /** Of the source that it was built from. */
  readonly digest: string;
  /** Of what else went into it (Compiler.recipe). */
  readonly recipe: string;
  readonly commit?: Commit;
  readonly layer: Layer;
}

interface Card {
  readonly format: 1;
  readonly revision: string;
  readonly digest: string;
  readonly recipe: string;
  readonly commit?: Commit;
  /** SHA-256 of the files beside it. */
  readonly files: Readonly<Record<string, string>>;
}

const revisions_max = 8;

/**
 * The bundles that were in force, in `<directory>/revisions/<revision>/`: `policy.wasm`, `data.json`, `manifest.json`
 * and `bundle.json` with the checksums of these. A folder appears under its name only when it is whole.
 */
export class BundleStore {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = path.join(directory, 'revisions');
  }

  async save(stored: Stored): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const target = this.#folder(stored.revision);
    const files = layerFiles(stored.layer);
    const card: Card = {
      format: 1,
      revision: stored.revision,
      digest: stored.digest,
      recipe: stored.recipe,
      ...(stored.commit === undefined ? {} : { commit: stored.commit }),
      files: Object.fromEntries([...files].map(([name, content]) => [name, sha256(content)])),
    };
    const scratch = path.join(this.#directory, `.new-${randomBytes(6).toString('hex')}`);
    await mkdir(scratch, { mode: 0o700 });
    try {
      for (const [name, content] of [
        ...files,
        ['bundle.json', Buffer.from(JSON.stringify(card, undefined, 2))] as const,
      ]) {
        await writeDurably(path.join(scratch, name), content);
      }
      // A folder cannot replace another that is not empty.
      await rm(target, { recursive: true, force: true });
      await rename(scratch, target);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
    await this.#prune(stored.revision);
  }

  /** Undefined where it is not there. Throws where what is there is not what was saved. */
  async load(revision: string): Promise<Stored | undefined> {
    const folder = this.#folder(revision);
    let card: Card;
    try {
      card = JSON.parse(await readFile(path.join(folder, 'bundle.json'), 'utf8')) as Card;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
    if (card.format !== 1 || card.revision !== revision) throw new Error(`${folder} is not the bundle of ${revision}`);
    const read = async (name: string): Promise<Buffer> => {
      const content = await readFile(path.join(folder, name));
      if (sha256(content) !== card.files[name])
        throw new Error(`${path.join(folder, name)} is not what was saved: its checksum differs`);
      return content;
    };
    const [wasm, data, manifest] = await Promise.all([read('policy.wasm'), read('data.json'), read('manifest.json')]);
    return {
      revision,
      digest: card.digest,
      recipe: card.recipe,
      ...(card.commit === undefined ? {} : { commit: card.commit }),
      layer: {
        wasm: new Uint8Array(wasm),
        data: JSON.parse(data.toString('utf8')) as unknown,
        manifest: JSON.parse(manifest.toString('utf8')) as LayerManifest,
      },
    };
  }

  /** The revisions that lie there, in no order. */
  async list(): Promise<string[]> {
    const names = await readdir(this.#directory).catch(() => []);
    return names.filter((name) => /^[a-z]+-[0-9a-f]{40,64}$/.test(name)).map((name) => name.replace('-', ':'));
  }

  #folder(revision: string): string {
    if (!/^[a-z]+:[0-9a-f]{40,64}$/.test(revision)) throw new Error(`${JSON.stringify(revision)} is not a revision`);
    return path.join(this.#directory, revision.replace(':', '-'));
  }

  /** Keeps the newest few, and never loses the one that was just saved. */
  async #prune(keep: string): Promise<void> {
    const names = (await readdir(this.#directory)).filter(
      (name) => !name.startsWith('.new-') && path.join(this.#directory, name) !== this.#folder(keep),
    );
    const aged = await Promise.all(
      names.map(async (name) => ({
        name,
        at: await stat(path.join(this.#directory, name)).then(
          (found) => found.mtimeMs,
          () => 0,
        ),
      })),
    );
    const old = aged.sort((a, b) => b.at - a.at).slice(revisions_max - 1);
    await Promise.all(old.map(({ name }) => rm(path.join(this.#directory, name), { recursive: true, force: true })));
  }
}

/** A layer as files, the same bytes for the same layer. */
function layerFiles(layer: Layer): Map<string, Uint8Array> {
  return new Map<string, Uint8Array>([
    ['data.json', Buffer.from(JSON.stringify(layer.data))],
    ['manifest.json', Buffer.from(`${JSON.stringify(layer.manifest, undefined, 2)}\n`)],
    ['policy.wasm', layer.wasm],
  ]);
}

/** Readers see the old file or the new one, never half of either. */
export async function writeAtomically(file: string, content: string | Uint8Array): Promise<void> {
  const scratch = `${file}.${randomBytes(6).toString('hex')}.new`;
  try {
    await writeDurably(scratch, content);
    await rename(scratch, file);
  } catch (error) {
    await rm(scratch, { force: true });
    throw error;
  }
}

async function writeDurably(file: string, content: string | Uint8Array): Promise<void> {
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');
