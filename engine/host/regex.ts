import { RE2JS } from 're2js';
import { ofStrings, type Builtin, type Call, type Table } from './builtin.js';

/**
 * Regular expressions of Go's kind: their time is in proportion to the text, whatever the pattern. JavaScript's own
 * backtrack, and a pattern of 26 characters was seen to hold one for twenty seconds.
 */

const kept_max = 200;
const pattern_length_max = 4096;
/** Measured: some 80 µs for each KiB of text, where a step of WebAssembly takes a fraction of a nanosecond. */
const fuelPerCharacter = 200;

const kept = new Map<string, RE2JS | undefined>();

/** Undefined where Go would not compile it either. */
function compile(pattern: string): RE2JS | undefined {
  if (kept.has(pattern)) return kept.get(pattern);
  if (pattern.length > pattern_length_max)
    throw new Error(
      `a pattern may have ${String(pattern_length_max)} characters, and this one has ${String(pattern.length)}`,
    );
  let compiled: RE2JS | undefined;
  try {
    compiled = RE2JS.compile(pattern);
  } catch {
    compiled = undefined;
  }
  if (kept.size >= kept_max) kept.delete(kept.keys().next().value!);
  kept.set(pattern, compiled);
  return compiled;
}

interface Match {
  readonly start: number;
  readonly end: number;
  group(name: number | string): string;
}

/** All matches as Go finds them: an empty one that touches the end of the one before it does not count. */
function findAll(re: RE2JS, text: string, n: number, call: Call): Match[] {
  const found: Match[] = [];
  const matcher = re.matcher(text);
  let previousEnd = -1;
  for (let from = 0; from <= text.length && found.length !== n && matcher.find(from);) {
    call.charge(fuelPerCharacter);
    const [start, end] = [matcher.start(), matcher.end()];
    if (end > start || start !== previousEnd) {
      const groups = Array.from({ length: matcher.groupCount() + 1 }, (_, index) => matcher.group(index) ?? '');
      const names = re.namedGroups();
      found.push({
        start,
        end,
        group: (name) => groups[typeof name === 'number' ? name : (names[name] ?? -1)] ?? '',
      });
    }
    previousEnd = end;
    from = end > start ? end : end + (text.codePointAt(end)! > 0xffff ? 2 : 1);
  }
  return found;
}

function withPattern(
  pattern: unknown,
  text: unknown,
  call: Call,
  use: (re: RE2JS, text: string) => ReturnType<Builtin>,
) {
  if (typeof pattern !== 'string' || typeof text !== 'string') return undefined;
  call.charge((text.length + pattern.length) * fuelPerCharacter);
  const re = compile(pattern);
  return re === undefined ? undefined : use(re, text);
}

/** Go's Regexp.Expand: $1, ${1}, $name, ${name}; $$ is a dollar. A group that is not there is empty. */
function expand(template: string, match: Match): string {
  return template.replace(/\$(?:\$|\{(\w+)\}|(\w+))/g, (_all, braced?: string, bare?: string) => {
    const name = braced ?? bare;
    if (name === undefined) return '$';
    return match.group(/^\d+$/.test(name) ? Number(name) : name);
  });
}

function replaceAll(re: RE2JS, text: string, template: string, call: Call): string {
  let out = '';
  let last = 0;
  for (const match of findAll(re, text, -1, call)) {
    out += text.slice(last, match.start) + expand(template, match);
    call.charge(template.length * 4);
    last = match.end;
  }
  return out + text.slice(last);
}

/** Go's Regexp.Split with no limit. */
function split(re: RE2JS, text: string, call: Call): string[] {
  if (text === '' && re.pattern() !== '') return [''];
  const parts: string[] = [];
  let begin = 0;
  let end = 0;
  for (const match of findAll(re, text, -1, call)) {
    end = match.start;
    if (match.end !== 0) parts.push(text.slice(begin, end));
    begin = match.end;
  }
  if (end !== text.length) parts.push(text.slice(begin));
  return parts;
}

/** "urn:foo:{.*}": a text with patterns between delimiters, as one pattern. Undefined where they do not pair up. */
function templatePattern(template: string, open: string, close: string): string | undefined {
  let [level, start, last] = [0, 0, 0];
  let pattern = '^';
  for (let at = 0; at < template.length; at++) {
    if (template[at] === open && ++level === 1) start = at;
    else if (template[at] === close && --level === 0) {
      const inner = template.slice(start + 1, at);
      if (compile(`^${inner}$`) === undefined) return undefined;
      pattern += `${RE2JS.quote(template.slice(last, start))}(${inner})`;
      last = at + 1;
    }
    if (level < 0) return undefined;
  }
  return level === 0 ? `${pattern}${RE2JS.quote(template.slice(last))}$` : undefined;
}

export const regex: Table = {
  'regex.find_n': ([pattern, text, n], call) =>
    withPattern(pattern, text, call, (re, text) =>
      Number.isSafeInteger(n) ? findAll(re, text, n as number, call).map((match) => match.group(0)) : undefined,
    ),
  'regex.replace': ([text, pattern, template], call) =>
    withPattern(pattern, text, call, (re, text) =>
      typeof template === 'string' ? replaceAll(re, text, template, call) : undefined,
    ),
  'regex.split': ([pattern, text], call) => withPattern(pattern, text, call, (re, text) => split(re, text, call)),
  'regex.template_match': (values, call) =>
    ofStrings((template, text, open, close) => {
      if (Buffer.byteLength(open) !== 1 || Buffer.byteLength(close) !== 1) return undefined;
      return withPattern(templatePattern(template, open, close), text, call, (re, text) => re.matcher(text).find());
    })(values, call),
};
