import type { Term } from '../regotext.js';

/** What the built-ins that the engine supplies have in common. */

/** A value to hand back. A bigint keeps all the digits of a number; what JSON cannot say is a `RegoText`. */
export type Value =
  null | string | number | boolean | bigint | RegoText | readonly Value[] | { readonly [key: string]: Value };

/** Undefined: as in OPA, a built-in that is given something it cannot use says nothing. */
export type Builtin = (values: readonly unknown[], call: Call) => Value | undefined;

export type Table = Readonly<Record<string, Builtin>>;

export interface Call {
  /** The argument as Rego writes it: sets with braces, where JSON knows only arrays. */
  regoText(index: number): string;
  /** The same, read: what tells sets from arrays, keeps the digits of numbers, and keys that are no texts. */
  term(index: number): Term;
  /** Takes fuel, and throws when there is none left. */
  charge(fuel: number): void;
}

/** A value in Rego's own notation. */
export class RegoText {
  constructor(readonly text: string) {}
}

export function writeValue(value: Value): string {
  if (value instanceof RegoText) return value.text;
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${(value as Value[]).map(writeValue).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, one]) => `${JSON.stringify(key)}:${writeValue(one)}`)
    .join(',')}}`;
}

/** Elements that are equal count once: whoever reads the text back sees to that. */
export function setOf(elements: Iterable<Value>): RegoText {
  const texts = [...elements].map(writeValue);
  return new RegoText(texts.length === 0 ? 'set()' : `{${texts.join(',')}}`);
}

/** A built-in of texts alone: undefined for anything else. */
export function ofStrings(build: (...values: string[]) => Value | undefined): Builtin {
  return (values) => (values.every((value) => typeof value === 'string') ? build(...(values as string[])) : undefined);
}

/** For what the arguments decide may be long: fuel is taken as it goes. */
export const stepFuel = 40;
