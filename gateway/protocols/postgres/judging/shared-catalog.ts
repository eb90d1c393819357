import type { Template } from './statement.js';
import { NameCache, type Named, type Path } from '../sql/catalog.js';
import { Forms, type Retelling } from '../sql/forms.js';

/** What sessions of one target, database and role found out of the catalog, and the templates that they made of it. */

/** How long an answer holds for what somebody else may change meanwhile. */
export const catalog_ms_default = 5_000;
/** Between two times that all is forgotten since a statement found the catalog changed. */
const outdated_ms_min = 500;
/** Texts whose templates are kept, and their length in all. */
export const templates_max = 4_096;
export const templates_bytes_max = 32 * 1024 * 1024;
/** Search paths whose names are kept apart. */
export const paths_max = 64;

export interface Entry {
  readonly template: Template;
  readonly names: ReadonlyMap<string, Named>;
  /** A statement in the midst of it ends a transaction: what follows means something else where the session is unsettled. */
  readonly endsMidway: boolean;
  until_ms: number;
  /** When the oldest of what came out of functions' bodies was read; Infinity where nothing did. */
  looked_ms: number;
}

/** What was learned of one text of a form, for the others. */
export interface FormEntry {
  readonly retelling: Retelling;
  readonly names: ReadonlyMap<string, Named>;
  until_ms: number;
  looked_ms: number;
}

/** Names and templates of one search path. */
export class Memory {
  readonly names = new NameCache();
  readonly forms = new Forms<FormEntry>();
  readonly templates = new Map<string, Entry>();
  #bytes = 0;

  keep(text: string, entry: Entry): void {
    if (this.templates.delete(text)) this.#bytes -= text.length;
    this.templates.set(text, entry);
    this.#bytes += text.length;
    for (const oldest of this.templates.keys()) {
      if (this.templates.size <= templates_max && this.#bytes <= templates_bytes_max) break;
      this.templates.delete(oldest);
      this.#bytes -= oldest.length;
    }
  }
}

export interface KnownPath {
  readonly path: Path;
  read_ms: number;
}

/** What sessions of one target, database and role know together. */
export class SharedCatalog {
  readonly catalog_ms: number;
  readonly #memories = new Map<string, Memory>();
  readonly #paths = new Map<string, KnownPath>();
  #outdated_ms = -Infinity;
  /** Rises whenever something of ours may have changed the catalog: what was read before counts no more. */
  generation = 0;

  constructor(options: { readonly catalog_ms?: number } = {}) {
    this.catalog_ms = options.catalog_ms ?? catalog_ms_default;
  }

  /** A session of ours ran DDL: nothing that was read before it holds. */
  drop(): void {
    this.generation++;
    this.#memories.clear();
    this.#paths.clear();
  }

  /** What was read is not what is there now. A client can say so as well, by its own errors: not as often as it likes. */
  outdated(now_ms: number): void {
    if (this.#outdated_ms + outdated_ms_min > now_ms) return;
    this.#outdated_ms = now_ms;
    this.drop();
  }

  memory(path: Path): Memory {
    let memory = this.#memories.get(path.key);
    if (memory === undefined) {
      memory = new Memory();
      this.#memories.set(path.key, memory);
      if (this.#memories.size > paths_max)
        for (const oldest of this.#memories.keys()) {
          this.#memories.delete(oldest);
          break;
        }
    }
    return memory;
  }

  path(identity: string): KnownPath | undefined {
    return this.#paths.get(identity);
  }

  learn(identity: string, path: Path, now_ms: number): void {
    this.#paths.set(identity, { path, read_ms: now_ms });
    if (this.#paths.size > paths_max)
      for (const oldest of this.#paths.keys()) {
        this.#paths.delete(oldest);
        break;
      }
  }
}
