import { isMap, isScalar, LineCounter, parseDocument, type Node } from 'yaml';
import { BundleError, type Problem } from './error.js';
import { isCaseFile } from './snapshot.js';

/**
 * Cases of a policy, as data: `*.cases.yaml` beside the rules. A file has
 *
 *     title?: what they are about
 *     given?: an input document, which each case's is merged over
 *     cases: a list of
 *       - description: what it says when it fails
 *         input?: objects are merged by key, everything else is replaced, null removes
 *         want: {outcome?, codes?, reasons?, masks?, filters?, approvals?, keeps?, taints?, limits?, cost?}
 *
 * `codes` are those of the reasons, in order. Of reasons, masks, filters, approvals, keeps and taints there are as many as are written
 * down, in any order, and each has what is written down of it. `limits` and `cost` are exact; what costs nothing costs 0.
 */
export interface PolicyCase {
  readonly file: string;
  readonly line: number;
  readonly description: string;
  readonly input: Fields;
  readonly want: Want;
}

export type Fields = Readonly<Record<string, unknown>>;

export interface Want {
  readonly outcome?: string;
  readonly codes?: readonly string[];
  readonly reasons?: readonly Fields[];
  readonly masks?: readonly Fields[];
  readonly filters?: readonly Fields[];
  readonly approvals?: readonly Fields[];
  readonly keeps?: readonly Fields[];
  readonly taints?: readonly Fields[];
  readonly limits?: Fields;
  readonly cost?: number;
}

/** What is judged by, as `data.sallyport.decision` combined it, or as the engine decided. */
export interface Answered {
  readonly outcome: string;
  readonly reasons: readonly object[];
  readonly masks: readonly object[];
  readonly filters: readonly object[];
  readonly approvals: readonly object[];
  readonly keeps?: readonly object[];
  readonly taints?: readonly object[];
  readonly limits: object;
  readonly cost?: number;
}

export const cases_max = 5_000;
/** They are read and judged where everything else waits for it. */
const yaml_bytes_max = 1_048_576;
const all_yaml_bytes_max = 4 * yaml_bytes_max;
/** Of the inputs, written out: each has all that is given, and what it names again. */
const inputs_bytes_max = 33_554_432;

const fileKeys = new Set(['title', 'given', 'cases']);
const caseKeys = new Set(['description', 'input', 'want']);
const lists = ['reasons', 'masks', 'filters', 'approvals', 'keeps', 'taints'] as const;
const wantKeys = new Set<string>(['outcome', 'codes', 'limits', 'cost', ...lists]);

/** All cases of a policy's files. Throws BundleError for what is no case: a test that is passed by proves nothing. */
export function readCases(files: ReadonlyMap<string, Uint8Array>): PolicyCase[] {
  const cases: PolicyCase[] = [];
  const problems: Problem[] = [];
  const left = { inputs_bytes: inputs_bytes_max, yaml_bytes: all_yaml_bytes_max };
  for (const [file, content] of files) {
    if (!isCaseFile(file)) continue;
    try {
      left.yaml_bytes -= content.length;
      if (content.length > yaml_bytes_max || left.yaml_bytes < 0)
        throw new Malformed(`has more than ${yaml_bytes_max / 1_048_576} MiB, or all files of cases more than ${all_yaml_bytes_max / 1_048_576}`); // prettier-ignore
      for (const one of readFile(file, Buffer.from(content).toString('utf8'))) {
        left.inputs_bytes -= JSON.stringify(one.input).length;
        if (left.inputs_bytes < 0)
          throw new Malformed(`with what is given, all inputs have more than ${inputs_bytes_max / 1_048_576} MiB`, one.line); // prettier-ignore
        if (cases.push(one) > cases_max) break;
      }
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      problems.push({ code: 'bad_case', message: error.message, file, ...(error.line > 0 && { line: error.line }), help: 'docs/policy.md#cases has the form.' }); // prettier-ignore
    }
  }
  if (cases.length > cases_max) problems.push({ code: 'bad_case', message: `more than ${cases_max} cases` });
  if (problems.length > 0) throw new BundleError(problems);
  return cases;
}

class Malformed extends Error {
  constructor(
    message: string,
    readonly line = 0,
  ) {
    super(message);
  }
}

function readFile(file: string, text: string): PolicyCase[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, logLevel: 'silent' });
  const [wrong] = document.errors;
  if (wrong !== undefined) throw new Malformed(`is not YAML: ${wrong.message.split('\n')[0] ?? ''}`, lines.linePos(wrong.pos[0]).line); // prettier-ignore
  let content: unknown;
  try {
    content = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw new Malformed((error as Error).message);
  }
  const { given = {}, cases } = closed(content, fileKeys, 'the file', 1);
  if (!isFields(given)) throw new Malformed('"given" is not an object');
  if (!Array.isArray(cases) || cases.length === 0) throw new Malformed('has no list of "cases"');
  const named = new Set<string>();
  return cases.map((one: unknown, index): PolicyCase => {
    const node = document.getIn(['cases', index], true) as Node | undefined;
    const line = lines.linePos(startOf(node)).line;
    const { description, input = {}, want } = closed(one, caseKeys, 'a case', line);
    if (typeof description !== 'string' || description === '') throw new Malformed('a case has no "description"', line);
    if (named.has(description)) throw new Malformed(`two cases are called ${JSON.stringify(description)}`, line);
    named.add(description);
    if (!isFields(input)) throw new Malformed('"input" is not an object', line);
    return { file, line, description, input: merge(given, input), want: readWant(want, line) };
  });
}

