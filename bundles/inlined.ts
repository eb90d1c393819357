import path from 'node:path';
import type { Module } from './ast.js';
import { type Condition, readConditions } from './conditions.js';
import type { Problem } from './error.js';
import { runOver, type Tool } from './opa-run.js';
import { contractPackage, contractSets, isTestModule, mark, markRules } from './verify.js';
import { writeArchive } from './workspace.js';

/**
 * What is left of each rule once helper rules, functions and data are put in: `opa eval --partial` with nothing known of the
 * input. A rule of which nothing is left never answers; what is left says what must hold, wherever it was written.
 */

/** One way in which a rule may answer. */
export interface Answer {
  readonly set: string;
  /** Where the rule stands; undefined where its element is no literal. */
  readonly file?: string;
  readonly line?: number;
  /** What must hold at least. */
  readonly conditions: readonly Condition[];
  /** Whether anything of the input below this name is looked at: "operation", "principal", "target". */
  looksAt(part: string): boolean;
}

/** What each package of the contract may answer; without those whose rules come to too much to be looked at. */
export type Answers = ReadonlyMap<string, Ways>;

export interface Ways {
  readonly answers: readonly Answer[];
  /** "file:line" of each rule whose answers say that they are its own. */
  readonly marked: ReadonlySet<string>;
}

/** A rule with many helpers of many bodies each has as many ways as their product. */
const limits = { time_ms: 5_000, output_bytes_max: 16 * 1024 * 1024 };

/** At once, but not so many that a small machine drowns. */
const runs_max = 2;

const asking = 'sallyport_asked';

/**
 * @param sources The text of each module. @param texts What goes with them: our library, and data.
 * @param data The same data, read. What is empty in it is yet to be filled: of that nothing is taken to be known.
 */
export async function inlined(
  tool: Tool,
  modules: readonly Module[],
  sources: ReadonlyMap<string, Uint8Array>,
  texts: readonly (readonly [string, Uint8Array])[],
  data: unknown = {},
): Promise<Answers> {
  const inForce = modules.filter((module) => !isTestModule(module));
  const marked = inForce.map((module) => {
    const text = Buffer.from(sources.get(module.file) ?? []).toString('utf8');
    return [module.file, Buffer.from(markRules(text, module))] as const;
  });
  const packages = [...new Set(inForce.map((module) => module.package))].filter((name) => contractPackage(name) !== undefined); // prettier-ignore
  const questions = packages.map((name) => [`${asking}/${name}.rego`, Buffer.from(questionOf(name))] as const);
  const over = { ...tool, bundle: 'marked.tar.gz' };
  await writeArchive(path.join(tool.folder, over.bundle), [...marked, ...texts, ...questions]);
  const places = inForce.flatMap(({ file, rules }) => rules.map(({ line }) => `${file}:${line}`));
  const all = marked.map(([, text]) => text.toString('utf8')).join('\n');
  const written = new Set(places.filter((place) => all.includes(`"${mark}": ${JSON.stringify(place)}`)));
  const empty = Object.entries(data ?? {}).filter(([, value]) => hasEmpty(value));
  const unknown = ['input', ...empty.map(([name]) => `data[${JSON.stringify(name)}]`)];
  const found = new Map<string, Ways>();
  const left = [...packages];
  const worker = async () => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      const query = `data.${asking}.${contractPackage(name)!}.answer[x]`;
      const known = ['--capabilities', tool.capabilities, '-b', over.bundle];
      const args = ['eval', '--partial', '--format', 'json', ...known, ...unknown.flatMap((one) => ['--unknowns', one]), query]; // prettier-ignore
      const run = await runOver(over, args, { ...tool.limits, ...limits });
      const answers = run.status === 0 && run.exceeded === undefined ? readAnswers(run.stdout) : undefined;
      if (answers !== undefined) found.set(name, { answers, marked: written });
    }
  };
  await Promise.all(Array.from({ length: runs_max }, worker));
  return found;
}

const hasEmpty = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  (Object.keys(value).length === 0 || Object.values(value).some((one) => hasEmpty(one)));

const questionOf = (name: string): string =>
  [
    `package ${asking}.${contractPackage(name)!}`,
    ...contractSets.map((set) => `answer contains [${JSON.stringify(set)}, x] if some x in data.${name}.${set}`),
  ].join('\n\n');

