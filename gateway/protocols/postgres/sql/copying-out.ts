import { scanSync, type CopyStmt, type DefElem, type SelectStmt } from 'libpg-query';
import type { Template } from '../judging/statement.js';
import { as, constant, strings, type Wrapped } from './ast.js';
import type { Relation } from './catalog.js';
import { quoteName } from './masks/write.js';
import { parseAlone } from './parse.js';
import { alike } from './rewrite/expected.js';
import { intoClause } from './statements.js';
import { judgedWith } from './template.js';

/**
 * A COPY … TO STDOUT as the query whose rows it hands out, and how it writes them. The server looks up the names in a COPY as it runs, and
 * those of a query as it is bound; so whoever has to know what they mean before it runs asks for the rows, and writes them itself.
 */
export interface CopyingOut {
  readonly text: string;
  /** Characters before it in the COPY; undefined where it does not stand there. */
  readonly before: number | undefined;
  readonly format: 'text' | 'csv' | 'binary';
  readonly header: boolean;
  /** One byte each, but for `nothing`: what stands for NULL. All of them are ASCII. */
  readonly delimiter: string;
  readonly nothing: string;
  readonly quote: string;
  readonly escape: string;
  /** Columns that are quoted whatever they hold; '*': all. */
  readonly quoted: ReadonlySet<string> | '*';
}

/**
 * @param sent The text of the COPY as it leaves. Undefined where it goes to no client, or has something that the server does not accept or
 * that is written as only the server knows.
 */
export function copyingOut(template: Template, sent: string): CopyingOut | undefined {
  const { statements } = parseAlone(sent);
  const copy = as<CopyStmt>(statements[0]?.stmt, 'CopyStmt');
  if (copy === undefined || statements.length !== 1 || copy.is_from || copy.filename !== undefined) return undefined;
  const options = optionsOf(copy.options ?? []);
  const query = copy.query === undefined ? rowsOf(copy, template) : queryIn(sent, copy.query);
  return options === undefined || query === undefined ? undefined : { ...query, ...options };
}

type Query = Pick<CopyingOut, 'text' | 'before'>;

/** The query between the outermost parentheses: it parses to what the COPY has in them. */
function queryIn(sent: string, query: Wrapped): Query | undefined {
  const select = as<SelectStmt>(query, 'SelectStmt');
  if (select === undefined || intoClause(select) !== undefined) return undefined;
  const bytes = Buffer.from(sent);
  let depth = 0;
  let start: number | undefined;
  for (const token of scanSync(sent).tokens) {
    const word = bytes.toString('utf8', token.start, token.end);
    if (word === '(' && depth++ === 0) start = token.end;
    if (word !== ')' || --depth > 0) continue;
    const text = bytes.toString('utf8', start, token.start);
    const { statements } = parseAlone(text);
    const before = Array.from(bytes.toString('utf8', 0, start)).length;
    return statements.length === 1 && alike(statements[0]!.stmt, query) ? { text, before } : undefined;
  }
  return undefined;
}

/** A table's own rows, without those of its children and without what is generated. */
function rowsOf({ relation: range, attlist }: CopyStmt, template: Template): Query | undefined {
  const { schemaname: schema, relname: name } = range ?? {};
  if (name === undefined || range?.catalogname !== undefined) return undefined;
  const relation = judgedWith(template)?.names.named({ kind: 'relation', schema, name })?.value as Relation | undefined;
  if (relation?.kind !== 'r') return undefined;
  const own = relation.columns.filter(({ generated }) => generated === undefined).map((column) => column.name);
  const listed = attlist === undefined ? own : strings(attlist);
  if (new Set(listed).size < listed.length || !listed.every((column) => own.includes(column))) return undefined;
  const from = schema === undefined ? quoteName(name) : `${quoteName(schema)}.${quoteName(name)}`;
  return { text: `select ${listed.map(quoteName).join(', ')} from only ${from}`, before: undefined };
}

const formats = new Set(['text', 'csv', 'binary']);

function optionsOf(nodes: readonly Wrapped[]): Omit<CopyingOut, keyof Query> | undefined {
  const given = new Map<string, Wrapped | undefined>();
  for (const node of nodes) {
    const option = as<DefElem>(node, 'DefElem');
    if (option?.defname === undefined || given.has(option.defname)) return undefined;
    given.set(option.defname, option.arg);
  }
  const take = (name: string): string | undefined => {
    const arg = given.get(name);
    const said = as<{ sval?: string }>(arg, 'String');
    given.delete(name);
    return said === undefined ? (constant(arg) ?? undefined) : (said.sval ?? '');
  };
  const format = given.has('format') ? take('format') : 'text';
  if (format === undefined || !formats.has(format)) return undefined;
  const has = ['delimiter', 'null', 'quote', 'escape', 'force_quote'].map((name) => given.has(name));
  const isText = format === 'text';
  if (format === 'binary' && (has.some(Boolean) || given.has('header'))) return undefined;
  if (isText && has.slice(2).some(Boolean)) return undefined;
  const header = given.has('header') ? headers.get(given.get('header') === undefined ? 'true' : headed(given)) : false;
  given.delete('header');
  const quoted = given.has('force_quote') ? columnsIn(given.get('force_quote')) : none;
  given.delete('force_quote');
  const delimiter = has[0] ? take('delimiter') : isText ? '\t' : ',';
  const nothing = has[1] ? take('null') : isText ? '\\N' : '';
  const quote = has[2] ? take('quote') : '"';
  const escape = has[3] ? take('escape') : quote;
  if (given.size > 0 || [header, quoted, delimiter, nothing, quote, escape].includes(undefined)) return undefined;
  if (![delimiter, quote, escape].every((one) => oneByte.test(one!)) || !/^[\x01-\x09\x0b\x0c\x0e-\x7f]*$/.test(nothing!))
    return undefined;
  if (isText && '\\.abcdefghijklmnopqrstuvwxyz0123456789'.includes(delimiter!)) return undefined;
  if (nothing!.includes(delimiter!)) return undefined;
  if (!isText && (delimiter === quote || nothing!.includes(quote!))) return undefined;
  return {
    format: format as CopyingOut['format'],
    header: header!,
    delimiter: delimiter!,
    nothing: nothing!,
    quote: quote!,
    escape: escape!,
    quoted: quoted!,
  };
} // prettier-ignore

const none: ReadonlySet<string> = new Set();
/** None of the ends of a line. */
const oneByte = /^[\x01-\x09\x0b\x0c\x0e-\x7f]$/;
const headers = new Map([['true', true], ['on', true], ['1', true], ['false', false], ['off', false], ['0', false]]); // prettier-ignore

function headed(given: ReadonlyMap<string, Wrapped | undefined>): string {
  const arg = given.get('header');
  const whole = as<{ ival?: number }>(arg, 'Integer');
  if (whole !== undefined) return String(whole.ival ?? 0);
  const said = as<{ boolval?: boolean }>(arg, 'Boolean');
  if (said !== undefined) return String(said.boolval ?? false);
  return (as<{ sval?: string }>(arg, 'String')?.sval ?? '').toLowerCase();
}

function columnsIn(arg: Wrapped | undefined): ReadonlySet<string> | '*' | undefined {
  if (as(arg, 'A_Star') !== undefined) return '*';
  const items = as<{ items?: Wrapped[] }>(arg, 'List')?.items;
  return items === undefined ? undefined : new Set(strings(items));
}
