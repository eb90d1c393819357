import { tokensOf, type Token } from './tokens.js';
import { RewriteRefusal } from '../../enforcing/rewriting.js';

/** A text and what is put in place of parts of it. Everything counts bytes of UTF-8, as the tree's locations do. */

export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

const isAscii = (text: string): boolean => !/[^\x00-\x7f]/.test(text);
/** A character for each byte. */
const toBytes = (text: string): string => (isAscii(text) ? text : Buffer.from(text).toString('latin1'));
const fromBytes = (bytes: string): string => (isAscii(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8'));

export const unclear = (what: string): RewriteRefusal =>
  new RewriteRefusal('mask_unenforceable', `masks and filters cannot be put into ${what}`);

export class Splice {
  readonly bytes: string;
  readonly tokens: readonly Token[];
  readonly #edits: Edit[] = [];
  readonly #replaced = new Set<string>();
  readonly #taken: { readonly start: number; readonly end: number }[] = [];
  #at: Map<number, number> | undefined;

  constructor(text: string) {
    this.bytes = toBytes(text);
    this.tokens = tokensOf(this.bytes);
  }

  get isEmpty(): boolean {
    return this.#edits.length === 0;
  }

  /** The same once more, where the tree has a part of the text twice, is done once. */
  replace(start: number, end: number, text: string): void {
    const key = `${String(start)} ${String(end)} ${text}`;
    if (start < end && this.#replaced.has(key)) return;
    this.#replaced.add(key);
    this.#edits.push({ start, end, text: toBytes(text) });
  }

  /** In front of everything else that is put there. */
  insert(at: number, text: string): void {
    this.#edits.unshift({ start: at, end: at, text: toBytes(text) });
  }

  /** Behind everything else that is put there. */
  append(at: number, text: string): void {
    this.replace(at, at, text);
  }

  /** Whether a part of the text was handed out, or something is put in its place. */
  isTouched(start: number, end: number): boolean {
    return [...this.#taken, ...this.#edits].some((part) => part.start < end && part.end > start);
  }

  /** The index of the token that starts there. */
  indexAt(start: number): number {
    this.#at ??= new Map(this.tokens.map((token, index) => [token.start, index]));
    const index = this.#at.get(start);
    if (index === undefined) throw unclear('a text whose parts the gateway cannot tell apart');
    return index;
  }

  /** A token as it stands in the text; words in lower case. Never the value of a literal: all of a kind read alike. */
  word(index: number): string {
    const token = this.tokens[index];
    if (token === undefined) return '';
    if (token.kind === 'string') return "''";
    if (isDigit(this.bytes.charCodeAt(token.start))) return '0';
    const text = this.bytes.slice(token.start, token.end);
    return token.kind === 'word' ? text.toLowerCase() : text;
  }

  /** The index of the last token of a dotted name of so many parts. */
  lastOfName(first: number, parts: number): number {
    for (let index = first; index <= first + 2 * (parts - 1); index++) {
      const word = this.word(index);
      const isDot = (index - first) % 2 === 1;
      if (isDot !== (word === '.') || /^u&"/i.test(word)) throw unclear('a name that is written like this');
    }
    return first + 2 * (parts - 1);
  }

  /** The index behind the closing of what opens at the index. */
  behindParentheses(open: number): number {
    let depth = 0;
    for (let index = open; index < this.tokens.length; index++) {
      const word = this.word(index);
      if (word === '(' || word === '[') depth++;
      else if (word === ')' || word === ']') depth--;
      if (depth === 0) return index + 1;
    }
    throw unclear('a text whose parentheses the gateway cannot tell apart');
  }

  slice(start: number, end: number): string {
    this.#taken.push({ start, end });
    return fromBytes(this.bytes.slice(start, end));
  }

  endOf(index: number): number {
    return this.tokens[index]?.end ?? this.bytes.length;
  }

  startOf(index: number): number {
    return this.tokens[index]?.start ?? this.bytes.length;
  }

  /** The edits in order. What is inserted at one place keeps the order in which it came. */
  finish(): Spliced {
    const edits = this.#edits
      .map((edit, index) => ({ edit, index }))
      .sort((a, b) => a.edit.start - b.edit.start || a.edit.end - b.edit.end || a.index - b.index)
      .map(({ edit }) => edit);
    return spliced(this.bytes, edits);
  }
}

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;

/** @param edits In order. Throws RewriteRefusal where they overlap. */
export function spliced(before: string, edits: readonly Edit[]): Spliced {
  let bytes = '';
  let at = 0;
  for (const edit of edits) {
    if (edit.start < at) throw unclear('parts of a text that lie within one another');
    bytes += before.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return new Spliced(before, bytes + before.slice(at), edits);
}

export class Spliced {
  readonly text: string;
  readonly edits: readonly Edit[];
  readonly #before: string;
  readonly #after: string;

  constructor(before: string, after: string, edits: readonly Edit[]) {
    this.text = fromBytes(after);
    this.#before = before;
    this.#after = after;
    this.edits = edits;
  }

  /** A 1-based position in characters of the new text as one of the old; undefined within what was put in. */
  position(sent: number): number | undefined {
    const target = bytesBefore(this.#after, sent - 1);
    let moved = 0;
    for (const edit of this.edits) {
      const start = edit.start + moved;
      if (target < start) break;
      if (target < start + edit.text.length) return undefined;
      moved += edit.text.length - (edit.end - edit.start);
    }
    return charactersBefore(this.#before, target - moved) + 1;
  }
}

const isContinuation = (code: number): boolean => (code & 0xc0) === 0x80;

function bytesBefore(bytes: string, characters: number): number {
  let at = 0;
  for (let left = characters; at < bytes.length; at++) {
    if (isContinuation(bytes.charCodeAt(at))) continue;
    if (left-- === 0) break;
  }
  return at;
}

function charactersBefore(bytes: string, end: number): number {
  let characters = 0;
  for (let at = 0; at < Math.min(end, bytes.length); at++) if (!isContinuation(bytes.charCodeAt(at))) characters++;
  return characters + Math.max(0, end - bytes.length);
}
