import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { Layer } from '#engine';
import { Option, type Command } from 'commander';
import { BundleError, Compiler, findOpa, GitSource, type Snapshot } from '../../bundles/index.js';
import type { Config } from '../config/index.js';
import { ConfigError } from '../errors.js';
import type { Labels, smallestCases, Wanted } from '../replay/index.js';
import type { GatewayFlags } from './api/address.js';
import { exit, type ExitCode } from './exit.js';
import { type BesideOptions, demandOther, describeAll, findBeside, standing } from './replay-beside.js';
import { configFile, type Surroundings } from './surroundings.js';

const failConditions = ['loosened', 'changed', 'never'] as const;

export interface ReplayCommandOptions extends BesideOptions {
  readonly directory: string;
  /** The folder inside the repository that holds the policy. */
  readonly path: string;
  readonly audit: readonly string[];
  readonly config: string | undefined;
  readonly format: 'text' | 'json' | 'markdown';
  readonly failOn: (typeof failConditions)[number];
  readonly workers: number;
  readonly operations_max: number | undefined;
  /** The file for the smallest cases; "-": standard output, and the answer goes to standard error. */
  readonly minimise?: string | undefined;
  readonly want?: Wanted | undefined;
  readonly cases_max?: number | undefined;
  /** Where the answer is sent as well. */
  readonly publish?: Omit<GatewayFlags, 'config'> | undefined;
}

const cases_default_max = 100;

/** A commit that has this in its message says that it loosens the policy, and why. */
export const trailer = 'Sallyport-Loosens';

const examples = `
A..B are two commits of the policy repository, as git names them; without B it is HEAD. Operations come from the audit files
of the configuration, or from those that --audit names: also files of input documents, one JSON object a line.

Where the configuration has policy.base, both commits are judged upon it, as it is in force. In the base's own repository,
--team names what stands upon it.

--fail-on loosened (the default) ends with 1 where anything is newly allowed, a mask, a filter, a limit, a taint or an approval
is lost or weakened, or a cost lowered, unless a commit of A..B has the trailer "${trailer}: why" in its message.

Examples:
  sallyport replay main..HEAD --audit audit.jsonl
  sallyport replay origin/main..HEAD --markdown > comment.md
  sallyport replay HEAD~1.. --audit audit.jsonl --minimise policy/regressions.cases.yaml --want before
  sallyport replay main..HEAD --audit audit.jsonl --base ../base --at v3
  sallyport replay main..HEAD --audit audit.jsonl --publish --gateway https://gateway.example
  sallyport replay main..HEAD -d base --team ../team/policy --audit audit.jsonl`;

/**
 * Decides recorded operations under two revisions, and says what is different.
 *
 * @param compiler Absent: one of its own.
 */
