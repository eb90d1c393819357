import type { CommonTableExpr, ExecuteStmt, RawStmt, SelectStmt } from 'libpg-query';
import { noKinds } from '../../../content/index.js';
import type { Guard } from '../enforcing/guard.js';
import type { Judged, Permit } from '../judging/permit.js';
import type { Statement, Template } from '../judging/statement.js';
import { as, constant, open, type Wrapped } from '../sql/ast.js';
import type { Relation } from '../sql/catalog.js';
import { copyingOut, type CopyingOut } from '../sql/copying-out.js';
import { parse, parseAlone } from '../sql/parse.js';
import { judgedWith } from '../sql/template.js';
import type { TransactionStatus } from './responses.js';
import { comparedBehind, looked } from './looking.js';
import type { Prepared } from './names.js';
import type { Namespace } from './namespace.js';

/** One statement of a query string, as it is sent in messages of the extended protocol. */
export interface Piece {
  readonly text: string;
  readonly statement: Statement;
  /** How the server's words about it are looked at; its positions are those of the string. */
  readonly guard: Guard | undefined;
  /** It may bring rows. */
  readonly hasRows: boolean;
  /** The server describes the rows before it looks at any; else it does once the statement has not failed. */
  readonly describesFirst: boolean;
  /** It reads what the client sends: nothing may be sent behind it before that is over. */
  readonly copiesIn: boolean;
  /** The catalog is compared before it runs, and (`behind`) again before anybody hears what came of it. */
  readonly compared: boolean;
  readonly behind: boolean;
  /** A COPY as the query whose rows it hands out. */
  readonly copied: CopyingOut | undefined;
  /** An EXECUTE as the Bind of what it names, which looks up its names as it is sent and not as it runs. */
  readonly bound: { readonly name: string; readonly values: readonly (string | null)[] } | undefined;
}

type Preparation = Pick<Prepared, 'template' | 'types'>;

/** What moves a transaction, and what neither looks up names nor minds in which transaction it runs. */
const others: ReadonlySet<string> = new Set([
  'begin',
  'commit',
  'rollback',
  'savepoint',
  'release',
  'rollback_to',
  'set',
  'reset',
  'show',
  'fetch',
  'move',
  'close',
  'deallocate',
  'listen',
  'unlisten',
  'notify',
  'truncate',
]);

/**
 * The statements of a string that can be sent one by one, with the catalog compared between the Bind and the Execute of each. 'whole' where it
 * is answered otherwise than a Query, and can be compared before it and behind it: rows out of rules nothing could describe, and some servers
 * take no Execute to stand in a transaction by the ones before it. Undefined where it has to go as it is: behind a statement that changes
 * names itself nothing is as it was judged.
 */
export function piecesOf(
  { template, refers }: Judged,
  { leaving, guard }: Permit,
  names: Namespace,
  transaction: TransactionStatus,
): readonly Piece[] | 'whole' | undefined {
  const { statements, parameters } = template;
  if (statements.length === 0 || transaction === 'E') return undefined;
  // The server takes none of these out of a Query but in what it prepares.
  if (parameters > 0 && statements.some(({ facts }) => facts.kind !== 'prepare' && facts.kind !== 'execute'))
    return statements.length === 1 || !isOneTransaction(statements) ? undefined : 'whole';
  let isBlock = transaction === 'T';
  let isWhole = [template, ...refers.map((reference) => reference.template)].some(isRuled);
  const cursors = new Set<string>();
  for (const [at, { control, facts, moves }] of statements.entries()) {
    if (control.kind === 'begin') isBlock = true;
    else if (control.kind === 'commit' || control.kind === 'rollback') isBlock = false;
    else if (control.kind === 'declare' && !control.hold && !isBlock) {
      // Alone the server refuses it.
      if (statements.length === 1) return undefined;
      isWhole = true;
    }
    if (statements.length === 1) break;
    // A Query brings the rows of a binary cursor in binary, whatever it was opened by.
    if (control.kind === 'declare') cursors.add(control.name);
    if (control.kind === 'fetch' && (!cursors.has(control.name) || /\bbinary\b/i.test(template.text))) return undefined;
    if (!looked.has(facts.kind) && !others.has(facts.kind)) return undefined;
    // EXECUTE is as its statement is judged; what stands behind one that is not known is opaque.
    if (at < statements.length - 1 && control.kind !== 'execute' && (moves.anything || moves.catalog || moves.path))
      return undefined;
  }
  if (isWhole) return isOneTransaction(statements) ? 'whole' : undefined;
  const sent = leaving.text ?? template.text;
  const prepared = (name: string): Preparation | undefined => {
    const known = names.peek(name);
    return known?.kept === undefined ? known : undefined;
  };
  if (statements.length === 1) return [pieceOf(template, statements[0]!, sent, undefined, guard, prepared)];
  const parsed = parse(sent);
  const raws = parsed.statements.filter(({ stmt }) => stmt !== undefined);
  if (raws.length !== statements.length) return undefined;
  /** As the string makes and drops them; undefined also where that cannot be told. */
  const own = new Map<string, Preparation | undefined>();
  let drops = false;
  return raws.map((raw, at) => {
    const statement = statements[at]!;
    const { control } = statement;
    if (control.kind === 'prepare') own.set(control.name, { template: control.inner, types: control.types });
    if (control.kind === 'deallocate') {
      if (control.name === undefined) drops = true;
      else own.set(control.name, undefined);
    }
    const start = raw.stmt_location ?? 0;
    const text = parsed.slice(start, raw.stmt_len === undefined ? undefined : start + raw.stmt_len);
    const before = Array.from(parsed.slice(0, start)).length;
    const meant = (name: string) => (own.has(name) ? own.get(name) : drops ? undefined : prepared(name));
    return pieceOf(template, statement, text, raw, shifted(guard, before), meant);
  });
}

