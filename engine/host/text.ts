import { readArguments } from '../regotext.js';
import { sprintf } from '../sprintf.js';
import type { Argument } from '../sprintf.js';
import { ofStrings, type Builtin, type Table, type Value } from './builtin.js';

/** Texts: what is in them, where, and how often. Positions count characters, as Go's runes do, not UTF-16 units. */

const manyStrings = (value: unknown): string[] | undefined =>
  typeof value === 'string'
    ? [value]
    : Array.isArray(value) && value.every((element) => typeof element === 'string')
      ? value
      : undefined;

function anyAffix(matches: (text: string, affix: string) => boolean): Builtin {
  return (values, call) => {
    const texts = manyStrings(values[0]);
    const affixes = manyStrings(values[1]);
    if (texts === undefined || affixes === undefined) return undefined;
    call.charge(texts.length * affixes.length * 4);
    return texts.some((text) => affixes.some((affix) => matches(text, affix)));
  };
}

function indexOfAll(text: string, search: string): Value | undefined {
  if (search === '') return undefined;
  const found: number[] = [];
  let units = 0;
  let characters = 0;
  for (let at = text.indexOf(search); at >= 0; at = text.indexOf(search, at + 1)) {
    for (; units < at; characters++) units += text.codePointAt(units)! > 0xffff ? 2 : 1;
    if (units === at) found.push(characters);
  }
  return found;
}

function countOf(text: string, search: string): number {
  return search === '' ? [...text].length + 1 : text.split(search).length - 1;
}

/** The first n parts, or where n is negative the last. An empty delimiter cuts between characters. */
function splitSome(text: string, delimiter: string, n: number): Value {
  const parts = delimiter === '' ? [...text] : text.split(delimiter);
  return n >= 0 ? parts.slice(0, n) : parts.slice(Math.max(parts.length + n, 0));
}

/** Go has integers and floats, and Rego's notation says which: 1 and 1.0 are one number to policy, and two to %d. */
function sprintfArguments(text: string): Argument[] {
  return readArguments(text).map(({ kind, text }) => {
    if (kind !== 'number') return text;
    if (/^-?\d+$/.test(text)) return BigInt(text);
    // What no float holds stays the text that it is.
    return Number.isFinite(Number(text)) ? Number(text) : text;
  });
}

export const text: Table = {
  'glob.quote_meta': ofStrings((text) => text.replace(/[*?\\[\]{}]/g, '\\$&')),
  indexof_n: ofStrings((text, search) => indexOfAll(text, search)),
  sprintf: (values, call) => {
    const format = values[0];
    if (typeof format !== 'string' || !Array.isArray(values[1])) return undefined;
    return sprintf(format, sprintfArguments(call.regoText(1)));
  },
  'strings.any_prefix_match': anyAffix((text, affix) => text.startsWith(affix)),
  'strings.any_suffix_match': anyAffix((text, affix) => text.endsWith(affix)),
  'strings.count': ofStrings((text, search) => countOf(text, search)),
  'strings.split_n': ([text, delimiter, n]) =>
    typeof text === 'string' && typeof delimiter === 'string' && Number.isSafeInteger(n)
      ? splitSome(text, delimiter, n as number)
      : undefined,
  // Notes for whoever looks at an evaluation: nobody does so in force.
  trace: ofStrings(() => true),
};
