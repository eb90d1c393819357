import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Command } from 'commander';
import pc from 'picocolors';
import {
  BundleError,
  type Build,
  Compiler,
  describeProblem,
  findOpa,
  layerFiles,
  openSource,
  policyFolder,
  type PolicyStatus,
  type Problem,
  readStatus,
  requestRollback,
  type TestReport,
  writeTar,
} from '../../bundles/index.js';
import { exit, type ExitCode } from './exit.js';
import { configFile, type Output } from './surroundings.js';

/**
 * What a policy repository's people and its CI call: check, test, build; and what an operator calls: policy status and
 * policy rollback. Problems go to stdout, as the answer that they are; progress and failures to stderr.
 */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: NodeJS.ProcessEnv;
}

export interface CommonOptions {
  readonly json?: boolean;
}

const processIo: Io = process;

/** Compiles a policy and holds it to the contract, without running its tests. */
export function checkCommand(dir: string, options: CommonOptions = {}, io: Io = processIo): Promise<ExitCode> {
  return judged(options, io, async (compiler, source) => {
    const snapshot = await source.read();
    const built = await compiler.check(snapshot);
    const advice = await compiler.advise(snapshot, built.layer);
    tell(io, options, { ...summary(built), advice }, () =>
      [`${mark(io, true)} ${describeBuild(built)}`, ...advice.map((one) => `advice: ${describeProblem(one)}`)].join(
        '\n',
      ),
    );
    return exit.done;
  })(dir);
}

/** Runs a policy's tests. */
export function testCommand(dir: string, options: CommonOptions = {}, io: Io = processIo): Promise<ExitCode> {
  return judged(options, io, async (compiler, source) => {
    const report = await compiler.test(await source.read());
    const ok = report.failed === 0;
    tell(io, options, { ok, tests: report, problems: report.problems }, () => {
      const failures = report.problems.map((problem) => `${mark(io, false)} ${describeProblem(problem)}\n`).join('');
      return `${failures}${mark(io, ok)} ${describeTests(report)}`;
    });
    return ok ? exit.done : exit.no;
  })(dir);
}

export interface BuildOptions extends CommonOptions {
  /** A folder, or a file that ends in .tar.gz or .tgz. Default: policy.tar.gz */
  readonly output?: string;
}

/** Checks, tests and builds, and writes the layer: the same bytes for the same policy. */
export function buildCommand(dir: string, options: BuildOptions = {}, io: Io = processIo): Promise<ExitCode> {
  return judged(options, io, async (compiler, source) => {
    const snapshot = await source.read();
    const built = await compiler.build(snapshot);
    const output = resolveHere(options.output ?? 'policy.tar.gz', io.env, false);
    await writeLayer(built, output);
    tell(
      io,
      options,
      { ...summary(built), revision: snapshot.revision, output },
      () => `${mark(io, true)} ${describeBuild(built)}\n  ${snapshot.revision} → ${output}`,
    );
    return exit.done;
  })(dir);
}

export interface PolicyOptions extends CommonOptions {
  /** The configuration that the gateway runs with. */
  readonly config?: string;
  /** The gateway's state directory, where no configuration is at hand. */
  readonly state?: string;
  /** How long a rollback waits for the gateway's answer. */
  readonly timeout_ms?: number;
}

/** Which revision is in force, since when, and what became of the last change. */
export async function policyStatusCommand(options: PolicyOptions = {}, io: Io = processIo): Promise<ExitCode> {
  const folder = await policyFolderOf(options, io);
  const status = await readStatus(folder);
  if (status === undefined) {
    tell(
      io,
      options,
      { ok: false, error: 'no_status', folder },
      () => `No gateway has kept a policy in ${folder} yet.`,
    );
    return exit.no;
  }
  const running = alive(status.pid);
  const ok = status.revision !== undefined && status.last?.ok !== false;
  tell(io, options, { ok, running, ...status }, () => describeStatus(status, running, io));
  return ok ? exit.done : exit.no;
}

/** Asks the running gateway to go back to the revision before. */
export async function policyRollbackCommand(options: PolicyOptions = {}, io: Io = processIo): Promise<ExitCode> {
  const folder = await policyFolderOf(options, io);
  try {
    const answer = await requestRollback(folder, options.timeout_ms);
    tell(io, options, answer, () =>
      answer.ok
        ? `${mark(io, true)} ${answer.revision} is in force, until the source has something newer`
        : `${mark(io, false)} not rolled back: ${answer.error}`,
    );
    return answer.ok ? exit.done : exit.no;
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    tell(io, options, { ok: false, problems: error.problems }, () => `${mark(io, false)} ${error.message}`);
    return exit.failed;
  }
}