export async function replayCommand(
  range: string,
  options: ReplayCommandOptions,
  around: Surroundings,
  compiler?: Pick<Compiler, 'check'>,
): Promise<ExitCode> {
  const [from, to] = readRange(range);
  const { replay, asJson, asMarkdown, asText, isLoosened, smallestCases, unrecorded } =
    await import('../replay/index.js');
  const given = await surroundings(options, around);
  // Who does not say who they are learns of it before the work.
  const { publish, publisherOf } = await import('./replay-publish.js');
  const publisher = options.publish && (await publisherOf({ ...options.publish, ...(options.config === undefined ? {} : { config: options.config }) }, around)); // prettier-ignore
  const source = new GitSource({ repository: path.resolve(options.directory), branch: 'HEAD', path: options.path });
  try {
    const [earlier, later] = await Promise.all([source.at(from), source.at(to)]);
    const compiling = compiler ?? (await compilerOf(around));
    const check = (snapshot: Snapshot) => compiling.check(snapshot);
    const beside = await findBeside(options, given.config, check);
    demandOther([earlier, later], beside);
    // One after the other: they share what did not change. Whether a policy's tests pass is for check and test.
    const before = (await check(earlier)).layer;
    const after = (await check(later)).layer;
    const other = await beside?.layer();
    const started = performance.now();
    let said = started;
    const task = {
      before: standing(earlier, before, beside, other),
      after: standing(later, after, beside, other),
      ...(other && { own: { before: standing(earlier, before, undefined), after: standing(later, after, undefined) } }),
      labels: given.labels,
      ...(options.minimise === undefined ? {} : { kinds_max: options.cases_max ?? cases_default_max }),
    };
    const { tally, kinds, more_kinds } = await replay({
      task,
      files: given.files,
      workers: options.workers,
      ...(options.operations_max === undefined ? {} : { operations_max: options.operations_max }),
      progress: (operations) => {
        if (performance.now() - said < 1000) return;
        said = performance.now();
        around.stderr.write(
          `${operations} operations, ${Math.round((operations * 1000) / (said - started))} a second\n`,
        );
      },
    });
    const loosened = isLoosened(tally);
    const meant = loosened ? await source.trailers(from, to, trailer) : [];
    const read = [before, after, ...(other === undefined ? [] : [other])];
    const known = given.config === undefined ? [] : ['target.labels'];
    const unseen = unrecorded.filter((one) => !known.includes(one) && read.some((layer) => readsAny(layer, one)));
    const companion = beside && { beside: { role: beside.role, revision: beside.revision, from: beside.from } };
    const duration_ms = performance.now() - started;
    const report = { from, to, ...companion, tally, loosened, meant, unseen, duration_ms };
    const told = options.minimise === '-' ? around.stderr : around.stdout;
    told.write({ json: asJson, markdown: asMarkdown, text: asText }[options.format](report));
    if (options.minimise !== undefined) {
      const smallest = await smallestCases(task, kinds, options.want ?? 'after', range);
      await writeCases(options.minimise, smallest, more_kinds, around);
    }
    if (publisher !== undefined && tally.operations > 0) {
      const published = await publish(publisher, report, { before: task.before.id, after: task.after.id }, around);
      if (!published) return exit.failed;
    }
    if (tally.operations === 0) {
      around.stderr.write('sallyport: no recorded operations were found: there is nothing that this says\n');
      return exit.failed;
    }
    const failed = { never: false, changed: tally.changed > 0, loosened: loosened && meant.length === 0 }[
      options.failOn
    ];
    return failed ? exit.no : exit.done;
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    around.stderr.write(describeAll(error));
    return exit.no;
  }
}

function readRange(range: string): [string, string] {
  const match = /^(.+?)\.\.(?!\.)(.*)$/.exec(range);
  if (match === null) throw new ConfigError(`"${range}" is no range: write A..B, as in main..HEAD.`);
  return [match[1]!, match[2] === '' ? 'HEAD' : match[2]!];
}

async function writeCases(
  file: string,
  { text, cases, untold }: Awaited<ReturnType<typeof smallestCases>>,
  more: boolean,
  around: Surroundings,
): Promise<void> {
  if (text !== undefined && file === '-') around.stdout.write(text);
  else if (text !== undefined) await writeFile(path.resolve(file), text);
  const lines = [
    `${cases} smallest cases${text === undefined || file === '-' ? '' : ` in ${file}`}`,
    ...(more ? ['there may be more kinds of difference: --cases says how many are taken'] : []),
    ...untold.map((one) => `no case of this repository alone shows it: ${one}`),
  ];
  around.stderr.write(lines.map((line) => `${line}\n`).join(''));
}

function compilerOf(around: Surroundings): Promise<Compiler> {
  const progress = (message: string) => void around.stderr.write(`${message}\n`);
  return Compiler.create({ opa: () => findOpa({ env: around.env, progress }) });
}

const readsAny = ({ manifest }: Layer, what: string): boolean =>
  Object.values(manifest.reads)
    .flat()
    .some((read) => read === '' || read === what || read.startsWith(`${what}.`) || what.startsWith(`${read}.`));

async function surroundings(
  options: ReplayCommandOptions,
  around: Surroundings,
): Promise<{ readonly files: readonly string[]; readonly labels: Labels; readonly config: Config | undefined }> {
  const missing = options.audit.find((file) => !existsSync(path.resolve(file)));
  if (missing !== undefined)
    throw new ConfigError(`${path.resolve(missing)} is not there: --audit names files that a gateway has recorded (audit.sinks of its configuration), or files of input documents, one JSON object a line.`); // prettier-ignore
  if (options.audit.length > 0 && options.config === undefined)
    return { files: options.audit.map((file) => path.resolve(file)), labels: {}, config: undefined };
  const { loadConfig } = await import('../config/index.js');
  const { protocols } = await import('../registry.js');
  const { filesOf } = await import('../audit/index.js');
  const config = await loadConfig(configFile(options.config, around), { env: around.env, protocols });
  const labels = Object.fromEntries(config.targets.map(({ input }) => [input.name, input.labels]));
  if (options.audit.length > 0) return { files: options.audit.map((file) => path.resolve(file)), labels, config };
  const sinks = config.audit.sinks.map(({ file }) => file);
  if (sinks.length === 0)
    throw new ConfigError(`${config.file} names no audit file: say where to look with --audit FILE.`);
  // The current file is named whether it is there or not; each sink has every record.
  return { files: (await filesOf(sinks[0]!)).filter((file) => existsSync(file)), labels, config };
}

