import type { RawStmt } from 'libpg-query';
import { as, open, type Wrapped } from './ast.js';

/**
 * Clients without parameters send every value in the text, so that no two texts are alike. Here a text is taken apart
 * into its form and its literals, and a tree is made to tell which literals the analysis looks at: what was learned
 * without a look at a literal holds for any other in its place.
 *
 * Why that is so. Texts of one form are the same sequence of tokens but for the values of integers, decimals and plain
 * strings, so that the grammar builds the same tree but for those values: only tokens that became nothing but a constant
 * (A_Const) with just that value count, all others belong to the form. The analysis is a function of the tree and the
 * catalog; each of these constants is behind a Proxy that notes any look at its value. A run that looked at none of them
 * is the same run for all values.
 */

/** A literal as it stands in the text. */
export interface Literal {
  /** Characters from the start; the text is ASCII, so also bytes. */
  readonly at: number;
  readonly text: string;
  readonly kind: 'integer' | 'decimal' | 'string';
}

export interface Form {
  /** The text with a control character in place of each literal: no text that has a form has one of its own. */
  readonly key: string;
  readonly literals: readonly Literal[];
}

export const form_chars_max = 65_536;
export const literals_max = 1_000;

const marks = { integer: '\x01', decimal: '\x02', string: '\x03' } as const;

const quote = 0x27;
const doubleQuote = 0x22;

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;
const startsWord = (code: number): boolean =>
  (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || code === 0x5f;
const inWord = (code: number): boolean => startsWord(code) || isDigit(code) || code === 0x24;

/**
 * Undefined where there are no literals, or where finding them would take more than this small reader knows: comments,
 * parameters, dollar quotes, prefixed strings (E'…', U&'…', b'…'), backslashes, anything beyond ASCII, numbers in other
 * than the plain forms 12 and 1.5.
 */
export function formOf(text: string): Form | undefined {
  const { length } = text;
  if (length > form_chars_max) return undefined;
  const literals: Literal[] = [];
  let key = '';
  let copied = 0;
  const found = (at: number, end: number, kind: Literal['kind']): void => {
    key += text.slice(copied, at) + marks[kind];
    literals.push({ at, text: text.slice(at, end), kind });
    copied = end;
  };
  for (let at = 0; at < length;) {
    const code = text.charCodeAt(at);
    const next = text.charCodeAt(at + 1);
    if (startsWord(code)) {
      do at++;
      while (inWord(text.charCodeAt(at)));
      // A prefix of a string: what is inside reads otherwise.
      const after = text.charCodeAt(at);
      if (after === quote || (after === 0x26 && isQuote(text.charCodeAt(at + 1)))) return undefined;
    } else if (isDigit(code)) {
      const end = endOfNumber(text, at);
      if (end === undefined) return undefined;
      const decimal = text.indexOf('.', at);
      // Ten digits may be more than an integer holds, and then a constant of another kind: part of the form.
      if (decimal >= 0 && decimal < end) found(at, end, 'decimal');
      else if (end - at <= 9) found(at, end, 'integer');
      at = end;
    } else if (code === quote) {
      const end = endOfString(text, at);
      if (end === undefined) return undefined;
      found(at, end, 'string');
      at = end;
    } else if (code === doubleQuote) {
      const end = endOfName(text, at);
      if (end === undefined) return undefined;
      at = end;
    } else {
      const comment = (code === 0x2d && next === 0x2d) || (code === 0x2f && next === 0x2a);
      const white = code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
      if (comment || code === 0x24 || code > 0x7e || (code < 0x20 && !white)) return undefined;
      // ".5", or a number glued to a name.
      if (code === 0x2e && isDigit(next)) return undefined;
      at++;
    }
    if (literals.length > literals_max) return undefined;
  }
  return literals.length === 0 ? undefined : { key: key + text.slice(copied), literals };
}

const isQuote = (code: number): boolean => code === quote || code === doubleQuote;

function endOfNumber(text: string, start: number): number | undefined {
  let at = start;
  while (isDigit(text.charCodeAt(at))) at++;
  if (text.charCodeAt(at) === 0x2e) {
    const fraction = ++at;
    while (isDigit(text.charCodeAt(at))) at++;
    if (at === fraction) return undefined;
  }
  const after = text.charCodeAt(at);
  return inWord(after) || after === 0x2e ? undefined : at;
}

/** Behind the closing quote; undefined where the string has anything but printable ASCII without backslashes. */
function endOfString(text: string, start: number): number | undefined {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      if (text.charCodeAt(at + 1) !== quote) return at + 1;
      at++;
    } else if (code < 0x20 || code > 0x7e || code === 0x5c) return undefined;
  }
  return undefined;
}