/** Adds check, test, build and policy to the command line. Exit codes are left in `process.exitCode`. */
export function registerPolicyCommands(program: Command, io: Io = processIo): void {
  const finish = (code: ExitCode) => {
    process.exitCode = code;
  };
  const json = ['--json', 'the answer as one JSON object'] as const;
  const directory = ['[directory]', 'the policy repository, or the folder of it that holds the policy', '.'] as const;

  program
    .command('check')
    .description(
      'compile a policy repository and hold it to the contract: schemas, rule and package names, shapes, masks',
    )
    .argument(...directory)
    .option(...json)
    .addHelpText(
      'after',
      '\nExample:\n  sallyport check ./policy          exit code 1 where something is wrong, each with file, line and what to do',
    )
    .action(async (dir: string, options: CommonOptions) => finish(await checkCommand(dir, options, io)));
  program
    .command('test')
    .description('run the tests of a policy repository, with the built-ins that the gateway has and no others')
    .argument(...directory)
    .option(...json)
    .addHelpText('after', '\nExample:\n  sallyport test ./policy --json | jq .tests')
    .action(async (dir: string, options: CommonOptions) => finish(await testCommand(dir, options, io)));
  program
    .command('build')
    .description('check, test and compile a policy repository into a bundle; the same bytes for the same policy')
    .argument(...directory)
    .option('-o, --output <path>', 'a folder, or a file that ends in .tar.gz', 'policy.tar.gz')
    .option(...json)
    .addHelpText('after', '\nExample:\n  sallyport build ./policy -o dist/policy.tar.gz')
    .action(async (dir: string, options: BuildOptions) => finish(await buildCommand(dir, options, io)));

  const policy = program
    .command('policy')
    .description('the policy of a gateway on this machine: what is in force, and back to what was');
  const config = [
    '-c, --config <file>',
    'the configuration of the gateway (default: $SALLYPORT_CONFIG or ./sallyport.yaml)',
  ] as const;
  const state = ['--state <directory>', "the gateway's state directory, instead of a configuration"] as const;
  policy
    .command('status')
    .description('which revision is in force, and what became of the last change; exit code 1 where that was refused')
    .option(...config)
    .option(...state)
    .option(...json)
    .action(async (options: PolicyOptions) => finish(await policyStatusCommand(options, io)));
  policy
    .command('rollback')
    .description('put the revision before into force, until something newer is committed')
    .option(...config)
    .option(...state)
    .option(...json)
    .action(async (options: PolicyOptions) => finish(await policyRollbackCommand(options, io)));
}

type Work = (compiler: Compiler, source: ReturnType<typeof openSource>) => Promise<ExitCode>;

/** Runs over a directory; what is wrong with the policy is the answer no, a missing directory wrong use. */
function judged(options: CommonOptions, io: Io, work: Work): (dir: string) => Promise<ExitCode> {
  return async (dir) => {
    const folder = resolveHere(dir, io.env, true);
    try {
      const progress = (message: string) => void io.stderr.write(`${message}\n`);
      // Loaded when it is needed: the protocols bring their parsers with them.
      const { filterChecks } = await import('../registry.js');
      const compiler = await Compiler.create({ opa: () => findOpa({ env: io.env, progress }), filters: filterChecks });
      return await work(compiler, openSource({ directory: folder }));
    } catch (error) {
      if (!(error instanceof BundleError)) throw error;
      tell(io, options, { ok: false, problems: error.problems }, () =>
        error.problems.map((problem) => `${mark(io, false)} ${describeProblem(problem)}`).join('\n'),
      );
      return exitCodeOf(error.problems);
    }
  };
}

function exitCodeOf(problems: readonly Problem[]): ExitCode {
  if (problems.some(({ code }) => code === 'unreadable' || code === 'empty')) return exit.usage;
  return problems.some(({ code }) => code.startsWith('opa_') || code === 'library_missing') ? exit.failed : exit.no;
}

/**
 * Under `npm run` the current folder is the package's own, and INIT_CWD the one that the person stands in. Elsewhere the
 * variable may be left over from an outer script and means nothing.
 */
