import { createHash } from 'node:crypto';
import { parse } from 'libpg-query';
import type { Operation, Resource } from '#engine';
import { ConfigError } from '../errors.js';

/**
 * What a statement says by its text alone, for a question that no database is at hand for: names as they are written
 * (`public` where no schema is), views and functions not looked into. The gateway itself asks the server's catalog.
 */
const kinds = {
  SelectStmt: ['select', 'read', 'read'],
  InsertStmt: ['insert', 'write', 'insert'],
  UpdateStmt: ['update', 'write', 'update'],
  DeleteStmt: ['delete', 'delete', 'delete'],
} as const;

/** Of the tree of a statement: two for each expression inside another. */
const levels_max = 2_000;

type Node = Readonly<Record<string, unknown>>;

export async function readStatement(sql: string): Promise<Operation> {
  const tree = (await parse(sql).catch((error: unknown) => {
    throw new ConfigError(`the statement is not SQL: ${error instanceof Error ? error.message : String(error)}`);
  })) as unknown as { stmts?: { stmt?: Node }[] };
  const [only, ...more] = tree.stmts ?? [];
  const [name = 'nothing', body] = Object.entries(only?.stmt ?? {})[0] ?? [];
  const kind = Object.hasOwn(kinds, name) ? kinds[name as keyof typeof kinds] : undefined;
  if (kind === undefined || more.length > 0)
    throw new ConfigError(
      'one SELECT, INSERT, UPDATE or DELETE can be asked for by its text; for others give the input document with --input, or a recorded decision with --decision',
    );
  const [word, action, access] = kind;
  const found = new Found();
  found.walk(body, access);
  const { relations, columns, functions } = found.named();
  const own = {
    statement: sql,
    statements: [
      {
        ...{
          kind: word,
          action,
          opaque: false,
          bounded: (body as Node)['whereClause'] !== undefined || word === 'select',
        },
        fingerprint: sha256(sql),
        relations: relations.map(({ name: of, access: how }) => ({ name: of, access: how, type: 'table' })),
        columns: columns.map(({ name: of, access: how, use }) => ({ name: of, access: how, use })),
        functions: functions.map(({ name: of }) => of),
        ...{ settings: [], unresolved: [] },
      },
    ],
    ...{ parameters: [], database: 'unknown', user: 'unknown' },
  };
  const resources = [...relations, ...columns, ...functions];
  if (resources.length === 0) resources.push({ type: 'database', name: 'unknown', access: 'use' });
  return { stage: 'execute', action, resources, opaque: false, hash: sha256(sql), postgres: own };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

class Found {
  readonly #relations = new Map<string, Resource>();
  /** Alias or name: the relation. */
  readonly #names = new Map<string, string>();
  readonly #columns: string[][] = [];
  readonly #functions = new Set<string>();
  readonly #common = new Set<string>();

  walk(value: unknown, access: Resource['access'], level = 0): void {
    if (level > levels_max) throw new ConfigError('the statement is nested too deeply');
    if (Array.isArray(value)) for (const one of value) this.walk(one, access, level + 1);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
    for (const [key, inner] of Object.entries(value as Node)) {
      if (key === 'CommonTableExpr') this.#common.add(String((inner as Node)['ctename']));
      // The relation that is written to stands under a key of its own; whatever else is named is read.
      if (key === 'relation') this.#relation(inner as Node, access);
      else if (key === 'RangeVar') this.#relation(inner as Node, 'read');
      else if (key === 'ColumnRef') this.#columns.push(names((inner as Node)['fields']));
      else if (key === 'FuncCall') this.#functions.add(names((inner as Node)['funcname']).join('.'));
      this.walk(inner, access, level + 1);
    }
  }

  #relation(node: Node, access: Resource['access']): void {
    const { schemaname, relname, alias } = node as Record<string, string | undefined>;
    if (relname === undefined || (schemaname === undefined && this.#common.has(relname))) return;
    const name = `${schemaname ?? 'public'}.${relname}`;
    this.#relations.set(`${name}\n${access}`, { type: 'relation', name, access });
    const called = (alias as unknown as Node | undefined)?.['aliasname'];
    this.#names.set(typeof called === 'string' ? called : relname, name);
  }

  named(): { relations: Resource[]; columns: Resource[]; functions: Resource[] } {
    const relations = [...this.#relations.values()];
    const single = new Set(relations.map(({ name }) => name)).size === 1 ? relations[0]?.name : undefined;
    const columns = this.#columns.flatMap((parts): string[] => {
      const column = parts.at(-1)!;
      const of = parts.length > 2 ? parts.slice(0, -1).join('.') : parts.length === 2 ? this.#names.get(parts[0]!) : single; // prettier-ignore
      return of === undefined || column === '*' ? [] : [`${of}.${column}`];
    });
    return {
      relations,
      columns: [...new Set(columns)].map((name) => ({ type: 'column', name, access: 'read', use: 'output' })),
      functions: [...this.#functions].map((name) => ({ type: 'function', name, access: 'execute' })),
    };
  }
}

/** ["app", "customers", "email"], "*" for a star. */
const names = (fields: unknown): string[] =>
  (Array.isArray(fields) ? (fields as Node[]) : []).map((field) => {
    const text = (field['String'] as Node | undefined)?.['sval'];
    return typeof text === 'string' ? text : '*';
  });
