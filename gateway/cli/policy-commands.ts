import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Layer } from '#engine';
import type { Command } from 'commander';
import {
  BundleError,
  type Build,
  type Catalog,
  Compiler,
  describeProblem,
  findOpa,
  layerFiles,
  openSource,
  policyFolder,
  type Problem,
  readCatalog,
  type TestReport,
  writeTar,
} from '../../bundles/index.js';
import type { Config, loadConfig } from '../config/index.js';
import { ConfigError } from '../errors.js';
import { exit, type ExitCode } from './exit.js';
import { configFile } from './surroundings.js';
import { type CommonOptions, count, type Io, mark, resolveHere, tell } from './telling.js';

/** What a policy repository's people and its CI call: check, test, build. */

const processIo: Io = process;

export interface CheckOptions extends CommonOptions {
  /** The folder of the organisation's base, upon which it will stand. */
  readonly base?: string;
  /** The configuration of the gateway that it is for: its targets, and its base. */
  readonly config?: string;
  /** What `sallyport classify --json` wrote of targets. */
  readonly catalog?: readonly string[];
}

/** What is wrong with the base is told with its folder in front: it is not in the repository that was asked about. */
async function checkedBase(
  compiler: Compiler,
  { base }: CheckOptions,
  config: Config | undefined,
  io: Io,
): Promise<Layer | undefined> {
  const configured = config?.policy.base;
  if (base === undefined && configured === undefined) return undefined;
  const source =
    base === undefined
      ? openSource(configured!, policyFolder(config!.state.directory))
      : openSource({ directory: resolveHere(base, io.env, true) });
  try {
    return (await compiler.check(await source.read())).layer;
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    const within = ({ file, ...rest }: Problem) => (file === undefined ? rest : { ...rest, file: path.join(base ?? 'base', file) }); // prettier-ignore
    throw new BundleError(error.problems.map(within), { cause: error });
  }
}

async function catalogIn(file: string, io: Io): Promise<Catalog> {
  const found = resolveHere(file, io.env, true);
  const text = await readFile(found, 'utf8').catch((error: unknown) => {
    throw new ConfigError(`the catalog ${found} cannot be read: ${(error as Error).message}`, { cause: error });
  });
  return readCatalog(file, text);
}

/** Compiles a policy and holds it to the contract, without running its tests. */
export function checkCommand(dir: string, options: CheckOptions = {}, io: Io = processIo): Promise<ExitCode> {
  return judged(options, io, async (compiler, source, config) => {
    const base = await checkedBase(compiler, options, config, io);
    const snapshot = await source.read();
    const built = await compiler.check(snapshot);
    const catalogs = await Promise.all((options.catalog ?? []).map((file) => catalogIn(file, io)));
    const advice = await compiler.advise(snapshot, built.layer, { base, catalogs });
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

/** Adds check, test and build to the command line. Exit codes are left in `process.exitCode`. */
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
    .option('--base <directory>', "the organisation's base, upon which it stands")
    .option('-c, --config <file>', 'the configuration of the gateway: its targets, and its base')
    .option('--catalog <file...>', 'what `sallyport classify TARGET --json` wrote: columns that targets have')
    .option(...json)
    .addHelpText(
      'after',
      '\nExample:\n  sallyport check ./policy          exit code 1 where something is wrong, each with file, line and what to do',
    )
    .action(async (dir: string, options: CheckOptions) => finish(await checkCommand(dir, options, io)));
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
}

type Work = (compiler: Compiler, source: ReturnType<typeof openSource>, config?: Config) => Promise<ExitCode>;

/** Runs over a directory; what is wrong with the policy is the answer no, a missing directory wrong use. */
function judged(options: CheckOptions, io: Io, work: Work): (dir: string) => Promise<ExitCode> {
  return async (dir) => {
    const folder = resolveHere(dir, io.env, true);
    try {
      const progress = (message: string) => void io.stderr.write(`${message}\n`);
      // Loaded when it is needed: the protocols bring their parsers with them.
      const { filterChecks, protocols } = await import('../registry.js');
      const config = options.config === undefined ? undefined : await configOf(options.config, protocols, io);
      const compiler = await Compiler.create({
        opa: () => findOpa({ env: io.env, progress }),
        filters: filterChecks,
        ...(config && { targets: config.targets.map(({ input }) => input.name) }),
      });
      return await work(compiler, openSource({ directory: folder }), config);
    } catch (error) {
      if (!(error instanceof BundleError)) throw error;
      tell(io, options, { ok: false, problems: error.problems }, () =>
        error.problems.map((problem) => `${mark(io, false)} ${describeProblem(problem)}`).join('\n'),
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
