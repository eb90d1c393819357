import { createHash } from 'node:crypto';
import { actions, type Action, type Resource } from '#engine';
import type { CreateStmt, RawStmt, TransactionStmt } from 'libpg-query';
import { StatementError, type Statement, type StatementFacts, type Template } from '../judging/statement.js';
import { as, strings, walk, type Wrapped } from './ast.js';
import { bodyValue } from './bodies.js';
import { putsTemporaryBehind, type Relation } from './catalog.js';
import { comment } from './comment.js';
import { contextOf } from './context.js';
import { checkDatabases } from './databases.js';
import { Facts } from './facts.js';
import { viewLineage } from './lineage.js';
import { collect, isServersAlone, type Names } from './names.js';
import { fingerprint, innerText, tooDeep, type Parsed } from './parse.js';
import type { Recorder } from './recorder.js';
import { recorded } from './secrets.js';
import { statement } from './statements.js';

/** From a parsed text and the catalog's answers to a template. Pure: the same answers give the same template. */

export interface Place {
  readonly database: string;
  readonly user: string;
}

/**
 * Throws StatementError where the text cannot be judged; never anything else. `unsettled`: the session's transaction has
 * made names or moved the path, which its end takes back.
 */
export function template(parsed: Parsed, names: Names, place: Place, unsettled = false): Template {
  try {
    return build(parsed, names, place, parsed.statements, parsed.text, unsettled);
  } catch (error) {
    if (error instanceof StatementError) throw error;
    if (error instanceof RangeError) throw tooDeep();
    throw error;
  }
}

/** The answers that a template's statements were judged with: forms share statements over texts. */
const judged = new WeakMap<readonly Statement[], { readonly names: Names; readonly unsettled: boolean }>();

/** What the template was judged with; undefined for one that is made elsewhere. */
export const judgedWith = (template: Template): { readonly names: Names; readonly unsettled: boolean } | undefined =>
  judged.get(template.statements);

/**
 * Analyses the statements of a text once more, as `template` did, and tells the recorder what their names mean. The
 * result is what each statement touches.
 */
export function analyse(
  parsed: Parsed,
  names: Names,
  unsettled: boolean,
  recorder: (raw: RawStmt) => Recorder,
): readonly { readonly facts: Facts; readonly told: StatementFacts }[] {
  const made = new Overlay(unsettled);
  const all: { facts: Facts; told: StatementFacts }[] = [];
  for (const raw of parsed.statements) {
    if (raw.stmt === undefined) continue;
    const facts = new Facts((relation) => viewLineage(relation, names));
    const lookUp = (schema: string | undefined, name: string): Relation | undefined => made.get(schema, name);
    const meaning = statement(contextOf(facts, names, lookUp, recorder(raw), bodyValue), raw.stmt, () => nothing);
    all.push({ facts, told: facts.finish('', '').facts });
    if (parsed.statements.length > 1)
      made.ran(raw.stmt, meaning.moves.path || meaning.moves.anything, meaning.moves.catalog, names);
  }
  return all;
}

const nothing: Template = {
  text: '',
  statements: [],
  action: 'session',
  resources: [],
  opaque: false,
  hash: '',
  recorded: '',
  parameters: 0,
};

/** Whether a statement that ends a transaction, or rolls back a part of it, stands before others. */
export function endsMidway(parsed: Parsed): boolean {
  return parsed.statements.slice(0, -1).some(({ stmt }) => ending(stmt) !== undefined);
}

/** How a statement ends a transaction or a part of it; undefined where it does not. */
function ending(node: Wrapped | undefined): 'commits' | 'undoes' | undefined {
  switch (as<TransactionStmt>(node, 'TransactionStmt')?.kind) {
    case 'TRANS_STMT_COMMIT':
      return 'commits';
    case 'TRANS_STMT_ROLLBACK':
    case 'TRANS_STMT_ROLLBACK_TO':
    case 'TRANS_STMT_PREPARE':
      return 'undoes';
    default:
      return undefined;
  }
}

function build(
  parsed: Parsed,
  names: Names,
  place: Place,
  raws: readonly RawStmt[],
  text: string,
  unsettled: boolean,
): Template {
  const made = new Overlay(unsettled);
  const statements: Statement[] = [];
  const resources = new Map<string, Resource>();
  let action: Action = 'session';
  let parameters = 0;
  const print = fingerprint(text) ?? '';
  const { changed } = names;
  for (const raw of raws) {
    if (raw.stmt === undefined) continue;
    checkDatabases(parsed, raw, place.database);
    const facts = new Facts((relation) => viewLineage(relation, names));
    const context = contextOf(facts, names, (schema, name) => made.get(schema, name), undefined, bodyValue);
    if (made.uncertain && !isCertain(made, raw.stmt, names))
      facts.opaque('an earlier statement of the same string may have changed what its names mean');
    if (changed !== undefined && collect(raw.stmt).length > 0)
      facts.opaque(
        `${changed} has changed since this transaction began, or is being changed: send the transaction again`,
      );
    const meaning = statement(context, raw.stmt, (node, after) =>
      build(parsed, names, place, [{ stmt: node }], innerText(slice(parsed, raw), after), false),
    );
    const own = raws.length === 1 ? print : (fingerprint(slice(parsed, raw)) ?? '');
    const finished = facts.finish(own, place.database);
    // What PREPARE holds does not run.
    const prompt = meaning.control.kind === 'none' ? facts.prompt : undefined;
    statements.push({ facts: finished.facts, ...meaning, ...(prompt === undefined ? {} : { prompt }) });
    if (actions.indexOf(finished.facts.action) > actions.indexOf(action)) action = finished.facts.action;
    for (const resource of finished.resources) {
      resources.set(
        `${resource.type}\0${resource.name}\0${resource.access}\0${resource.use ?? ''}\0${resource.via ?? ''}`,
        resource,
      );
    }
    if (raws.length > 1) made.ran(raw.stmt, meaning.moves.path || meaning.moves.anything, meaning.moves.catalog, names);
    walk(raw.stmt, (value) => {
      const number = (value.ParamRef as { number?: number } | undefined)?.number;
      if (number !== undefined && number > parameters) parameters = number;
      return true;
    });
  }
  const all =
    resources.size === 0 ? [{ type: 'session', name: 'session', access: 'use' } as const] : [...resources.values()];
  const claims = comment(text);
  judged.set(statements, { names, unsettled });
  return {
    text,
    statements,
    action,
    resources: all,
    opaque: statements.some((each) => each.facts.opaque),
    hash: createHash('sha256')
      .update(JSON.stringify([place.database, place.user, text, all]))
      .digest('hex'),
    recorded: text === parsed.text ? recorded(parsed) : text,
    parameters,
    ...(names.isFleeting === true ? { fleeting: true as const } : {}),
    ...(claims === undefined ? {} : { comment: claims }),
  };
}