function endOfName(text: string, start: number): number | undefined {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === doubleQuote) {
      if (text.charCodeAt(at + 1) !== doubleQuote) return at + 1;
      at++;
    } else if (code < 0x20 || code > 0x7e) return undefined;
  }
  return undefined;
}

/** The value that the literal's constant must have in the tree. */
function valueOf({ text, kind }: Literal): string | number {
  if (kind === 'integer') return Number(text);
  return kind === 'decimal' ? text : text.slice(1, -1).replaceAll("''", "'");
}

// ── the tree ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** A parsed text whose literals are watched. */
export interface Watched {
  readonly form: Form;
  /** Indices of the literals that were looked at so far, or that are more than a constant in the tree. */
  readonly seen: Set<number>;
}

/** Statements that read and write rows: they do nothing to the session but run. */
const kinds: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt']);

interface Constant {
  location?: number;
  ival?: { ival?: number };
  fval?: { fval?: string };
  sval?: { sval?: string };
}

/** Puts a watch on the constants of a tree that was just made. Undefined where the text, or its kind, has no form. */
export function watch(text: string, statements: readonly RawStmt[]): Watched | undefined {
  const [only] = statements;
  if (statements.length !== 1 || only?.stmt === undefined || !kinds.has(open(only.stmt).kind)) return undefined;
  const form = formOf(text);
  if (form === undefined) return undefined;
  const constants = new Map<number, Constant[]>();
  gather(only.stmt, constants);
  const seen = new Set<number>();
  for (const [index, literal] of form.literals.entries()) {
    const found = constants.get(literal.at) ?? [];
    if (found.length !== 1 || !watchOne(found[0]!, literal, () => seen.add(index))) seen.add(index);
  }
  return { form, seen };
}

function gather(tree: unknown, constants: Map<number, Constant[]>): void {
  if (Array.isArray(tree)) {
    for (const item of tree) gather(item, constants);
  } else if (tree !== null && typeof tree === 'object') {
    const constant = as<Constant>(tree as Wrapped, 'A_Const');
    if (constant === undefined) {
      for (const key in tree) gather((tree as Record<string, unknown>)[key], constants);
    } else {
      const at = constant.location ?? 0;
      constants.set(at, [...(constants.get(at) ?? []), constant]);
    }
  }
}

/** False where the constant is not just this literal. */
function watchOne(constant: Constant, literal: Literal, looked: () => void): boolean {
  const value = valueOf(literal);
  if (literal.kind === 'integer' && constant.ival !== undefined && (constant.ival.ival ?? 0) === value) {
    constant.ival = watched(constant.ival, looked);
    return true;
  }
  if (literal.kind === 'decimal' && constant.fval?.fval === value) {
    constant.fval = watched(constant.fval, looked);
    return true;
  }
  if (literal.kind === 'string' && constant.sval !== undefined && (constant.sval.sval ?? '') === value) {
    constant.sval = watched(constant.sval, looked);
    return true;
  }
  return false;
}

/** Any way to tell two of them apart is a look: values, whether there is one (zero is left out), the list of fields. */
function watched<T extends object>(value: T, looked: () => void): T {
  return new Proxy(value, {
    get(target, key) {
      looked();
      return Reflect.get(target, key) as unknown;
    },
    has(target, key) {
      looked();
      return Reflect.has(target, key);
    },
    ownKeys(target) {
      looked();
      return Reflect.ownKeys(target);
    },
    getOwnPropertyDescriptor(target, key) {
      looked();
      return Reflect.getOwnPropertyDescriptor(target, key);
    },
  });
}
