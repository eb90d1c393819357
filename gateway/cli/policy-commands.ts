import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Layer } from '#engine';
import { type Command, Option } from 'commander';
import {
  BundleError,
  bundleAlgorithms,
  type Catalog,
  type Compiler,
  describeProblem,
  openSource,
  policyFolder,
  type Problem,
  readCatalog,
} from '../../bundles/index.js';
import type { Config } from '../config/index.js';
import { ConfigError } from '../errors.js';
import { buildCommand, type BuildOptions } from './build.js';
import { exit, type ExitCode } from './exit.js';
import { adviceAsMarkdown, type CheckOptions, describeBuild, describeTests, judged, summary } from './judging.js';
import { type CommonOptions, type Io, mark, resolveHere, tell } from './telling.js';

/** What a policy repository's people and its CI call: check, test, build. */

const processIo: Io = process;

const buildExamples = `
Examples:
  sallyport build ./policy -o dist/policy.tar.gz
  sallyport build ./policy --signing-key key.pem --revision "$(git rev-parse HEAD)"
  opa run --server --bundle dist/policy.tar.gz --verification-key key.pub.pem     answers at data.sallyport.decision`;

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

/** Of a folder, each of its files that ends in .json. */
async function catalogsIn(given: string, io: Io): Promise<Catalog[]> {
  const found = resolveHere(given, io.env, true);
  try {
    const isFolder = (await stat(found)).isDirectory();
    const names = isFolder ? (await readdir(found)).filter((name) => name.endsWith('.json')).sort() : [];
    const files = isFolder ? names.map((name) => path.join(given, name)) : [given];
    return await Promise.all(files.map(async (file) => readCatalog(file, await readFile(resolveHere(file, io.env, true), 'utf8')))); // prettier-ignore
  } catch (error) {
    if (error instanceof BundleError) throw error;
    throw new ConfigError(`the catalog ${found} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/** Compiles a policy and holds it to the contract, without running its tests. */
export function checkCommand(dir: string, options: CheckOptions = {}, io: Io = processIo): Promise<ExitCode> {
  return judged(options, io, async (compiler, source, config) => {
    const base = await checkedBase(compiler, options, config, io);
    const snapshot = await source.read();
    const built = await compiler.check(snapshot);
    const catalogs = (await Promise.all((options.catalog ?? []).map((given) => catalogsIn(given, io)))).flat();
    const advice = await compiler.advise(snapshot, built.layer, { base, catalogs });
    const told = `${mark(io, true)} ${describeBuild(built)}`;
    const advised = (one: Problem) => `advice: ${describeProblem(one)}`;
    tell(io, options, { ...summary(built), advice }, () =>
      options.markdown === true
        ? adviceAsMarkdown(built.layer.manifest.rules.length, [...built.warnings, ...advice])
        : [told, ...advice.map(advised)].join('\n'),
    );
    return options.failOn === 'advice' && advice.length > 0 ? exit.no : exit.done;
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
    .option(
      '--catalog <file...>',
      'what `sallyport classify TARGET --json` wrote, or a folder of that: columns that targets have',
    )
    .option('--markdown', 'for a comment on a pull request')
    .addOption(new Option('--fail-on <what>', 'exit code 1 where there is advice as well').choices(['advice']))
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
    .description(
      'check, test and pack a policy repository into a bundle, for gateways and for plain OPA; the same bytes for the same policy',
    )
    .argument(...directory)
    .option('-o, --output <path>', 'a folder, or a file that ends in .tar.gz', 'policy.tar.gz')
    .option('--revision <name>', 'what the bundle calls itself; absent: the digest of the policy')
    .option('--signing-key <file>', 'sign it with the private key in this file, PEM')
    .addOption(
      new Option('--signing-alg <name>', 'the algorithm of the key').choices(bundleAlgorithms).default('RS256'),
    )
    .option('--signing-key-id <name>', 'what verifiers know the key by')
    .option('--scope <name>', 'the scope that the signature is for')
    .option(...json)
    .addHelpText('after', buildExamples)
    .action(async (dir: string, options: BuildOptions) => finish(await buildCommand(dir, options, io)));
}