/** Whether earlier statements of the string cannot have changed what its names mean. */
const isCertain = ({ onlyPath }: Overlay, statement: Wrapped, names: Names): boolean =>
  collect(statement).every((wanted) => onlyPath && isServersAlone(names, wanted));

const slice = (parsed: Parsed, raw: RawStmt): string => {
  const start = raw.stmt_location ?? 0;
  return parsed.slice(start, raw.stmt_len === undefined ? undefined : start + raw.stmt_len);
};

/** What earlier statements of the same string did to names. */
class Overlay {
  /** Something may mean something else than the catalog said before the string ran. */
  uncertain = false;
  /** That is for the path alone. */
  onlyPath = true;
  readonly #made = new Map<string, Relation>();
  readonly #unsettled: boolean;
  /** A temporary table of the string is gone with the next commit. */
  #dropsOnCommit = false;

  constructor(unsettled: boolean) {
    this.#unsettled = unsettled;
  }

  get(schema: string | undefined, name: string): Relation | undefined {
    return this.#made.get(`${schema ?? ''}\0${name}`);
  }

  ran(node: Wrapped, moved: boolean, catalog: boolean, names: Names): void {
    if (moved) this.uncertain = true;
    if (moved && as(node, 'VariableSetStmt') === undefined) this.onlyPath = false;
    const ends = ending(node);
    if (ends !== undefined && (this.#unsettled || (ends === 'undoes' ? this.#made.size > 0 : this.#dropsOnCommit))) {
      this.uncertain = true;
      this.onlyPath = false;
      this.#made.clear();
    }
    if (!catalog) return;
    this.onlyPath = false;
    const create = as<CreateStmt>(node, 'CreateStmt');
    const range = create?.relation;
    const plain = create?.tableElts?.every(
      (element) => as(element, 'ColumnDef') !== undefined || as(element, 'Constraint') !== undefined,
    );
    if (
      range?.relname === undefined ||
      !plain ||
      create?.inhRelations !== undefined ||
      create?.ofTypename !== undefined ||
      create?.if_not_exists
    ) {
      this.uncertain = true;
      return;
    }
    const schema = range.relpersistence === 't' ? 'pg_temp' : (range.schemaname ?? names.path?.creation ?? '');
    if (create?.oncommit === 'ONCOMMIT_DROP') this.#dropsOnCommit = true;
    const relation: Relation = {
      oid: 0,
      schema,
      name: range.relname,
      kind: 'n',
      rowSecurity: false,
      columns: (create?.tableElts ?? []).flatMap((element, index) => {
        const column = as<{ colname?: string; typeName?: { names?: Wrapped[] } }>(element, 'ColumnDef');
        return column?.colname === undefined
          ? []
          : [
              {
                name: column.colname,
                number: index + 1,
                type: 0,
                typeName: strings(column.typeName?.names).join('.'),
                notNull: false,
                typmod: -1,
                typeText: '',
                baseType: 0,
                baseTypmod: -1,
                isFree: false,
                labels: undefined,
                generated: undefined,
                inputs: [],
                collation: undefined,
                casts: [],
                castsAsked: [],
              },
            ];
      }),
      full: true,
      deep: false,
      primaryKey: [],
      definition: undefined,
      version: undefined,
      reads: [],
      heirs: [],
      moreHeirs: false,
      readFunctions: [],
      writeFunctions: [],
      keysAbove: [],
      policyColumns: [],
      keysWithin: [],
      uniques: [],
      triggers: [],
      rules: [],
      cascades: [],
    };
    this.#made.set(`${schema}\0${range.relname}`, relation);
    // Unqualified, the new table is found unless one of an earlier schema hides it.
    const known = names.relation(undefined, range.relname);
    // Temporary tables come first unless the path says where: then what is known may hide the new one.
    if (schema === 'pg_temp' && known !== undefined && putsTemporaryBehind(names.path?.setting ?? '')) {
      this.uncertain = true;
      return;
    }
    if (schema === 'pg_temp' || known === undefined || known.schema === schema)
      this.#made.set(`\0${range.relname}`, relation);
    // Defaults and checks with functions run when the table is written.
    let calls = false;
    walk(create, (value) => {
      calls ||= value.funcname !== undefined;
      return true;
    });
    if (calls) this.uncertain = true;
  }
}