function pieceOf(
  template: Template,
  statement: Statement,
  text: string,
  raw: RawStmt | undefined,
  guard: Guard | undefined,
  prepared: (name: string) => Preparation | undefined,
): Piece {
  const { statements, text: judged } = template;
  const { facts, control } = statement;
  const node = (): Wrapped | undefined => (raw ?? parse(judged).statements[0])?.stmt;
  const copied = control.kind === 'copy_out' ? copyingOut(template, text) : undefined;
  // A tree of its own: it is looked at the literals of it.
  const bound =
    facts.kind === 'execute' && control.kind === 'execute'
      ? boundBy(parseAlone(text).statements[0]?.stmt, control.name, prepared(control.name))
      : undefined;
  return {
    text,
    statement,
    guard,
    hasRows: !rowless.has(facts.kind) && control.kind !== 'copy_in',
    describesFirst: raw === undefined ? describesFirst(statements, node) : isDescribedFirst(node()),
    copiesIn: control.kind === 'copy_in',
    compared: looked.has(facts.kind),
    behind: comparedBehind.has(facts.kind) && copied === undefined && bound === undefined,
    copied,
    bound,
  };
}

const rowless: ReadonlySet<string> = new Set([...others].filter((kind) => kind !== 'show' && kind !== 'fetch'));

const known = new WeakMap<readonly Statement[], boolean>();

/** Statements of one form share it. */
function describesFirst(statements: readonly Statement[], node: () => Wrapped | undefined): boolean {
  let first = known.get(statements);
  if (first === undefined) known.set(statements, (first = isDescribedFirst(node())));
  return first;
}

function isDescribedFirst(node: Wrapped | undefined): boolean {
  const select = as<SelectStmt>(node, 'SelectStmt');
  const writes = select?.withClause?.ctes?.some(
    (cte) => as(as<CommonTableExpr>(cte, 'CommonTableExpr')?.ctequery, 'SelectStmt') === undefined,
  );
  return select !== undefined && writes !== true;
}

/** Nothing in it begins or ends a transaction, or has to be alone in one, and nothing changes what is compared behind it. */
const isOneTransaction = (statements: readonly Statement[]): boolean =>
  statements.every(
    ({ control, facts, moves }) =>
      (looked.has(facts.kind) || ofCursors.has(facts.kind)) &&
      control.kind !== 'copy_in' &&
      (control.kind === 'execute' || !(moves.anything || moves.catalog || moves.path)),
  );

const ofCursors: ReadonlySet<string> = new Set(['fetch', 'move', 'close', 'show', 'deallocate']);

/** Whether a relation is written that has rules for it: of what these select a Query brings the rows, and an Execute none, since nothing could describe them. */
function isRuled(template: Template): boolean {
  const written = new Set<string>();
  for (const { facts } of template.statements)
    for (const { name, access } of facts.relations) if (events.has(access)) written.add(`${access} ${name}`);
  if (written.size === 0) return false;
  for (const [key, { value }] of judgedWith(template)?.names.all ?? []) {
    if (!key.startsWith('relation ') || value === undefined) continue;
    const { schema, name, rules } = value as Relation;
    for (const [access, event] of events)
      if (written.has(`${access} ${schema}.${name}`) && rules.some((rule) => rule.event === event)) return true;
  }
  return false;
}

/** pg_rewrite.ev_type */
const events: ReadonlyMap<string, string> = new Map([
  ['update', '2'],
  ['insert', '3'],
  ['delete', '4'],
]);

/** Types whose input reads a whole number as the server converts it: bigint, smallint, integer, numeric. */
const whole: ReadonlySet<number> = new Set([20, 21, 23, 1700]);
const bool = 16;

/**
 * Where its arguments are constants that a parameter reads as the EXECUTE would convert them: strings and NULL of any type, whole
 * numbers and booleans of theirs. Undefined: they are the server's to compute.
 */
function boundBy(node: Wrapped | undefined, name: string, prepared: Preparation | undefined): Piece['bound'] {
  const params = as<ExecuteStmt>(node, 'ExecuteStmt')?.params ?? [];
  if (prepared?.template.statements.length !== 1) return undefined;
  const { template, types } = prepared;
  if (template.statements[0]?.control.kind !== 'none') return undefined;
  if (params.length !== Math.max(types.length, template.parameters)) return undefined;
  const values: (string | null)[] = [];
  for (const [at, param] of params.entries()) {
    const value = constant(param);
    const { kind, body } = open(param);
    if (kind !== 'A_Const' || value === undefined) return undefined;
    const type = types[at] ?? 0;
    const isText = value === null || 'sval' in body;
    if (!isText && !('ival' in body && whole.has(type)) && !('boolval' in body && type === bool)) return undefined;
    values.push(value);
  }
  return { name, values };
}

/** For a text behind so many characters of another one, which it is told in; undefined: it does not stand in that. */
export function shifted(guard: Guard | undefined, characters: number | undefined): Guard | undefined {
  if (characters === 0) return guard;
  const base = guard ?? plain;
  const position = (sent: number) => (characters === undefined ? undefined : base.position(sent + characters));
  return { ...base, position };
}

const plain: Guard = {
  hidden: new Set(),
  details: 'keep',
  withheld: false,
  describes: true,
  lasts: false,
  content: noKinds,
  position: (sent) => sent,
};
