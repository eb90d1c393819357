import { createHash } from 'node:crypto';
import path from 'node:path';
import type { Module } from './ast.js';
import { dependencies, type Tool } from './opa-run.js';
import { combinationQuery, minimal, protocolQuery, protocols, wholeDocument } from './reads.js';
import { writeArchive } from './workspace.js';

/**
 * What decisions of each protocol can depend on, for the revision's manifest. `opa deps` tells it, once for each protocol that
 * has rules; what it said is kept for as long as no file changes that those rules reach, so that a commit to the rules of one
 * protocol asks for that one alone.
 */

/** Answers that are kept: a few revisions of all protocols. */
const kept_max = 64;

/** Our own packages of helpers, which know no site's rules; whatever else is asked of `sallyport` may reach all of them. */
const helpers = new Set<string>(protocols.map((name) => `sallyport.${name}`));

export class Reads {
  readonly #kept = new Map<string, readonly string[]>();
  #combination: Promise<string[]> | undefined;

  /**
   * @param tool Over what is in force, without tests. @param texts The content of its modules, by file.
   * @param library Sallyport's own Rego, by path.
   */
  async of(
    tool: Tool,
    modules: readonly Module[],
    texts: ReadonlyMap<string, Uint8Array>,
    library: readonly (readonly [string, Uint8Array])[],
  ): Promise<Record<string, string[]>> {
    const has = (protocol: string) => modules.some((module) => module.package === `policy.${protocol}`);
    const ask = async (protocol: string) => {
      const key = digestOf(protocol, reached(modules, [`policy.${protocol}`, 'policy.all']), texts);
      const known = this.#kept.get(key);
      if (known !== undefined) return known;
      const found = await dependencies(tool, protocolQuery(protocol));
      // All of it may be the answer where none could be given.
      if (!found.includes(wholeDocument)) this.#keep(key, found);
      return found;
    };
    const all = has('all') ? ask('all') : Promise.resolve([]);
    const own = protocols.map(async (protocol) => {
      const [combination, found] = await Promise.all([
        this.#combinationReads(tool, library),
        has(protocol) ? ask(protocol) : all,
      ]);
      return [protocol, minimal([...combination, ...found])] as const;
    });
    return Object.fromEntries(await Promise.all(own));
  }

  #keep(key: string, found: readonly string[]): void {
    this.#kept.set(key, found);
    const oldest = this.#kept.keys().next().value;
    if (this.#kept.size > kept_max && oldest !== undefined) this.#kept.delete(oldest);
  }

  #combinationReads(tool: Tool, library: readonly (readonly [string, Uint8Array])[]): Promise<string[]> {
    this.#combination ??= (async () => {
      await writeArchive(path.join(tool.folder, 'alone.tar.gz'), library);
      return dependencies({ ...tool, bundle: 'alone.tar.gz' }, combinationQuery);
    })().catch((error: unknown) => {
      this.#combination = undefined;
      throw error;
    });
    return this.#combination;
  }
}

/** The modules that hold whatever can stand at these paths, or at one that their rules refer to: rather too many than one too few. */
export function reached(modules: readonly Module[], paths: readonly string[]): Module[] {
  const left = new Set(modules);
  const asked = [...paths];
  const known = new Set(asked);
  const found: Module[] = [];
  for (let at = asked.pop(); at !== undefined; at = asked.pop()) {
    for (const module of left) {
      if (!overlap(module.package, placeOf(at))) continue;
      left.delete(module);
      found.push(module);
      for (const use of module.uses) {
        if (known.has(use)) continue;
        known.add(use);
        asked.push(use);
      }
    }
  }
  return found;
}

/** Where a path leads among a site's rules: "" to all of them. */
function placeOf(used: string): string {
  const [head, second] = used.split('.');
  if (head !== 'sallyport') return used;
  return helpers.has(`sallyport.${second ?? ''}`) ? used : '';
}

const overlap = (one: string, other: string): boolean =>
  one === other || one === '' || other === '' || one.startsWith(`${other}.`) || other.startsWith(`${one}.`);

function digestOf(protocol: string, modules: readonly Module[], texts: ReadonlyMap<string, Uint8Array>): string {
  const hash = createHash('sha256').update(protocol);
  for (const file of modules.map((module) => module.file).sort()) {
    const content = texts.get(file) ?? new Uint8Array();
    hash.update(`${Buffer.byteLength(file)}:${file}${content.length}:`).update(content);
  }
  return hash.digest('hex');
}
