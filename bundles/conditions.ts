/**
 * What a rule's body demands of the input, as far as it is written out: `input.operation.action == "read"`,
 * `r.access in {"read", "use"}` after `some r in input.operation.resources`. Conjunctions alone: what stands under `not`,
 * `every`, `with` or in a helper rule is not looked into. So a list of conditions is what must hold at least, and a rule
 * without any may answer for everything.
 */
export interface Condition {
  /** As it is written, for telling two conditions on one thing: "input.operation.action", "r.access". */
  readonly term: string;
  /** Below `input`; an element of a list is "[]": ["operation", "resources", "[]", "access"]. */
  readonly path: readonly string[];
  /** It must be one of these. */
  readonly values: readonly unknown[];
  readonly line: number;
}

interface Term {
  readonly type: string;
  readonly value: unknown;
}
interface Expression {
  readonly terms?: unknown;
  readonly negated?: boolean;
  readonly with?: unknown;
  readonly location?: { readonly row: number };
}

/** @param body As `opa parse --format json` has it. */
export function readConditions(body: unknown): Condition[] {
  if (!Array.isArray(body)) return [];
  const expressions = (body as Expression[]).filter(({ negated, with: changed }) => negated !== true && !changed);
  const elements = new Map(expressions.flatMap(({ terms }) => elementOf(terms)));
  return expressions.flatMap(({ terms, location }) => {
    const call = Array.isArray(terms) ? (terms as Term[]) : [];
    const [operator, left, right] = call;
    if (call.length !== 3 || left === undefined || right === undefined) return [];
    const line = location?.row ?? 1;
    switch (nameOf(operator)) {
      case 'equal':
      case 'eq':
        return [
          ...condition(left, scalars([right]), elements, line),
          ...condition(right, scalars([left]), elements, line),
        ];
      case 'internal.member_2':
        return right.type === 'set' || right.type === 'array'
          ? condition(left, scalars(right.value as Term[]), elements, line)
          : [];
      default:
        return [];
    }
  });
}

type Elements = ReadonlyMap<string, readonly string[]>;

function condition(term: Term, values: unknown[] | undefined, elements: Elements, line: number): Condition[] {
  const path = values === undefined ? undefined : pathOf(term, elements);
  return path === undefined ? [] : [{ term: textOf(term), path, values: values!, line }];
}

/** `some r in input.operation.resources`: r is an element of it. */
function elementOf(terms: unknown): [string, readonly string[]][] {
  const symbols = (terms as { symbols?: unknown } | undefined)?.symbols;
  const [only, ...more] = Array.isArray(symbols) ? (symbols as Term[]) : [];
  if (only?.type !== 'call' || more.length > 0) return [];
  const [operator, variable, list] = only.value as Term[];
  if (nameOf(operator) !== 'internal.member_2' || variable?.type !== 'var' || list?.type !== 'ref') return [];
  const path = pathOf(list, new Map());
  return path === undefined ? [] : [[variable.value as string, [...path, '[]']]];
}

/** Undefined for what is no part of the input. */
function pathOf({ type, value }: Term, elements: Elements): string[] | undefined {
  if (type === 'var') return elements.has(value as string) ? [...elements.get(value as string)!] : undefined;
  if (type !== 'ref') return undefined;
  const [head, ...rest] = value as Term[];
  const start = head?.type !== 'var' ? undefined : head.value === 'input' ? [] : elements.get(head.value as string);
  return start === undefined ? undefined : [...start, ...rest.map((one) => (one.type === 'string' ? String(one.value) : '[]'))]; // prettier-ignore
}

/** Two things that may be different are never of one text: what is no constant has its own. */
let different = 0;
const textOf = ({ type, value }: Term): string =>
  type === 'var'
    ? String(value)
    : (value as Term[])
        .map((one, index) => (index === 0 || one.type === 'string' ? String(one.value) : `[${(different += 1)}]`))
        .join('.');

const nameOf = (term: Term | undefined): string =>
  term?.type === 'ref' ? (term.value as Term[]).map(({ value }) => String(value)).join('.') : '';

/** Undefined where one of them is not written out. */
function scalars(terms: readonly Term[]): unknown[] | undefined {
  return terms.every(({ type }) => ['string', 'number', 'boolean', 'null'].includes(type))
    ? terms.map(({ value }) => value)
    : undefined;
}
