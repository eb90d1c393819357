import type { Module } from './ast.js';
import { refusal, type Problem } from './error.js';
import { nearest } from './nearest.js';
import { isTestModule } from './verify.js';
import { locate } from './verify-data.js';

/** The columns that a target has: what `sallyport classify TARGET --json` wrote. */
export interface Catalog {
  readonly target: string;
  /** "app.customers.email" */
  readonly columns: ReadonlySet<string>;
}

/** @param name Of the file, for what is said of it. Throws BundleError where it is none. */
export function readCatalog(name: string, text: string): Catalog {
  try {
    const { target, columns } = JSON.parse(text) as { target?: unknown; columns?: unknown };
    if (typeof target !== 'string' || !Array.isArray(columns)) throw new TypeError('no target, or no columns');
    // A label that was kept for a column that was not seen has no type: that column is what is looked for here.
    const seen = (columns as { column?: unknown; type?: unknown }[]).filter(({ type }) => typeof type === 'string');
    return { target, columns: new Set(seen.map(({ column }) => String(column))) };
  } catch (error) {
    throw refusal('bad_catalog', 'is no catalog of a target', {
      file: name,
      help: 'Write it with `sallyport classify TARGET --sample 0 --json -o FILE`.',
      cause: error,
    });
  }
}

/** Labels and masks of columns that no relation has: nothing is masked by them. Of schemas that were looked at alone. */
export function unknownColumns(
  files: ReadonlyMap<string, Uint8Array>,
  data: unknown,
  modules: readonly Module[],
  catalogs: readonly Catalog[],
): Problem[] {
  if (catalogs.length === 0) return [];
  const classification = (data as { classification?: Record<string, Record<string, unknown>> }).classification ?? {};
  const labelled = catalogs.flatMap((catalog) =>
    Object.keys(classification[catalog.target] ?? {}).flatMap((column) => {
      const found = missing(column, [catalog]);
      if (found === undefined) return [];
      const path = ['classification', catalog.target, column];
      return [{ ...problem(`${catalog.target} has no column ${column}: its label masks nothing`, found), ...locate(files, path) }]; // prettier-ignore
    }),
  );
  const masked = modules
    .filter((module) => !isTestModule(module) && ['policy.postgres', 'policy.all'].includes(module.package))
    .flatMap(({ file, rules }) =>
      rules.flatMap(({ name, kind, element }) => {
        const resource = name === 'mask' && kind === 'set' ? element?.fields.get('resource') : undefined;
        if (typeof resource?.constant !== 'string' || resource.constant === '*') return [];
        const found = missing(resource.constant, catalogs);
        if (found === undefined) return [];
        const of = catalogs.map(({ target }) => target).join(', ');
        return [{ ...problem(`this mask is of ${resource.constant}, and no such column is in the catalog of ${of}`, found), file, line: resource.line }]; // prettier-ignore
      }),
    );
  return [...labelled, ...masked];
}

interface Missing {
  readonly near: string | undefined;
}

/** Undefined where a catalog has it, or where none has looked at its schema. */
function missing(column: string, catalogs: readonly Catalog[]): Missing | undefined {
  const schema = `${column.split('.')[0] ?? ''}.`;
  const known = catalogs.flatMap(({ columns }) => [...columns]);
  if (known.includes(column) || !known.some((other) => other.startsWith(schema))) return undefined;
  return { near: nearest(column, known) };
}

const problem = (message: string, { near }: Missing): Problem => ({
  code: 'unknown_column',
  message,
  help: near === undefined ? 'Rename it as the catalog has it, or take it out.' : `Did you mean ${near}?`,
});
