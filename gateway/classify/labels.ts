import { parse } from 'yaml';
import type { Snapshot } from '../../bundles/index.js';

/** What a policy says already, of one target. */
export interface Labels {
  /** By qualified column. */
  readonly columns: ReadonlyMap<string, readonly string[]>;
  /** Mask function, or none, by label. */
  readonly masks: ReadonlyMap<string, string>;
}

/**
 * Out of a policy's data files: `data.yaml` in a folder is the document at that path. Where a file isn't in the form of
 * the contract, what can be read of it is; `sallyport check` is what refuses it.
 */
export function labelsOf(snapshot: Snapshot, target: string): Labels {
  const columns = new Map<string, string[]>();
  const masks = new Map<string, string>();
  for (const [file, content] of snapshot.files) {
    if (file.endsWith('.rego')) continue;
    const folders = file.split('/').slice(0, -1);
    const document = read(Buffer.from(content).toString('utf8'));
    for (const [column, labels] of entries(at(document, folders, ['classification', target]))) {
      const list = (Array.isArray(labels) ? labels : [labels]).filter((label) => typeof label === 'string');
      columns.set(column, [...(columns.get(column) ?? []), ...list]);
    }
    for (const [label, mask] of entries(at(document, folders, ['masks']))) {
      if (typeof mask === 'string') masks.set(label, mask);
    }
  }
  return { columns, masks };
}

export const noLabels: Labels = { columns: new Map(), masks: new Map() };

function read(text: string): unknown {
  try {
    return parse(text, { logLevel: 'silent' }) as unknown;
  } catch {
    return undefined;
  }
}

/** The part of the data at a path, of a document that itself stands at `folders`. */
function at(document: unknown, folders: readonly string[], path: readonly string[]): unknown {
  if (folders.length > path.length || folders.some((folder, index) => folder !== path[index])) return undefined;
  return path.slice(folders.length).reduce<unknown>((value, key) => new Map(entries(value)).get(key), document);
}

const entries = (value: unknown): [string, unknown][] =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
