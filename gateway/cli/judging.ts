import {
  BundleError,
  type Build,
  Compiler,
  describeProblem,
  findOpa,
  openSource,
  type Problem,
  type TestReport,
} from '../../bundles/index.js';
import type { Config, loadConfig } from '../config/index.js';
import { exit, type ExitCode } from './exit.js';
import { configFile } from './surroundings.js';
import { type CommonOptions, count, type Io, mark, resolveHere, tell } from './telling.js';

/** What check, test and build have in common: a compiler over a folder, and how what it found is told. */

export interface CheckOptions extends CommonOptions {
  /** The folder of the organisation's base, upon which it will stand. */
  readonly base?: string;
  /** The configuration of the gateway that it is for: its targets, and its base. */
  readonly config?: string;
  /** What `sallyport classify --json` wrote of targets. */
  readonly catalog?: readonly string[];
  readonly markdown?: boolean;
  readonly failOn?: 'advice';
}

export type Work = (compiler: Compiler, source: ReturnType<typeof openSource>, config?: Config) => Promise<ExitCode>;

/** Runs over a directory; what is wrong with the policy is the answer no, a missing directory wrong use. */
export function judged(options: CheckOptions, io: Io, work: Work): (dir: string) => Promise<ExitCode> {
  return async (dir) => {
    const folder = resolveHere(dir, io.env, true);
    try {
      const progress = (message: string) => void io.stderr.write(`${message}\n`);
      // Loaded when it is needed: the protocols bring their parsers with them.
      const { dataChecks, filterChecks, protocols } = await import('../registry.js');
      const config = options.config === undefined ? undefined : await configOf(options.config, protocols, io);
      const compiler = await Compiler.create({
        opa: () => findOpa({ env: io.env, progress }),
        filters: filterChecks,
        data: dataChecks,
        ...(config && { targets: config.targets.map(({ input }) => input.name) }),
      });
      return await work(compiler, openSource({ directory: folder }), config);
    } catch (error) {
      if (!(error instanceof BundleError)) throw error;
      tell(io, options, { ok: false, problems: error.problems }, () =>
        options.markdown === true
          ? adviceAsMarkdown(undefined, error.problems)
          : error.problems.map((problem) => `${mark(io, false)} ${describeProblem(problem)}`).join('\n'),
      );
      return exitCodeOf(error.problems);
    }
  };
}

async function configOf(
  file: string,
  protocols: Parameters<typeof loadConfig>[1]['protocols'],
  io: Io,
): Promise<Config> {
  const { loadConfig } = await import('../config/index.js');
  const around = { ...io, fallbackFolder: io.env['INIT_CWD'] ?? process.cwd() };
  return loadConfig(configFile(file, around), { env: io.env, protocols });
}

function exitCodeOf(problems: readonly Problem[]): ExitCode {
  if (problems.some(({ code }) => code === 'unreadable' || code === 'empty')) return exit.usage;
  return problems.some(({ code }) => code.startsWith('opa_') || code === 'library_missing') ? exit.failed : exit.no;
}

export function summary(built: Build): object {
  const { rules, packages } = built.layer.manifest;
  return {
    ok: true,
    packages,
    rules,
    tests: built.tests,
    warnings: built.warnings,
    problems: [],
    duration_ms: Math.round(built.duration_ms),
  };
}

export function describeBuild(built: Build): string {
  const { rules, packages } = built.layer.manifest;
  const lines = built.warnings.map((warning) => `warning: ${describeProblem(warning)}`);
  const tests = built.tests.ran ? `, ${describeTests(built.tests)}` : '';
  return [
    `${count(rules.length, 'rule')} in ${packages.map((name) => `policy.${name}`).join(', ') || 'no package'}${tests} (${Math.round(built.duration_ms)} ms)`,
    ...lines,
  ].join('\n');
}

export function describeTests({ passed, failed, skipped }: TestReport): string {
  if (passed + failed + skipped === 0) return 'no tests';
  return `${count(passed, 'test')} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/** @param rules How many rules there are; undefined where the policy is refused. */
export function adviceAsMarkdown(rules: number | undefined, problems: readonly Problem[]): string {
  const place = ({ file, line }: Problem) =>
    file === undefined ? '' : inCode(line === undefined ? file : `${file}:${line}`);
  const rows = problems.map((one) => `| ${place(one)} | ${inCell(one.message)} | ${inCell(one.help ?? '')} |`);
  const said =
    rules === undefined
      ? 'It is refused: no gateway would take it.'
      : `${count(rules, 'rule')}, ${problems.length === 0 ? 'and no advice' : 'with this advice'}.`;
  const table = rows.length === 0 ? [] : ['', '| where | what | mend |', '| --- | --- | --- |', ...rows];
  return ['### What the check of this policy says', '', said, ...table, ''].join('\n');
}

/** Names come from the policy: none may end the cell, or become markup. */
const inCode = (text: string): string => `\`${text.replaceAll('`', "'").replaceAll('|', '\\|').replace(/\s+/g, ' ')}\``;
const inCell = (text: string): string =>
  text.replace(/\s+/g, ' ').replace(/[\\`*_{}[\]<>|#@]/g, (found) => `\\${found}`);
