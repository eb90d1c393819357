import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { SourceOptions } from '../../bundles/index.js';
import type { GatewayAddress, Labels, Proposal } from '../classify/index.js';
import type { Config } from '../config/index.js';
import { ConfigError } from '../errors.js';
import { readToken } from './api/client.js';
import { exit, type ExitCode } from './exit.js';
import { configFile, type Surroundings } from './surroundings.js';

export interface ClassifyCommandOptions {
  readonly target: string;
  readonly config: string | undefined;
  /** HOST:PORT of the gateway, where it isn't what the configuration says. */
  readonly gateway: string | undefined;
  /** A policy's folder to take existing labels from, instead of the configuration's. */
  readonly policy: string | undefined;
  /** A file that holds the token of who asks; absent: SALLYPORT_TOKEN, or the file that SALLYPORT_TOKEN_FILE names. */
  readonly tokenFile: string | undefined;
  readonly schemas: readonly string[];
  readonly rows_max: number;
  readonly json: boolean;
  readonly output: string | undefined;
}

const rows_default = 200;
const rows_limit = 10_000;

const examples = `
It asks the running gateway, as any client does: what it reads is judged by policy, masked and recorded. Values are looked
at in memory; none is printed or written. The token stands in SALLYPORT_TOKEN or in a file, never on the command line.

Examples:
  SALLYPORT_TOKEN=… sallyport classify orders
  sallyport classify orders --schema app --schema crm -o proposal.yaml
  sallyport classify orders --gateway gateway.example:5432 --policy ./policy
  sallyport classify orders --sample 0        by names and types alone, without reading a row`;

/** Adds classify to the command line. */
export function registerClassify(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  program
    .command('classify')
    .description("propose labels for a target's columns, as YAML for the policy repository")
    .argument('<target>', "the target's name")
    .option('-c, --config <file>', "the gateway's configuration (default: $SALLYPORT_CONFIG or ./sallyport.yaml)")
    .option('--gateway <host:port>', 'where the gateway listens, where the configuration is not at hand')
    .option('--policy <directory>', 'take labels that are there already from this policy')
    .option('--token-file <file>', 'a file that holds the token of who asks (default: $SALLYPORT_TOKEN_FILE)')
    .option(
      '--schema <name>',
      "look at this schema only; may be repeated (default: all but the server's own)",
      (name: string, names: string[] | undefined) => [...(names ?? []), name],
    )
    .option('--sample <rows>', 'look at so many rows of each relation at most; 0 reads none', wholeNumber, rows_default)
    .option('--json', 'the proposal as one JSON object')
    .option('-o, --output <file>', 'write it to a file')
    .addHelpText('after', examples)
    .action(async (target: string, options: Record<string, unknown>) => {
      const given = options as Omit<Partial<ClassifyCommandOptions>, 'schemas'> & { schema?: string[]; sample: number };
      const { config, gateway, json = false, output, policy, schema = [], sample: rows_max, tokenFile } = given;
      const rest = { config, gateway, json, output, policy, rows_max, schemas: schema, tokenFile };
      finish(await classify({ target, ...rest }, around));
    });
}

function wholeNumber(text: string): number {
  const number = Number(text);
  if (!/^\d{1,6}$/.test(text) || number > rows_limit)
    throw new ConfigError(`--sample takes a whole number of rows up to ${rows_limit}, not "${text}"`);
  return number;
}

/** Proposes labels; a refusal of the gateway is the answer no. */
export async function classify(options: ClassifyCommandOptions, around: Surroundings): Promise<ExitCode> {
  const token = await readToken(options.tokenFile, around);
  const { asJson, asYaml, propose, Refused } = await import('../classify/index.js');
  const output = options.output === undefined ? undefined : resolve(options.output);
  if (output !== undefined) await refuseToOverwrite(output);
  const { gateway, labels } = await surroundingsOf(options, around);
  const progress = (line: string) => void around.stderr.write(`classify: ${line}\n`);
  let proposal: Proposal;
  try {
    proposal = await propose({ ...options, token, gateway, labels, progress });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (options.json)
      around.stdout.write(`${JSON.stringify({ ok: false, error: error.message, codes: error.codes })}\n`);
    around.stderr.write(`sallyport: refused: ${error.message}\n`);
    return exit.no;
  }
  const text = options.json ? asJson(proposal) : asYaml(proposal);
  if (output === undefined) around.stdout.write(text);
  else await writeWhole(output, text);
  for (const warning of proposal.warnings) progress(`note: ${warning}`);
  progress(summary(proposal, output));
  return exit.done;
}

