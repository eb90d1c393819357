import { createHash } from 'node:crypto';
import path from 'node:path';
import { type Coverage, readCoverage } from './advice.js';
import { type Module, readModule } from './ast.js';
import { BundleError, type Problem, refusal } from './error.js';
import { readPaths, wholeDocument } from './reads.js';
import { exceededMessage, type Limits, type Run, runSandboxed } from './sandbox.js';
import type { Snapshot } from './snapshot.js';
import { helpForFunction } from './unsupplied.js';
import { writeFiles } from './workspace.js';

/** The commands of OPA that a build is made of, each run in the sandbox over one bundle. */
export interface Tool {
  readonly opa: string;
  /** Where it works. */
  readonly folder: string;
  /** What it works over, in the folder: an archive, or "." for all that lies there. */
  readonly bundle: string;
  /** Absolute path of the capabilities file. */
  readonly capabilities: string;
  /** Absolute path of the folder of JSON Schemas. */
  readonly schemas?: string;
  readonly limits: Partial<Limits>;
  readonly tests_ms_max: number;
}

export interface TestReport {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** One for each test that failed. */
  readonly problems: readonly Problem[];
  /** False where tests were not asked for. */
  readonly ran: boolean;
}

interface OpaError {
  readonly message?: string;
  readonly code?: string;
  readonly location?: { readonly file?: string; readonly row?: number };
  readonly details?: unknown;
}

const common = (tool: Tool): string[] => [
  '-b',
  tool.bundle,
  '--capabilities',
  tool.capabilities,
  ...(tool.schemas === undefined ? [] : ['--schema', tool.schemas]),
];

/** Of an archive OPA says some names with its own in front: what it is called here is nobody's business. */
export async function runOver(
  tool: Tool,
  args: readonly string[],
  limits: Partial<Limits> = tool.limits,
): Promise<Run> {
  const run = await runSandboxed(tool.opa, args, { cwd: tool.folder, limits });
  const plain = (text: string) =>
    tool.bundle === '.' ? text : text.replaceAll(`bundle ${tool.bundle}: `, '').replaceAll(`${tool.bundle}/`, '');
  return { ...run, stdout: plain(run.stdout), stderr: plain(run.stderr) };
}

/** `opa check --strict`, with the schemas. Gives what it found. */
export async function check(tool: Tool): Promise<Problem[]> {
  const run = await runOver(tool, ['check', '--strict', '--format', 'json', '--max-errors', '20', ...common(tool)]);
  return run.status === 0 ? [] : compileProblems('opa check', run, tool.limits);
}

/** `opa test`. Throws where the tests did not run to their end. */
export async function runTests(tool: Tool): Promise<TestReport> {
  const limits = { ...tool.limits, time_ms: tool.tests_ms_max };
  const each_s = Math.max(1, Math.floor(tool.tests_ms_max / 1000));
  const run = await runOver(tool, ['test', '--format', 'json', '--timeout', `${each_s}s`, ...common(tool)], limits);
  if (run.exceeded !== undefined)
    throw refusal('tests_stopped', exceededMessage('opa test', run.exceeded, limits), {
      help: 'Look for a test or rule that loops over too much.',
    });
  const results = parseJson<TestResult[]>(run.stdout.trim() === '' ? '[]' : run.stdout);
  // Status 2 means that tests failed; anything else that is not 0, that there was no result at all.
  if (!Array.isArray(results) || (run.status !== 0 && results.length === 0))
    throw new BundleError(compileProblems('opa test', run, limits));
  const bad = results.filter((result) => result.fail === true || result.error !== undefined);
  if (run.status !== 0 && bad.length === 0) throw new BundleError(compileProblems('opa test', run, limits));
  const skipped = results.filter((result) => result.skip === true).length;
  return {
    passed: results.length - bad.length - skipped,
    failed: bad.length,
    skipped,
    problems: bad.map(testProblem),
    ran: true,
  };
}

/** Which lines the tests reach; undefined where one of them fails, or they do not end. */
export async function testCoverage(tool: Tool): Promise<Coverage | undefined> {
  const limits = { ...tool.limits, time_ms: tool.tests_ms_max };
  const run = await runOver(tool, ['test', '--coverage', '--format', 'json', ...common(tool)], limits);
  return run.status === 0 && run.exceeded === undefined ? readCoverage(run.stdout) : undefined;
}

interface TestResult {
  readonly name: string;
  readonly package: string;
  readonly location?: { readonly file?: string; readonly row?: number };
  readonly fail?: boolean;
  readonly skip?: boolean;
  readonly error?: unknown;
}

function testProblem({ name, location, error }: TestResult): Problem {
  return {
    code: 'test_failed',
    message: `${name} ${error === undefined ? 'failed' : describeError(error)}`,
    ...place(location),
  };
}

function describeError(error: unknown): string {
  const { code, message } = (typeof error === 'object' && error !== null ? error : {}) as OpaError;
  if (code === 'eval_cancel_error') return 'took too long and was stopped';
  return `could not be evaluated: ${message ?? JSON.stringify(error)}`;
}

/** At once, but not so many that a small machine drowns. */
const parses_max = 4;
/** Of one process: whose starting costs more than what it does. */
const parses_each_max = 25;
const modules_kept_max = 10_000;

/** One tree after another, each ended by a zero byte; it stops at the first file that cannot be read. */
const parseEach = 'opa="$1"; shift; for file do "$opa" parse --format json --json-include locations,-comments "$file" || exit; printf "\\0"; done'; // prettier-ignore

