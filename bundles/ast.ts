import { type Call, readCalls } from './calls.js';
import { type Condition, readConditions } from './conditions.js';

/**
 * What the contract's checks need to know of a Rego file, taken from the syntax tree that `opa parse --format json
 * --json-include locations,-comments` writes.
 *
 * @see https://www.openpolicyagent.org/docs/latest/policy-language/
 */
export interface Module {
  readonly file: string;
  /** "policy.postgres", without the leading "data." */
  readonly package: string;
  readonly packageLine: number;
  readonly rules: readonly Rule[];
  /** Full paths that the module's rules refer to ("policy.postgres.readonly"), as far as they are constant. */
  readonly uses: ReadonlySet<string>;
}

export interface Rule {
  /** The first part of its name: what stands under this name in the package's document. */
  readonly name: string;
  readonly line: number;
  /** set: `name contains …`. function: `name(…)`. other: everything else (a value, an object, a default). */
  readonly kind: 'set' | 'function' | 'other';
  /** Of a set: what it puts in. */
  readonly element?: Element;
  readonly title?: string;
  /** METADATA custom.code */
  readonly annotatedCode?: string;
  /** What must hold for it to answer, as far as it is written out. */
  readonly conditions: readonly Condition[];
  /** Of functions whose names have a dot (`regex.match`), and of `walk`. */
  readonly calls: readonly Call[];
  /** As of the module. */
  readonly uses: ReadonlySet<string>;
}

export interface Element {
  /** True for an object literal: only there can a missing key be seen, and filled in. */
  readonly literal: boolean;
  readonly hasCode: boolean;
  /** The code, where it is written out. */
  readonly code?: string;
  readonly empty: boolean;
  /** Its keys that are written out, with the values that are, and where each stands. */
  readonly fields: ReadonlyMap<string, Field>;
  readonly line: number;
  /** From 1, in bytes. */
  readonly column: number;
}

export interface Field {
  /** Undefined where the value depends on anything. */
  readonly constant?: unknown;
  readonly line: number;
}

interface Located {
  readonly location?: { readonly row: number; readonly col: number };
}
interface Term extends Located {
  readonly type: string;
  readonly value: unknown;
}
interface Annotation extends Located {
  readonly scope?: string;
  readonly title?: string;
  readonly custom?: Readonly<Record<string, unknown>>;
}
interface RawHead extends Located {
  readonly ref: readonly Term[];
  readonly key?: Term;
  readonly value?: Term;
  readonly args?: readonly Term[];
}
interface RawRule extends Located {
  readonly head: RawHead;
  readonly body?: unknown;
  readonly else?: unknown;
  readonly annotations?: readonly Annotation[];
}
interface RawModule {
  readonly package: Located & { readonly path: readonly Term[] };
  readonly imports?: readonly { readonly path: Term; readonly alias?: string }[];
  readonly rules?: readonly RawRule[];
}

/** Reads the JSON of `opa parse`. Throws where it is not what it should be. */
export function readModule(file: string, json: string): Module {
  const raw = JSON.parse(json) as RawModule;
  const own = constantPath(raw.package.path).slice(1);
  const aliases = new Map<string, readonly string[]>();
  for (const { path, alias } of raw.imports ?? []) {
    const full = constantPath(path.value as Term[]);
    aliases.set(alias ?? full.at(-1) ?? '', full);
  }
  const uses = new Set<string>();
  const rules = (raw.rules ?? []).map((rule) => {
    // Not the rule's own name: naming itself is no use of it.
    const { ref, key, value, args } = rule.head;
    const used = new Set<string>();
    collectUses([ref.slice(1), key, value, args, rule.body, rule.else], aliases, own, used);
    for (const use of used) uses.add(use);
    return { ...readRule(rule), uses: used };
  });
  return { file, package: own.join('.'), packageLine: raw.package.location?.row ?? 1, rules, uses };
}

