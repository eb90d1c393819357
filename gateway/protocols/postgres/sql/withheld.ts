import { scanSync, type Node } from 'libpg-query';
import { as, items, open, strings, walk } from './ast.js';
import { formOf, type Form } from './literals.js';
import { parse } from './parse.js';

/**
 * A statement as a record may have it where it touches columns whose values must not stand there: literals become '***' and
 * comments a space, but for those literals that are certainly about something else. That is: what a plain column of another
 * name is compared with, in a statement so simple that a column has no other name than its own; and LIMIT and OFFSET.
 */
export interface Sparing {
  readonly text: string;
  /** Numbers of the parameters ($1 is 1) whose values may stand in the record. */
  readonly parameters: ReadonlySet<number>;
}

/** What is known of texts of one form, and of texts without one. */
interface Plan {
  /** Where literals start that may stay, by bytes. */
  readonly literals: ReadonlySet<number>;
  readonly parameters: ReadonlySet<number>;
}

const nothing: Plan = { literals: new Set(), parameters: new Set() };
/** Literals of a form that may stay, by their places in its list; undefined where the form itself has a literal in it. */
interface FormPlan {
  readonly kept: ReadonlySet<number> | undefined;
}

const plans_max = 2_000;
const plan_chars_max = 20_000;
const plans = new WeakMap<ReadonlySet<string>, Map<string, FormPlan | Sparing>>();

/** @param columns Full names ("app.customers.email"); undefined: nothing stays. */
export function withheldText(text: string, columns: ReadonlySet<string> | undefined): Sparing {
  if (columns === undefined) return spare(text, nothing);
  let known = plans.get(columns);
  if (known === undefined) plans.set(columns, (known = new Map<string, FormPlan | Sparing>()));
  const form = formOf(text);
  const key = form?.key ?? text;
  const plan = known.get(key);
  if (plan !== undefined && 'text' in plan) return plan;
  if (plan?.kept !== undefined) return { text: fill(form!, plan.kept), parameters: none };
  const made = planOf(text, columns);
  const sparing = spare(text, made);
  if (plan !== undefined) return sparing;
  if (known.size >= plans_max) known.clear();
  if (key.length <= plan_chars_max) known.set(key, form === undefined ? sparing : formPlan(form, made, sparing));
  return sparing;
}

function formPlan(form: Form, { literals }: Plan, { text }: Sparing): FormPlan {
  const kept = new Set(form.literals.flatMap(({ at }, index) => (literals.has(at) ? [index] : [])));
  return { kept: fill(form, kept) === text ? kept : undefined };
}

function fill({ key, literals }: Form, kept: ReadonlySet<number>): string {
  let index = 0;
  return key.replace(/[\x01\x02\x03]/gu, () => {
    const { text } = literals[index]!;
    return kept.has(index++) ? text : hidden;
  });
}

const none: ReadonlySet<number> = new Set();
const hidden = "'***'";

/** As the server's own scanner finds literals and comments. */
function spare(text: string, { literals, parameters }: Plan): Sparing {
  const bytes = Buffer.from(text);
  const pieces: string[] = [];
  let at = 0;
  for (const { start, end, tokenName } of scanSync(text).tokens) {
    const comment = tokenName === 'SQL_COMMENT' || tokenName === 'C_COMMENT';
    if (!comment && (!isLiteral(tokenName, bytes.toString('latin1', start, start + 4)) || literals.has(start)))
      continue;
    pieces.push(bytes.toString('utf8', at, start), comment ? ' ' : hidden);
    at = end;
  }
  pieces.push(bytes.toString('utf8', at));
  return { text: pieces.join(''), parameters };
}

const literalTokens: ReadonlySet<string> = new Set(['SCONST', 'ICONST', 'FCONST', 'BCONST', 'XCONST', 'USCONST']);
const prefixed = /^(?:[bBxXeEnN]|[uU]&)?'/u;
const isLiteral = (token: string, start: string) => literalTokens.has(token) || prefixed.test(start);

/** Other names for columns, and relations made of statements. */
const renaming: ReadonlySet<string> = new Set([
  'SubLink',
  'RangeSubselect',
  'RangeFunction',
  'RangeTableFunc',
  'JsonTable',
  'CommonTableExpr',
  'colnames',
]);

interface Comparison {
  readonly lexpr?: Node;
  readonly rexpr?: Node;
}

function planOf(text: string, columns: ReadonlySet<string>): Plan {
  const { statements } = parse(text);
  const literals = new Set<number>();
  const spared = new Map<number, number>();
  const used = new Map<number, number>();
  let plain = true;
  const isOf = (node: Node | undefined) => {
    const name = strings(as<{ fields?: Node[] }>(node, 'ColumnRef')?.fields).at(-1);
    // Whatever a dot in a name may do to it.
    return name !== undefined && [...columns].some((column) => column.endsWith(`.${name}`));
  };
  const keep = (node: Node | undefined) => {
    for (const value of valuesOf(node)) {
      const { location, number } = value;
      if (number === undefined) literals.add(location);
      else spared.set(number, (spared.get(number) ?? 0) + 1);
    }
  };
  walk(statements, (value) => {
    for (const key in value) if (renaming.has(key)) plain = false;
    const number = (value['ParamRef'] as { number?: number } | undefined)?.number;
    if (number !== undefined) used.set(number, (used.get(number) ?? 0) + 1);
    const { lexpr, rexpr } = (value['A_Expr'] ?? {}) as Comparison;
    if (lexpr !== undefined && rexpr !== undefined) {
      // What a withheld column is compared with stands for its value.
      if ((isOf(lexpr) && !isValue(rexpr)) || (isOf(rexpr) && !isValue(lexpr))) plain = false;
      if (isColumn(lexpr) && !isOf(lexpr)) keep(rexpr);
      if (isColumn(rexpr) && !isOf(rexpr)) keep(lexpr);
    }
    const { limitCount, limitOffset } = value as { limitCount?: Node; limitOffset?: Node };
    keep(limitCount);
    keep(limitOffset);
    return true;
  });
  if (!plain) return nothing;
  const parameters = [...spared].filter(([number, count]) => used.get(number) === count).map(([number]) => number);
  return { literals, parameters: new Set(parameters) };
}

function isColumn(node: Node): boolean {
  const { kind, body } = open(node);
  const { fields = [] } = body as { fields?: Node[] };
  return kind === 'ColumnRef' && strings(fields).length === fields.length;
}

interface Value {
  readonly location: number;
  /** Of a parameter. */
  readonly number?: number;
}

const isValue = (node: Node) => valuesOf(node).length > 0;

/** The constants and parameters that the node is made of, casts looked through; none where it has anything else. */
function valuesOf(node: Node | undefined): readonly Value[] {
  if (node === undefined) return [];
  const cast = as<{ arg?: Node }>(node, 'TypeCast');
  if (cast !== undefined) return valuesOf(cast.arg);
  const constant = as<{ location?: number }>(node, 'A_Const');
  if (constant !== undefined) return [{ location: constant.location ?? 0 }];
  const parameter = as<{ number?: number; location?: number }>(node, 'ParamRef');
  if (parameter?.number !== undefined) return [{ location: parameter.location ?? 0, number: parameter.number }];
  const array = as<{ elements?: Node[] }>(node, 'A_ArrayExpr');
  const list = as<{ items?: Node[] }>(node, 'List');
  if (array === undefined && list === undefined) return [];
  const parts = (array?.elements ?? items(node)).map(valuesOf);
  return parts.every((part) => part.length > 0) ? parts.flat() : [];
}
