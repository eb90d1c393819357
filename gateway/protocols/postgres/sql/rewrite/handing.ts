import type { A_Indirection, ColumnRef, FuncCall, ResTarget, SelectStmt } from 'libpg-query';
import { as, strings, walk } from '../ast.js';
import { quoteName } from '../masks/write.js';
import { split, type Names } from '../names.js';
import { alike, Expected, expressionTree } from './expected.js';
import { isAggregate } from './group.js';
import type { Joins } from './joins.js';
import type { ColumnUse, Occurrences } from './occurrences.js';
import { unclear, type Splice } from './splice.js';
import { notHere } from './touched.js';

/** What a query hands on beside its list: an item of it once more, made of values where the item itself is made of masks. */

export interface Handed {
  /** Of the column in the query's list, from 0. */
  readonly index: number;
  readonly name: string;
  readonly text: string;
}

interface Parts {
  readonly seen: Occurrences;
  readonly names: Names;
  readonly splice: Splice;
}

/** Behind these the list of a query has ended. */
const ends: ReadonlySet<string> = new Set(
  'from where group having window union intersect except order limit offset fetch for into returning'.split(' '),
);

export class Handing {
  readonly #parts: Parts;
  readonly #joins: Joins;
  readonly #clearText: (use: ColumnUse) => string | undefined;

  constructor(parts: Parts, joins: Joins, clearText: (use: ColumnUse) => string | undefined) {
    this.#parts = parts;
    this.#joins = joins;
    this.#clearText = clearText;
  }

  /** Throws RewriteRefusal where that cannot be said. */
  item(query: SelectStmt, index: number): { readonly text: string } {
    const list = query.targetList ?? [];
    if (query.valuesLists !== undefined || list.length === 0)
      throw notHere('a column', 'VALUES hands on its mask. Put the condition where its table is read');
    if (query.distinctClause?.some((node) => Object.keys(node).length === 0) === true)
      throw notHere('a column', 'DISTINCT compares masks. Put the condition into the query that it stands in');
    let at = 0;
    for (const [position, node] of list.entries()) {
      const target = as<ResTarget>(node, 'ResTarget');
      const star = target === undefined ? undefined : this.#parts.seen.stars.get(target);
      if (target === undefined || (star === undefined && isOpen(target))) break;
      if (star === undefined) {
        if (at === index) return { text: this.#expression(query, target, position) };
        at++;
        continue;
      }
      const isAll = (as<ColumnRef>(target.val, 'ColumnRef')?.fields ?? []).length === 1;
      const cells =
        (isAll ? this.#joins.star(star.sources, true) : undefined) ??
        star.sources.flatMap((source) =>
          source.columns.map(({ name }) => ({ name, text: () => this.#joins.cell(source, name, true) })),
        );
      const cell = cells[index - at];
      if (cell !== undefined) {
        if (query.groupClause !== undefined) break;
        const text = cell.text();
        if (text === undefined) break;
        return { text };
      }
      at += cells.length;
    }
    throw notHere('a column', 'what its query hands on is not certain. Name its columns');
  }

  #expression(query: SelectStmt, target: ResTarget, position: number): string {
    const { seen, names, splice } = this.#parts;
    const expression = target.val!;
    const refs: { readonly at: number; readonly parts: number; readonly text: string }[] = [];
    const local = new Expected();
    walk(expression, (value) => {
      const {
        SubLink,
        FuncCall: call,
        ColumnRef: ref,
      } = value as { SubLink?: object; FuncCall?: FuncCall; ColumnRef?: ColumnRef };
      if (SubLink !== undefined || (call !== undefined && !isPlain(call, names)))
        throw notHere(
          'a column',
          'a query hands on what a sub-query, a window or a function that makes rows makes of it. Put the condition into that query',
        );
      if (ref === undefined) return true;
      const use = seen.columns.get(ref);
      if (use === undefined)
        throw notHere('a column', 'a query hands on what is made of a whole row. Name the columns');
      const fields = strings(ref.fields);
      const text = this.#clearText(use) ?? fields.slice(-2).map(quoteName).join('.');
      refs.push({ at: splice.indexAt(ref.location ?? 0), parts: fields.length, text });
      local.replace(ref, [expressionTree(text)]);
      return true;
    });
    const { from, to } = this.#extent(query, target, position);
    let text = '';
    let at = splice.startOf(from);
    for (const ref of refs.sort((a, b) => a.at - b.at)) {
      const last = splice.lastOfName(ref.at, ref.parts);
      text += splice.slice(at, splice.startOf(ref.at)) + ref.text;
      at = splice.endOf(last);
    }
    text += splice.slice(at, splice.endOf(to - 1));
    if (!alike(local.copy({ val: expression }), { val: expressionTree(text) }))
      throw unclear('a list that is written like this');
    return text;
  }

  /** Tokens of an item of the list, without its name: the first, and the one behind the last. */
  #extent(query: SelectStmt, target: ResTarget, position: number): { readonly from: number; readonly to: number } {
    const { splice } = this.#parts;
    const from = splice.indexAt(target.location ?? 0);
    const next = as<ResTarget>(query.targetList?.[position + 1], 'ResTarget')?.location;
    let to = next === undefined ? this.#end(from) : splice.indexAt(next) - 1;
    if (target.name !== undefined) {
      to--;
      if (splice.word(to - 1) === 'as') to--;
    }
    return { from, to };
  }

  /** The index behind a list whose last item begins there. */
  #end(from: number): number {
    const { splice } = this.#parts;
    let index = from;
    while (index < splice.tokens.length) {
      const word = splice.word(index);
      const before = splice.word(index - 1);
      if (word === ')' || word === ';' || word === ']') break;
      const isName = before === '.' || before === 'as' || (word === 'from' && before === 'distinct');
      if (ends.has(word) && !isName) break;
      index = word === '(' || word === '[' ? splice.behindParentheses(index) : index + 1;
    }
    return index;
  }

  /** Where the list of a query ends, in bytes. */
  endOf(query: SelectStmt): number {
    const last = as<ResTarget>(query.targetList?.at(-1), 'ResTarget');
    const { splice } = this.#parts;
    return splice.endOf(this.#end(splice.indexAt(last?.location ?? 0)) - 1);
  }
}

/** (x).*: columns of a value. */
const isOpen = ({ val }: ResTarget): boolean => {
  const last =
    as<A_Indirection>(val, 'A_Indirection')?.indirection?.at(-1) ?? as<ColumnRef>(val, 'ColumnRef')?.fields?.at(-1);
  return as(last, 'A_Star') !== undefined;
};

/** One value for one row, or one for a group. */
function isPlain(call: FuncCall, names: Names): boolean {
  if (call.over !== undefined) return false;
  const { schema, name } = split(strings(call.funcname));
  const routines = names.functions(schema, name);
  return isAggregate(call, names) || (routines.length > 0 && routines.every(({ isSeries }) => !isSeries));
}