function resolveHere(given: string, env: NodeJS.ProcessEnv, mustExist: boolean): string {
  const stood = env['INIT_CWD'];
  const here = path.resolve(given);
  if (stood === undefined || env['npm_lifecycle_event'] !== 'sallyport') return here;
  const there = path.resolve(stood, given);
  return !mustExist || existsSync(there) ? there : here;
}

async function policyFolderOf(options: PolicyOptions, io: Io): Promise<string> {
  if (options.state !== undefined) return policyFolder(resolveHere(options.state, io.env, true));
  const [{ loadConfig }, { protocols }] = await Promise.all([import('../config/index.js'), import('../registry.js')]);
  const around = { ...io, fallbackFolder: io.env['INIT_CWD'] ?? process.cwd() };
  const config = await loadConfig(configFile(options.config, around), { env: io.env, protocols });
  return policyFolder(config.state.directory);
}

async function writeLayer({ layer }: Build, output: string): Promise<void> {
  const files = layerFiles(layer);
  if (!/\.(tar\.gz|tgz)$/.test(output)) {
    await mkdir(output, { recursive: true });
    for (const [name, content] of files) await writeFile(path.join(output, name), content);
    return;
  }
  const archive = gzipSync(writeTar(files), { level: 9 });
  // RFC 1952: byte 9 names the operating system; 255 is "unknown", the same everywhere.
  archive[9] = 255;
  await mkdir(path.dirname(output), { recursive: true });
  const scratch = `${output}.${process.pid}.new`;
  try {
    await writeFile(scratch, archive);
    await rename(scratch, output);
  } finally {
    await rm(scratch, { force: true });
  }
}

function summary(built: Build): object {
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

function describeBuild(built: Build): string {
  const { rules, packages } = built.layer.manifest;
  const lines = built.warnings.map((warning) => `warning: ${describeProblem(warning)}`);
  const tests = built.tests.ran ? `, ${describeTests(built.tests)}` : '';
  return [
    `${count(rules.length, 'rule')} in ${packages.map((name) => `policy.${name}`).join(', ') || 'no package'}${tests} (${Math.round(built.duration_ms)} ms)`,
    ...lines,
  ].join('\n');
}

function describeTests({ passed, failed, skipped }: TestReport): string {
  if (passed + failed + skipped === 0) return 'no tests';
  return `${count(passed, 'test')} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

function describeStatus(status: PolicyStatus, running: boolean, io: Io): string {
  const { bold, dim } = pc.createColors(io.stdout.isTTY === true);
  const { revision, since, commit, last, pinned, history } = status;
  const line = (name: string, text: string) => `${bold(name.padEnd(10))} ${text}`;
  const lines = [
    line(
      'in force',
      revision === undefined
        ? 'nothing'
        : `${revision}${since === undefined ? '' : `, since ${since}`}${status.restored ? ' (the last good one on disk)' : ''}`,
    ),
    ...(commit === undefined ? [] : [line('commit', `${commit.subject} ${dim(`— ${commit.author}, ${commit.time}`)}`)]),
    line('source', status.source),
    line('gateway', running ? `running, process ${status.pid}` : `not running (it was process ${status.pid})`),
    ...(pinned === undefined
      ? []
      : [line('pinned', `rolled back at ${pinned.at}; it stays until the source is past ${pinned.blocked}`)]),
  ];
  if (last !== undefined) {
    const took =
      last.commit_to_force_ms === undefined
        ? `${last.duration_ms} ms`
        : `in force ${last.commit_to_force_ms} ms after the commit`;
    lines.push(
      line(
        'last',
        `${mark(io, last.ok)} ${last.ok ? 'accepted' : 'refused'} ${last.revision ?? ''} at ${last.at}, ${took}`,
      ),
    );
    if (last.error !== undefined) lines.push(...last.error.split('\n').map((text) => `${' '.repeat(11)}${text}`));
  }
  lines.push(
    ...history
      .slice(0, 5)
      .map((entry, index) =>
        line(
          index === 0 ? 'history' : '',
          dim(
            `${entry.at}  ${entry.revision}  ${entry.how.replace('_', ' ')}  ${entry.commit?.subject ?? ''}`.trimEnd(),
          ),
        ),
      ),
  );
  return lines.join('\n');
}

function tell(io: Io, options: CommonOptions, answer: object, words: () => string): void {
  io.stdout.write(options.json === true ? `${JSON.stringify(answer)}\n` : `${words()}\n`);
}

function mark(io: Io, ok: boolean): string {
  const { green, red } = pc.createColors(io.stdout.isTTY === true);
  return ok ? green('ok') : red('no');
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