/** The syntax trees of a snapshot's Rego files, by `opa parse`; `known` keeps them by content. Throws BundleError. */
export async function parseModules(tool: Tool, snapshot: Snapshot, known: Map<string, Module>): Promise<Module[]> {
  const files = [...snapshot.files].filter(([file]) => file.endsWith('.rego'));
  const keyOf = (file: string, content: Uint8Array) => `${file}\0${createHash('sha256').update(content).digest('hex')}`;
  const keys = new Map(files.map(([file, content]) => [file, keyOf(file, content)]));
  const modules = new Map([...keys].map(([file, key]) => [file, known.get(key)]));
  const unknown = files.filter(([file]) => modules.get(file) === undefined);
  const problems: Problem[] = [];
  await writeFiles(path.join(tool.folder, 'sources'), unknown);
  const batches = inBatches(unknown.map(([file]) => file));
  const worker = async () => {
    for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
      const { trees, run } = await parseBatch(tool, batch);
      for (const [index, tree] of trees.entries()) modules.set(batch[index]!, readModule(batch[index]!, tree));
      const [failed, ...behind] = batch.slice(trees.length);
      if (failed === undefined) continue;
      // A bound that many exceeded together, none of them may exceed alone.
      if (run.exceeded !== undefined && batch.length > 1) batches.push(...[failed, ...behind].map((file) => [file]));
      else problems.push(...compileProblems('opa parse', run, tool.limits, failed));
      // Those behind one that is wrong are looked at as well: all is told at once.
      if (run.exceeded === undefined && behind.length > 0) batches.push(behind);
    }
  };
  await Promise.all(Array.from({ length: parses_max }, worker));
  if (problems.length > 0) throw new BundleError(problems);
  for (const [file] of unknown) {
    if (known.size >= modules_kept_max) known.clear();
    known.set(keys.get(file)!, modules.get(file)!);
  }
  return [...modules.values()].filter((module) => module !== undefined);
}

function inBatches(files: readonly string[]): string[][] {
  const each = Math.min(parses_each_max, Math.ceil(files.length / parses_max));
  return Array.from({ length: Math.ceil(files.length / each) || 0 }, (_, index) => files.slice(index * each, (index + 1) * each)); // prettier-ignore
}

async function parseBatch(tool: Tool, files: readonly string[]): Promise<{ trees: string[]; run: Run }> {
  // "./": a file may be called what looks like an option.
  const args = ['-c', parseEach, 'parse', tool.opa, ...files.map((file) => `./${file}`)];
  const run = await runSandboxed('/bin/sh', args, { cwd: path.join(tool.folder, 'sources'), limits: tool.limits });
  const trees = run.stdout.split('\0');
  // What stands behind the last of them is what the one that failed had to say.
  return { run: { ...run, stdout: trees.pop() ?? '' }, trees };
}

/** The paths of the input that a query depends on; the whole document where that cannot be told. */
export async function dependencies(tool: Tool, query: string): Promise<string[]> {
  const run = await runOver(tool, ['deps', '--format', 'json', '-b', tool.bundle, query]);
  return run.status === 0 ? readPaths(run.stdout) : [wholeDocument];
}

/** What a failed command has to say, as problems: OPA's own JSON where there is any, else its words. */
function compileProblems(command: string, run: Run, limits: Partial<Limits>, file?: string): Problem[] {
  const here = file === undefined ? {} : { file };
  if (run.exceeded !== undefined)
    return [{ code: 'too_much', message: exceededMessage(command, run.exceeded, limits), ...here }];
  for (const output of [run.stderr, run.stdout]) {
    const parsed = parseJson<{ errors?: OpaError[] } | OpaError[]>(output);
    const errors = Array.isArray(parsed) ? parsed : parsed?.errors;
    if (errors !== undefined && errors.length > 0) return errors.map((error) => opaProblem(error, here));
  }
  const said = (run.stderr.trim() || run.stdout.trim()).slice(0, 4000);
  return [
    {
      code: 'compile_error',
      message: `${command} failed: ${said || `it ended with status ${run.status ?? 'killed'}`}`,
      ...here,
    },
  ];
}

function opaProblem(error: OpaError, here: { file?: string }): Problem {
  const help = helpForFunction(error.message ?? '') ?? helpOf(error.details);
  return {
    code: error.code ?? 'compile_error',
    message: error.message ?? 'unknown error',
    ...here,
    ...place(error.location),
    ...(help === undefined ? {} : { help }),
  };
}

/** For a reference that the schema does not know, OPA lists what there is. */
function helpOf(details: unknown): string | undefined {
  if (typeof details !== 'object' || details === null) return undefined;
  const { have, want, oneOf, one_of: alternatives } = details as Record<string, unknown>;
  const wanted = oneOf ?? alternatives ?? want;
  if (Array.isArray(wanted) && wanted.every((name) => typeof name === 'string'))
    return `Known here: ${wanted.join(', ')}.`;
  return typeof have === 'string' && typeof want === 'string' ? `It has ${have}, wanted is ${want}.` : undefined;
}

function place(location: { readonly file?: string; readonly row?: number } | undefined): {
  file?: string;
  line?: number;
} {
  if (location?.file === undefined || location.file === '') return {};
  return {
    file: location.file.replace(/^(\.?\/)+/, ''),
    ...(location.row === undefined || location.row === 0 ? {} : { line: location.row }),
  };
}

function parseJson<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}