function readRule({ head, body, else: otherwise, annotations = [], location }: RawRule): Omit<Rule, 'uses'> {
  const set = head.key !== undefined && head.value === undefined && head.ref.length === 1;
  const kind = set ? 'set' : head.args === undefined ? 'other' : 'function';
  // The nearest block wins: a rule's own before its document's.
  const ordered = [...annotations].sort((a, b) => Number(a.scope === 'document') - Number(b.scope === 'document'));
  const title = ordered.find((annotation) => annotation.title !== undefined)?.title;
  const code = ordered.map((annotation) => annotation.custom?.['code']).find((found) => typeof found === 'string');
  return {
    name: String(head.ref[0]?.value),
    line: head.location?.row ?? location?.row ?? 1,
    kind,
    ...(set && head.key !== undefined ? { element: readElement(head.key) } : {}),
    ...(title === undefined ? {} : { title }),
    ...(code === undefined ? {} : { annotatedCode: code }),
    conditions: otherwise === undefined ? readConditions(body) : [],
    calls: readCalls({ head, body, else: otherwise }, constantOf),
  };
}

function readElement(key: Term): Element {
  const pairs = key.type === 'object' ? (key.value as [Term, Term][]) : [];
  const code = pairs.find(([name]) => name.type === 'string' && name.value === 'code')?.[1];
  return {
    literal: key.type === 'object',
    hasCode: code !== undefined,
    ...(code?.type === 'string' ? { code: code.value as string } : {}),
    empty: pairs.length === 0,
    fields: new Map(
      pairs.flatMap(([name, value]) => {
        if (name.type !== 'string') return [];
        const constant = constantOf(value);
        const line = value.location?.row ?? name.location?.row ?? key.location?.row ?? 1;
        return [[name.value as string, { line, ...(constant === undefined ? {} : { constant }) }] as const];
      }),
    ),
    line: key.location?.row ?? 1,
    column: key.location?.col ?? 1,
  };
}

/** The value of a term that is written out whole; undefined where a part of it is not. */
function constantOf({ type, value }: Term): unknown {
  switch (type) {
    case 'string':
    case 'number':
    case 'boolean':
      return value;
    case 'null':
      return null;
    case 'array': {
      const items = (value as Term[]).map(constantOf);
      return items.includes(undefined) ? undefined : items;
    }
    case 'object': {
      const pairs = (value as [Term, Term][]).map(([name, item]) => [constantOf(name), constantOf(item)] as const);
      return pairs.some(([name, item]) => typeof name !== 'string' || item === undefined)
        ? undefined
        : Object.fromEntries(pairs);
    }
    default:
      return undefined;
  }
}

/** The leading constant parts of a reference: `data.policy[x].deny` is ["data", "policy"]. */
function constantPath(terms: readonly Term[]): string[] {
  const [first, ...rest] = terms;
  const path = [String(first?.value)];
  for (const term of rest) {
    if (term.type !== 'string') break;
    path.push(term.value as string);
  }
  return path;
}

/**
 * Walks whatever tree it is given. A local variable that is named like a rule counts as a use of it: the check that
 * this feeds would rather miss a misspelling than refuse a policy that is right.
 */
function collectUses(
  node: unknown,
  aliases: ReadonlyMap<string, readonly string[]>,
  own: readonly string[],
  uses: Set<string>,
): void {
  if (Array.isArray(node)) {
    for (const child of node) collectUses(child, aliases, own, uses);
    return;
  }
  if (typeof node !== 'object' || node === null) return;
  const { type, value } = node as Partial<Term>;
  if (type === 'ref' && Array.isArray(value)) note(constantPath(value as Term[]));
  else if (type === 'var' && typeof value === 'string') note([value]);
  for (const [name, child] of Object.entries(node)) if (name !== 'location') collectUses(child, aliases, own, uses);

  function note([head = '', ...rest]: readonly string[]): void {
    const base = head === 'data' ? ['data'] : (aliases.get(head) ?? ['data', ...own, head]);
    if (base[0] === 'data') uses.add([...base.slice(1), ...rest].join('.'));
  }
}