interface Given extends BesideOptions {
  readonly directory: string;
  readonly path: string;
  readonly audit?: string[];
  readonly config?: string;
  readonly json?: boolean;
  readonly markdown?: boolean;
  readonly failOn: ReplayCommandOptions['failOn'];
  readonly workers: string;
  readonly limit?: string;
  readonly minimise?: string | true;
  readonly want?: Wanted;
  readonly cases: string;
  readonly publish?: boolean;
  readonly gateway?: string;
  readonly ca?: string;
  readonly tokenFile?: string;
}

export function registerReplay(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  program
    .command('replay')
    .description('decide recorded operations under two revisions of the policy, and say what would be different')
    .argument('<A..B>', 'two commits of the policy repository')
    .option('-d, --directory <folder>', 'the policy repository', '.')
    .option('--path <folder>', 'the folder inside it that holds the policy', '.')
    .option('--audit <file...>', 'audit files, or files of input documents')
    .option('-c, --config <file>', "the gateway's configuration: its audit files, labels of targets, and policy.base")
    .option('--base [folder]', "the organisation's base, upon which both commits stand (default: that of -c)")
    .option('--no-base', 'without it, though the configuration names one')
    .option('--team [folder]', "the commits are the base's: a team's policy upon both (default: that of -c)")
    .option('--at <commit>', 'the base, or the team, as it was at this commit of its repository')
    .option('--at-path <folder>', 'the folder of it that holds the policy')
    .option('--json', 'all differences as one JSON object')
    .option('--markdown', 'for a comment on a pull request')
    .addOption(new Option('--fail-on <what>', 'when to end with 1').choices(failConditions).default('loosened'))
    .option('--workers <number>', 'threads', String(availableParallelism()))
    .option('--limit <operations>', 'end after so many operations, or a few more')
    .option(
      '--minimise [file.cases.yaml]',
      'the smallest case of each kind of difference, as tests of the policy repository',
    )
    .addOption(
      new Option('--want <which>', 'on which of the commits these pass').choices(['after', 'before']).default('after'),
    )
    .option('--cases <number>', 'how many of them, at most', String(cases_default_max))
    .option('--publish', 'send the answer to a gateway, whose console shows it')
    .option('--gateway <url>', 'the gateway: https://HOST:PORT (default: $SALLYPORT_URL, else from the configuration)')
    .option('--ca <file>', 'who vouches for its certificate, PEM (default: $SALLYPORT_CA, else as configured)')
    .option('--token-file <file>', 'a file with the token (default: $SALLYPORT_TOKEN_FILE, else $SALLYPORT_TOKEN)')
    .addHelpText('after', examples)
    .action(async (range: string, given: Given) => {
      const format = given.json === true ? 'json' : given.markdown === true ? 'markdown' : 'text';
      const options = {
        directory: given.directory,
        path: given.path,
        audit: given.audit ?? [],
        base: given.base,
        team: given.team,
        at: given.at,
        atPath: given.atPath,
        config: given.config,
        format,
        failOn: given.failOn,
        workers: whole(given.workers, '--workers', 64),
        operations_max: given.limit === undefined ? undefined : whole(given.limit, '--limit', Number.MAX_SAFE_INTEGER),
        minimise: given.minimise === true ? '-' : given.minimise,
        want: given.want,
        cases_max: whole(given.cases, '--cases', 1_000),
        publish: flagsOf(given),
      } as const;
      finish(await replayCommand(range, options, around));
    });
}

/** Undefined where nothing is published. */
function flagsOf({ publish, gateway, ca, tokenFile }: Given): ReplayCommandOptions['publish'] {
  const flags = { ...(gateway && { gateway }), ...(ca && { ca }), ...(tokenFile && { tokenFile }) };
  if (publish === true) return flags;
  if (Object.keys(flags).length > 0)
    throw new ConfigError('--gateway, --ca and --token-file say where --publish sends the answer: give it, too');
  return undefined;
}

function whole(text: string, option: string, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > most) throw new ConfigError(`${option} must be a whole number, at most ${most}.`);
  return value;
}
