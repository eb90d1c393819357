import { createHash } from 'node:crypto';
import { type Coverage, readCoverage } from './advice.js';
import { type Module, readModule } from './ast.js';
import { BundleError, type Problem, refusal } from './error.js';
import { readPaths, wholeDocument } from './reads.js';
import { exceededMessage, type Limits, type Run, runSandboxed } from './sandbox.js';
import type { Snapshot } from './snapshot.js';
import { helpForFunction } from './unsupplied.js';

/** The commands of OPA that a build is made of, each run in the sandbox over one folder. */
export interface Tool {
  readonly opa: string;
  readonly folder: string;
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
  '.',
  '--capabilities',
  tool.capabilities,
  ...(tool.schemas === undefined ? [] : ['--schema', tool.schemas]),
];

/** `opa check --strict`, with the schemas. Gives what it found. */
export async function check(tool: Tool): Promise<Problem[]> {
  const run = await runSandboxed(
    tool.opa,
    ['check', '--strict', '--format', 'json', '--max-errors', '20', ...common(tool)],
    { cwd: tool.folder, limits: tool.limits },
  );
  return run.status === 0 ? [] : compileProblems('opa check', run, tool.limits);
}

/** `opa test`. Throws where the tests did not run to their end. */
export async function runTests(tool: Tool): Promise<TestReport> {
  const limits = { ...tool.limits, time_ms: tool.tests_ms_max };
  const each_s = Math.max(1, Math.floor(tool.tests_ms_max / 1000));
  const run = await runSandboxed(tool.opa, ['test', '--format', 'json', '--timeout', `${each_s}s`, ...common(tool)], {
    cwd: tool.folder,
    limits,
  });
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
  const run = await runSandboxed(tool.opa, ['test', '--coverage', '--format', 'json', ...common(tool)], {
    cwd: tool.folder,
    limits,
  });
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
const modules_kept_max = 10_000;

/** The syntax trees of a snapshot's Rego files, by `opa parse`; `known` keeps them by content. Throws BundleError. */
export async function parseModules(tool: Tool, snapshot: Snapshot, known: Map<string, Module>): Promise<Module[]> {
  const files = [...snapshot.files].filter(([file]) => file.endsWith('.rego'));
  const modules: Module[] = [];
  const problems: Problem[] = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < files.length; index = next++) {
      const [file, content] = files[index] as [string, Uint8Array];
      const key = `${file}\0${createHash('sha256').update(content).digest('hex')}`;
      let module = known.get(key);
      if (module === undefined) {
        // "./": a file may be called what looks like an option.
        const run = await runSandboxed(
          tool.opa,
          ['parse', '--format', 'json', '--json-include', 'locations,-comments', `./${file}`],
          { cwd: tool.folder, limits: tool.limits },
        );
        if (run.status !== 0) {
          problems.push(...compileProblems('opa parse', run, tool.limits, file));
          continue;
        }
        module = readModule(file, run.stdout);
        if (known.size >= modules_kept_max) known.clear();
        known.set(key, module);
      }
      modules[index] = module;
    }
  };
  await Promise.all(Array.from({ length: Math.min(parses_max, files.length) }, worker));
  if (problems.length > 0) throw new BundleError(problems);
  return modules.filter((module) => module !== undefined);
}

/** The paths of the input that a query depends on; the whole document where that cannot be told. */
export async function dependencies(tool: Tool, query: string): Promise<string[]> {
  const run = await runSandboxed(tool.opa, ['deps', '--format', 'json', '-b', '.', query], {
    cwd: tool.folder,
    limits: tool.limits,
  });
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
