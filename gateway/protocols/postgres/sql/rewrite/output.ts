import type {
  CopyStmt,
  CreateTableAsStmt,
  DeclareCursorStmt,
  ExplainStmt,
  PrepareStmt,
  RawStmt,
  SelectStmt,
} from 'libpg-query';
import { open, type Wrapped } from '../ast.js';
import { qualified } from '../facts.js';
import { quoteName } from '../masks/write.js';
import type { Derived, OutColumn } from '../scope.js';
import type { Expected } from './expected.js';
import { queryTree } from './expected.js';
import type { Occurrences } from './occurrences.js';
import { maskedValue, type Rule, type Rules } from './rules.js';
import type { Splice } from './splice.js';

/**
 * Masks of scope `output`: the statement reads clear values, and what it hands out goes through a query around it. A plain
 * copy of a masked column comes masked, what is made of one comes as NULL.
 */

interface Place {
  readonly query: SelectStmt;
  /** Indices of the first token, and of the one behind the last. */
  readonly from: number;
  readonly to: number;
}

/** The outermost query of a statement and where it stands; undefined where there is none that can be put into another. */
export function outermost(raw: RawStmt, splice: Splice): Place | undefined {
  if (raw.stmt === undefined) return undefined;
  const start = raw.stmt_location ?? 0;
  const stop = start + (raw.stmt_len ?? Infinity);
  let from = splice.tokens.findIndex((token) => token.start >= start);
  let to = splice.tokens.findIndex((token) => token.start >= stop);
  if (to < 0) to = splice.tokens.length;
  while (to > from && splice.word(to - 1) === ';') to--;
  let node: Wrapped | undefined = raw.stmt;
  for (let depth = 0; depth < 4 && node !== undefined; depth++) {
    const { kind, body } = open(node);
    switch (kind) {
      case 'SelectStmt':
        return hasInto(body) ? undefined : { query: body, from, to };
      case 'ExplainStmt': {
        const { options = [], query } = body as ExplainStmt;
        from++;
        if (options.length > 0 && splice.word(from) === '(') from = splice.behindParentheses(from);
        else while (/^(analy[sz]e|verbose)$/.test(splice.word(from))) from++;
        node = query;
        break;
      }
      case 'PrepareStmt':
        from = after(splice, from, 'as');
        node = (body as PrepareStmt).query;
        break;
      case 'DeclareCursorStmt':
        from = after(splice, from, 'for');
        node = (body as DeclareCursorStmt).query;
        break;
      case 'CreateTableAsStmt': {
        from = after(splice, from, 'as');
        if (splice.word(to - 1) === 'data' && /^(with|no)$/.test(splice.word(to - 2)))
          to -= splice.word(to - 2) === 'no' ? 3 : 2;
        node = (body as CreateTableAsStmt).query;
        break;
      }
      case 'CopyStmt': {
        node = (body as CopyStmt).query;
        if (node === undefined || splice.word(from + 1) !== '(') return undefined;
        to = splice.behindParentheses(from + 1) - 1;
        from += 2;
        break;
      }
      default:
        return undefined;
    }
  }
  return undefined;
}

const hasInto = (query: SelectStmt): boolean =>
  query.intoClause !== undefined || (query.larg !== undefined && hasInto(query.larg));

/** Behind the first such word outside parentheses. */
function after(splice: Splice, from: number, word: string): number {
  for (let index = from; index < splice.tokens.length; index++) {
    if (splice.word(index) === '(') index = splice.behindParentheses(index) - 1;
    else if (splice.word(index) === word) return index + 1;
  }
  return splice.tokens.length;
}

/** How each output is handed out; undefined where nothing is to be done. */
export class Outputs {
  readonly #rules = new Map<string, { readonly rule: Rule; readonly rules: Rules }>();

  constructor(seen: Occurrences, all: ReadonlyMap<object, Rules>) {
    for (const [range, source] of [...seen.reads, ...seen.targets]) {
      const rules = all.get(range);
      const { relation } = source;
      if (rules === undefined || relation === undefined) continue;
      for (const [index, column] of relation.columns.entries()) {
        const rule = rules.masked.get(column.name);
        if (rule?.scope !== 'output') continue;
        for (const origin of source.columns[index]?.origins ?? [])
          if (origin.endsWith(`.${column.name}`)) this.#rules.set(origin, { rule, rules });
        this.#rules.set(`${qualified(relation)}.${column.name}`, { rule, rules });
      }
    }
  }

  /** Puts a query around the outermost one. */
  wrap({ query, from, to }: Place, outputs: Derived, splice: Splice, expected: Expected): void {
    const list = outputs.columns.map((column, index) => this.#item(column, `c${index + 1}`));
    if (list.every((item) => item === undefined)) return;
    const items = outputs.columns.map(
      ({ name }, index) => list[index] ?? `"sallyport".${quoteName(`c${index + 1}`)} AS ${quoteName(name)}`,
    );
    const names = outputs.columns.map((_, index) => quoteName(`c${index + 1}`)).join(', ');
    const head = `SELECT ${items.join(', ')} FROM (`;
    const tail = `) AS "sallyport"(${names})`;
    splice.insert(splice.startOf(from), head);
    splice.append(splice.endOf(to - 1), tail);
    const tree = queryTree(`${head}SELECT${tail}`);
    expected.wrap(query, (copy) => {
      const [item] = tree.fromClause as Wrapped[];
      const { body } = open(item!);
      return { SelectStmt: { ...tree, fromClause: [{ RangeSubselect: { ...body, subquery: copy } }] } };
    });
  }

  #item(output: OutColumn, column: string): string | undefined {
    const reference = `"sallyport".${quoteName(column)}`;
    const copied = output.copyOf === undefined ? undefined : this.#rules.get(output.copyOf);
    const isMade = output.origins.some((origin) => this.#rules.has(origin));
    if (!isMade && copied === undefined) return undefined;
    const own = copied?.rules.relation.columns.find(
      ({ name }) => `${qualified(copied.rules.relation)}.${name}` === output.copyOf,
    );
    const value =
      copied === undefined || own === undefined
        ? `CASE WHEN FALSE THEN ${reference} END`
        : maskedValue(own, copied.rule, reference);
    return `${value} AS ${quoteName(output.name)}`;
  }
}
