/** Calls of functions with a dot in their names (`regex.match`), and of `walk`: as `opa parse --format json` has them. */

export interface Call {
  /** "regex.match" */
  readonly name: string;
  readonly line: number;
  readonly arguments: readonly Argument[];
  /** True where its body asks something else first: it is not called for every operation. */
  readonly behind: boolean;
}

export interface Argument {
  /** Undefined where it is not written out. */
  readonly constant?: unknown;
  /** As one would write it: "input.target.name"; "value" where it is longer than that. */
  readonly text: string;
}

interface Term {
  readonly type: string;
  readonly value: unknown;
  readonly location?: { readonly row: number; readonly col: number };
}
interface Expression {
  readonly terms?: unknown;
  readonly location?: { readonly row: number; readonly col: number };
}

/** @param constantOf The value of a term that is written out whole. */
export function readCalls(
  { head, body, else: otherwise }: { head: unknown; body?: unknown; else?: unknown },
  constantOf: (term: Term) => unknown,
): Call[] {
  const found: Call[] = [];
  const expressions = Array.isArray(body) ? (body as Expression[]) : [];
  let asked = false;
  for (const expression of expressions) {
    const before = found.length;
    collect(expression, asked);
    asked ||= found.length === before && asks(expression);
  }
  // What is answered is worked out once all of the body holds.
  collect(head, true);
  collect(otherwise, true);
  return found;

  function collect(node: unknown, behind: boolean): void {
    if (Array.isArray(node)) {
      for (const child of node) collect(child, behind);
      return;
    }
    if (typeof node !== 'object' || node === null) return;
    const { terms, location } = node as Expression;
    if (Array.isArray(terms)) note(terms as Term[], location?.row, behind);
    const { type, value } = node as Partial<Term>;
    if (type === 'call') note(value as Term[], location?.row, behind);
    for (const [name, child] of Object.entries(node)) if (name !== 'location') collect(child, behind);
  }

  function note([operator, ...given]: readonly Term[], row: number | undefined, behind: boolean): void {
    const name = operator?.type === 'ref' ? textOf(operator) : undefined;
    // Operators have no dot in their names.
    if (name === undefined || (name !== 'walk' && !/^(?!internal\.)\w+\./.test(name))) return;
    const line = row ?? operator?.location?.row ?? 1;
    found.push({
      ...{ name, line, behind },
      arguments: given.map((term) => {
        const constant = constantOf(term);
        return { text: textOf(term) ?? 'value', ...(constant === undefined ? {} : { constant }) };
      }),
    });
  }
}

/** `some x in …` and `x := …` hold for everybody. */
function asks({ terms }: Expression): boolean {
  if (!Array.isArray(terms)) return typeof terms === 'object' && terms !== null && !('symbols' in terms);
  const [operator] = terms as Term[];
  const name = operator?.type === 'ref' ? textOf(operator) : undefined;
  return name !== 'assign' && name !== 'eq';
}

function textOf({ type, value }: Term): string | undefined {
  if (type === 'var') return value as string;
  if (type !== 'ref') return undefined;
  const [head, ...rest] = value as Term[];
  if (head?.type !== 'var') return undefined;
  return rest.reduce(
    (text, one) => (one.type === 'string' && /^\w+$/.test(one.value as string) ? `${text}.${one.value as string}` : `${text}[_]`),
    head.value as string,
  ); // prettier-ignore
}