function summary({ columns, target }: Proposal, output: string | undefined): string {
  const number = (status: string) => columns.filter((column) => column.status === status).length;
  const counts = `${number('proposed')} proposed, ${number('kept')} kept, ${number('maybe')} only perhaps`;
  return `${target}: ${columns.length} columns, ${counts}${output === undefined ? '' : ` → ${output}`}`;
}

/** Where the gateway is and what its policy says already: from the configuration but for what is named. */
async function surroundingsOf(
  options: ClassifyCommandOptions,
  around: Surroundings,
): Promise<{ gateway: GatewayAddress; labels: Labels }> {
  const named = options.gateway === undefined ? undefined : addressOf(options.gateway);
  const config =
    named !== undefined && (options.policy !== undefined || options.config === undefined)
      ? undefined
      : await configuration(options, around);
  const source = options.policy === undefined ? config?.policy : { directory: resolve(options.policy) };
  return { gateway: named ?? listener(config), labels: await labelsIn(source, options.target) };
}

async function configuration(options: ClassifyCommandOptions, around: Surroundings): Promise<Config> {
  const { loadConfig } = await import('../config/index.js');
  const { protocols } = await import('../registry.js');
  const config = await loadConfig(configFile(options.config, around), { env: around.env, protocols });
  const targets = config.targets.filter(({ input }) => input.protocol === 'postgres').map(({ input }) => input.name);
  // A target's other databases are "orders/archive".
  if (!targets.includes(options.target.split('/')[0] ?? ''))
    throw new ConfigError(
      `${config.file} has no Postgres target "${options.target}"; it has ${targets.join(', ') || 'none'}`,
    );
  return config;
}

function listener(config: Config | undefined): GatewayAddress {
  const address = config?.listen.get('postgres');
  if (address === undefined || address.port === 0)
    throw new ConfigError(
      `${config?.file ?? 'the configuration'} says no port for listen.postgres: name where the gateway listens with --gateway HOST:PORT`,
    );
  const { host, port, tls } = address;
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return { host: reachable, port, ...(tls && { certificate: tls.certificate }) };
}

/** Named by hand: on this machine in clear, elsewhere with TLS. */
function addressOf(text: string): GatewayAddress {
  const found = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/@\s]+)):(\d{1,5})$/i.exec(text);
  const port = Number(found?.[3]);
  if (found === null || port < 1 || port > 65_535)
    throw new ConfigError(`--gateway takes HOST:PORT or [IPV6]:PORT, not "${text}"`);
  const host = found[1] ?? found[2] ?? '';
  return { host, port, tls: !/^(?:localhost|::1|127(?:\.\d{1,3}){3})$/.test(host) };
}

async function labelsIn(source: SourceOptions | undefined, target: string): Promise<Labels> {
  const { labelsOf, noLabels } = await import('../classify/index.js');
  const { BundleError, openSource } = await import('../../bundles/index.js');
  if (source === undefined) return noLabels;
  try {
    return labelsOf(await openSource(source).read(), target);
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    throw new ConfigError(`the policy's labels cannot be read: ${error.message}`, { cause: error });
  }
}

/** A policy's data file may hold more than a proposal has. */
async function refuseToOverwrite(file: string): Promise<void> {
  const { isProposal } = await import('../classify/index.js');
  const before = await readFile(file, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new ConfigError(`${file} cannot be written: ${(error as Error).message}`, { cause: error });
  });
  if (before === undefined || before === '' || isProposal(before) || before.startsWith('{"ok":')) return;
  throw new ConfigError(`${file} is there already and is no earlier proposal: name another file`);
}

async function writeWhole(file: string, text: string): Promise<void> {
  const scratch = `${file}.${process.pid}.new`;
  try {
    await writeFile(scratch, text);
    await rename(scratch, file);
  } catch (error) {
    throw new ConfigError(`${file} cannot be written: ${(error as Error).message}`, { cause: error });
  } finally {
    await rm(scratch, { force: true });
  }
}
