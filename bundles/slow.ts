import type { Module } from './ast.js';
import type { Call } from './calls.js';
import type { Problem } from './error.js';
import { isTestModule } from './verify.js';

/**
 * Built-in functions that cost more than the rest of a decision does, and what says the same for less. A set or a prefix costs
 * less than a microsecond, a pattern ten and more; a rule is asked about every operation.
 */
export function slowCalls(modules: readonly Module[]): Problem[] {
  return modules
    .filter((module) => !isTestModule(module))
    .flatMap(({ file, rules }) =>
      rules.flatMap(({ calls }) =>
        calls.flatMap((call) => {
          const found = patternAdvice(call) ?? builtinAdvice(call);
          return found === undefined ? [] : [{ ...found, file, line: call.line }];
        }),
      ),
    );
}

type Advice = Pick<Problem, 'code' | 'message' | 'help'>;

/** Where the pattern stands among what is given, and the text that it is held against. */
const patterns: Readonly<Record<string, readonly [pattern: number, text: number]>> = {
  'regex.match': [0, 1],
  'glob.match': [0, 2],
  'regex.find_n': [0, 1],
  'regex.find_all_string_submatch_n': [0, 1],
  'regex.replace': [1, 0],
  'regex.split': [0, 1],
  'regex.template_match': [0, 1],
};

function patternAdvice({ name, arguments: given, behind }: Call): Advice | undefined {
  const places = patterns[name];
  if (places === undefined) return undefined;
  const [pattern, text] = places.map((place) => given[place]);
  const value = text === undefined || text.constant !== undefined ? 'value' : text.text;
  if (typeof pattern?.constant === 'string') {
    const instead = name === 'regex.match' ? ofRegex(pattern.constant, value) : name === 'glob.match' ? ofGlob(pattern.constant, given[1]?.constant, value) : undefined; // prettier-ignore
    if (instead !== undefined)
      return {
        code: 'slow_pattern',
        message: `${name} costs ten microseconds and more for each operation, and nothing in this pattern needs one`,
        help: `Write ${instead}, which costs less than one.`,
      };
    return behind
      ? undefined
      : {
          code: 'slow_pattern',
          message: `${name} is asked about every operation, and costs ten microseconds and more each time`,
          help: `List the names where they are known (${value} in {"…", "…"}), or put the lines that few operations fulfil before it.`,
        };
  }
  return {
    code: 'slow_pattern',
    message: `${name} with patterns that are worked out: each costs ten microseconds and more, and one that is no pattern makes the rule undefined`,
    help: `Keep names in the data, and write ${value} in data.…; of prefixes, strings.any_prefix_match(${value}, data.…).`,
  };
}

const literal = /^[\w:/@ -]+$/;
/** A backslash before what is no letter means that alone. */
const unescaped = (pattern: string): string | undefined => {
  const bare = pattern.replace(/\\([^\w\s])/g, '\u0000$1');
  return /[\\.^$*+?()[\]{}|]/.test(bare.replace(/\u0000./g, '')) ? undefined : bare.replaceAll('\u0000', '');
};

function ofRegex(pattern: string, value: string): string | undefined {
  const [, start = '', inner = '', end = ''] = /^(\^?)(.*?)((?:(?<!\\)\$)?)$/s.exec(pattern) ?? [];
  const group = /^\((?:\?:)?([^()]*)\)$/.exec(inner)?.[1];
  const words = (group ?? (inner.includes('|') && start === '' && end === '' ? inner : undefined))?.split('|');
  if (words !== undefined && words.length > 1) {
    const bare = words.map(unescaped);
    if (bare.some((word) => word === undefined || word === '')) return undefined;
    const list = bare.map((word) => JSON.stringify(word)).join(', ');
    if (start !== '' && end !== '') return `${value} in {${list}}`;
    if (start !== '') return `strings.any_prefix_match(${value}, [${list}])`;
    return end !== '' ? `strings.any_suffix_match(${value}, [${list}])` : undefined;
  }
  // Whatever stands before or behind is nothing that is asked for, but for a line's end.
  const open = inner.replace(/^\.\*/, '').replace(/\.\*$/, '');
  const bare = unescaped(open);
  if (bare === undefined || bare === '') return undefined;
  const [fromStart, toEnd] = [start !== '' && !inner.startsWith('.*'), end !== '' && !inner.endsWith('.*')];
  // `^.*x$` and `^x.*$` mind line ends, which these do not.
  if ((end !== '' && inner.endsWith('.*')) || (start !== '' && inner.startsWith('.*'))) return undefined;
  const text = JSON.stringify(bare);
  if (fromStart && toEnd) return `${value} == ${text}`;
  return fromStart ? `startswith(${value}, ${text})` : toEnd ? `endswith(${value}, ${text})` : `contains(${value}, ${text})`; // prettier-ignore
}

/** @param delimiters Null: `*` goes over all letters; an empty list: over all but dots. */
function ofGlob(pattern: string, delimiters: unknown, value: string): string | undefined {
  if (literal.test(pattern) || /^[\w:/@. -]+$/.test(pattern)) return `${value} == ${JSON.stringify(pattern)}`;
  const [, before = '', first = '', bare = '', last = ''] = /^()(\**)([\w:/@. -]+)(\**)$/.exec(pattern) ?? [];
  if (before !== '' || bare === '') return undefined;
  const whole = (star: string) => star === '' || star === '**' || (star === '*' && delimiters === null);
  if (!whole(first) || !whole(last)) return undefined;
  const text = JSON.stringify(bare);
  if (first === '') return `startswith(${value}, ${text})`;
  return last === '' ? `endswith(${value}, ${text})` : `contains(${value}, ${text})`;
}

/** What each costs for an operation was measured; of those that are behind another line, nothing is said. */
const builtins: Readonly<Record<string, readonly [costs: string, instead: string]>> = {
  walk: [
    'goes through every value there is',
    'Name the field that is meant: input.operation.resources has whatever an operation touches.',
  ],
  'json.patch': ['makes a whole document anew', 'Look at the fields themselves, or join with object.union.'],
  'net.cidr_expand': ['makes a list of every address', 'Write net.cidr_contains(network, address).'],
  'net.cidr_merge': ['works networks out anew', 'Keep the merged networks in the data, and write net.cidr_contains.'],
  'numbers.range': ['makes a list of every number', 'Compare: x >= 1 and x <= 100.'],
  'regex.is_valid': ['compiles a pattern', 'Hold patterns in tests, and names in the data.'],
  'io.jwt.decode': ['reads a token anew', 'What is verified of the token stands in input.principal; further claims in input.principal.attributes.'],
}; // prettier-ignore

function builtinAdvice({ name, behind, arguments: given }: Call): Advice | undefined {
  const found = Object.hasOwn(builtins, name) ? builtins[name] : undefined;
  if (found === undefined || behind) return undefined;
  // A part of a document may be as small as one likes.
  if (name === 'walk' && !['input', 'input.operation'].includes(given[0]?.text ?? '')) return undefined;
  const [costs, instead] = found;
  const message = `${name} ${costs}, for each operation: ten microseconds and more`;
  return { code: 'slow_builtin', message, help: `${instead} Or put the lines that few operations fulfil before it.` };
}