interface Term {
  readonly type: string;
  readonly value: unknown;
}
interface Partial {
  readonly queries?: readonly (readonly { readonly terms?: unknown }[])[];
  readonly modules?: readonly unknown[];
}

/** Of `opa eval --partial --format json`; undefined for what is not that. */
export function readAnswers(output: string): Answer[] | undefined {
  let partial: Partial | undefined;
  try {
    partial = (JSON.parse(output) as { partial?: Partial }).partial;
  } catch {
    return undefined;
  }
  if (partial === undefined) return undefined;
  // What could not be put in stands in modules of its own: taken whole as a part of each way that refers to one.
  const shared = partsOf(partial.modules ?? []);
  return (partial.queries ?? []).flatMap((query) => {
    const named = query.map(({ terms }) => answerOf(terms)).find((one) => one !== undefined);
    if (named === undefined) return [];
    const [set, element] = named;
    const at = markOf(element);
    const own = partsOf(query);
    const beyond = refersTo(query, 'partial') ? [own, shared] : [own];
    return {
      ...{ set, ...at, conditions: readConditions(query) },
      looksAt: (part) => beyond.some((parts) => parts.has('') || parts.has(part)),
    };
  });
}

/** `x = ["allow", {…}]` */
function answerOf(terms: unknown): [string, Term] | undefined {
  const [operator, left, right] = Array.isArray(terms) ? (terms as Term[]) : [];
  const isEquality = operator?.type === 'ref' && (operator.value as Term[])[0]?.value === 'eq';
  if (!isEquality || left?.type !== 'var' || left.value !== 'x' || right?.type !== 'array') return undefined;
  const [set, element] = right.value as Term[];
  return set?.type === 'string' && element !== undefined ? [set.value as string, element] : undefined;
}

function markOf({ type, value }: Term): { file: string; line: number } | undefined {
  if (type !== 'object') return undefined;
  const found = (value as [Term, Term][]).find(([name]) => name.value === mark)?.[1].value;
  const [, file, line] = typeof found === 'string' ? (/^(.*):(\d+)$/.exec(found) ?? []) : [];
  return file === undefined ? undefined : { file, line: Number(line) };
}

/** Whether a tree refers to anything below `data.NAME`. */
function refersTo(node: unknown, name: string): boolean {
  if (Array.isArray(node)) return node.some((child) => refersTo(child, name));
  if (typeof node !== 'object' || node === null) return false;
  const { type, value } = node as { type?: unknown; value?: unknown };
  if (type === 'ref' && Array.isArray(value)) {
    const [head, second] = value as Term[];
    if (head?.value === 'data' && (second?.type !== 'string' || second.value === name)) return true;
  }
  return Object.values(node).some((child) => refersTo(child, name));
}

/** The names below `input` that a tree refers to; the empty one where it is all of it, or is worked out. */
function partsOf(node: unknown, found = new Set<string>()): Set<string> {
  if (Array.isArray(node)) {
    for (const child of node) partsOf(child, found);
    return found;
  }
  if (typeof node !== 'object' || node === null) return found;
  const { type, value } = node as Partial & { type?: unknown; value?: unknown };
  if (type === 'ref' && Array.isArray(value)) {
    const [head, second] = value as Term[];
    if (head?.type === 'var' && head.value === 'input')
      found.add(second?.type === 'string' ? String(second.value) : '');
  } else if (type === 'var' && value === 'input') found.add('');
  // The head of a reference is a variable as well, and none that stands alone.
  const children = type === 'ref' ? (value as Term[]).slice(1) : Object.values(node);
  for (const child of children) partsOf(child, found);
  return found;
}

/** What cannot be said of packages whose rules come to too much. */
export const notLookedThrough = (modules: readonly Module[], answers: Answers): Problem[] =>
  modules
    .filter((module) => !isTestModule(module) && contractPackage(module.package) !== undefined)
    .filter(
      ({ package: name }, index, all) =>
        !answers.has(name) && all.findIndex((other) => other.package === name) === index,
    )
    .map(({ file, packageLine, package: name }) => ({
      code: 'not_looked_through',
      message: `package ${name} has too many ways to answer to look through all of them: what its rules never do, and what none of them covers, is said as far as each is written out`,
      help: 'Helper rules with many bodies that stand in one another multiply: one rule with a set (x in {…}) has one way.',
      ...{ file, line: packageLine },
    }));