const startOf = (node: Node | undefined): number => {
  const key = isMap(node) ? node.items[0]?.key : undefined;
  return (isScalar(key) ? key.range?.[0] : undefined) ?? node?.range?.[0] ?? 0;
};

function readWant(value: unknown, line: number): Want {
  const want = closed(value, wantKeys, '"want"', line);
  if (Object.keys(want).length === 0) throw new Malformed('"want" asks for nothing: any policy would pass', line);
  const { outcome, codes, limits, cost } = want;
  if (outcome !== undefined && !['allow', 'deny', 'hold'].includes(outcome as string))
    throw new Malformed('"outcome" is none of allow, deny and hold', line);
  if (codes !== undefined && !(Array.isArray(codes) && codes.every((code) => typeof code === 'string')))
    throw new Malformed('"codes" is not a list of codes', line);
  for (const name of lists)
    if (want[name] !== undefined && !(Array.isArray(want[name]) && (want[name] as unknown[]).every(isFields)))
      throw new Malformed(`"${name}" is not a list of objects`, line);
  if (limits !== undefined && !isFields(limits)) throw new Malformed('"limits" is not an object', line);
  if (cost !== undefined && typeof cost !== 'number') throw new Malformed('"cost" is not a number', line);
  return want;
}

function closed(value: unknown, keys: ReadonlySet<string>, what: string, line: number): Fields {
  if (!isFields(value)) throw new Malformed(`${what} is not an object`, line);
  for (const key of Object.keys(value))
    if (!keys.has(key)) throw new Malformed(`${what} has the unknown key "${key}"; known are ${[...keys].join(', ')}`, line); // prettier-ignore
  return value;
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function merge(base: Fields, over: Fields): Fields {
  const merged = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(over)) {
    const below = merged.get(key);
    if (value === null) merged.delete(key);
    else merged.set(key, isFields(below) && isFields(value) ? merge(below, value) : value);
  }
  return Object.fromEntries(merged);
}

/** In words, what of an answer is not as it is wanted; nothing where all is. */
export function unmet(answer: Answered, want: Want): string[] {
  const said: string[] = [];
  const codes = answer.reasons.map((reason) => (reason as Fields)['code']);
  const tell = (what: string, wanted: unknown, found: unknown) =>
    said.push(`wanted ${what} ${JSON.stringify(wanted)}, and it is ${JSON.stringify(found)}`);
  if (want.outcome !== undefined && want.outcome !== answer.outcome) tell('the outcome', want.outcome, answer.outcome);
  if (want.codes !== undefined && JSON.stringify(want.codes) !== JSON.stringify(codes)) tell('the codes', want.codes, codes); // prettier-ignore
  for (const name of lists)
    if (want[name] !== undefined && !pairs(want[name].map(timed), (answer[name] ?? []).map(timed)))
      tell(name, want[name], answer[name] ?? []);
  if (want.limits !== undefined && !equal(sorted(want.limits), sorted(answer.limits))) tell('limits', want.limits, answer.limits); // prettier-ignore
  if (want.cost !== undefined && !isNear(want.cost, answer.cost ?? 0)) tell('the cost', want.cost, answer.cost ?? 0);
  return said;
}

/** Each of the wanted has one of the found for itself, and none is left. */
function pairs(wanted: readonly unknown[], found: readonly unknown[]): boolean {
  if (wanted.length !== found.length) return false;
  const left = [...found];
  // The most particular first: what is written down of it fits the fewest.
  const particular = [...wanted].sort((one, other) => JSON.stringify(other).length - JSON.stringify(one).length);
  return particular.every((one) => {
    const index = left.findIndex((other) => contains(other, one));
    if (index >= 0) left.splice(index, 1);
    return index >= 0;
  });
}

/** Whether the value has everything that the part has. */
function contains(value: unknown, part: unknown): boolean {
  if (isFields(part)) return isFields(value) && Object.entries(part).every(([key, own]) => contains(value[key], own));
  return equal(sorted(value), sorted(part));
}

const equal = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

const sorted = (value: unknown): unknown =>
  isFields(value)
    ? Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)).map(([key, own]) => [key, sorted(own)])) // prettier-ignore
    : Array.isArray(value)
      ? value.map(sorted)
      : value;

const unit_ms: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** "15m" and 900000 ms are one time. */
function timed(element: object): object {
  const { expires, for: lasting, ...rest } = element as Fields;
  const times = { expires_ms: inMilliseconds(expires), for_ms: inMilliseconds(lasting) };
  const given = Object.entries(times).filter(([, time_ms]) => time_ms !== undefined);
  return given.length === 0 ? element : { ...rest, ...Object.fromEntries(given) };
}

function inMilliseconds(text: unknown): number | undefined {
  const match = typeof text === 'string' ? /^(\d{1,6})([smhd])$/.exec(text) : null;
  return match === null ? undefined : Number(match[1]) * unit_ms[match[2]!]!;
}

/** Sums of floating-point numbers depend on their order. */
const isNear = (one: number, other: number): boolean => Math.abs(one - other) <= Math.max(one, other) * 1e-9;
