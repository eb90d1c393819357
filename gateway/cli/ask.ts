import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { createEngine, noUsage, type Decision, type Input, type Layer, type Operation, type Revision } from '#engine';
import type { Command } from 'commander';
import {
  baseFolder,
  BundleStore,
  Compiler,
  DirectorySource,
  findOpa,
  policyFolder,
  readStatus,
  revisionMeant,
  shadowFolder,
} from '../../bundles/index.js';
import type { Config } from '../config/index.js';
import { ConfigError } from '../errors.js';
import { namedBase } from '../layers.js';
import { exit, type ExitCode } from './exit.js';
import { answerText, type Answered } from './ask-text.js';
import { configFile, type Surroundings } from './surroundings.js';

/** One operation, decided without anybody asking for it; nothing is recorded, and nothing leaves. */
interface AskOptions {
  readonly config?: string;
  readonly policy?: string;
  readonly revision?: string;
  readonly input?: string;
  readonly decision?: string;
  readonly audit?: readonly string[];
  readonly principal?: string;
  readonly issuer?: string;
  readonly kind?: 'agent' | 'human' | 'service';
  readonly group?: readonly string[];
  readonly role?: readonly string[];
  readonly purpose?: string;
  readonly target?: string;
  readonly sql?: string;
  readonly request?: string;
  readonly connect?: boolean;
  readonly json?: boolean;
}

const examples = `
The operation is one of: --sql, --request, --connect (to the target), --decision (a recorded one), --input (a document of
docs/policy.md, from a file or - for standard input). Who asks is changed by --principal, --group, … in each of them.

A statement is read by its text alone: names as they are written, views and functions not looked into. A recorded decision
has what the gateway saw.

Examples:
  sallyport ask --principal agent:x --group agents --target orders --sql "select email from app.customers"
  sallyport ask --target cloud --principal ada --request "DELETE /v1/users/7" --policy ./policy
  sallyport ask --decision d-4f1c09a2b7de-17 --purpose month-end`;

export async function askCommand(options: AskOptions, around: Surroundings): Promise<ExitCode> {
  const config = await configOf(options, around);
  const { id, layers } = await policyOf(options, config, around);
  const input = await inputOf(options, config);
  const revision = await createEngine().prepare(id, layers);
  const decision = revision.decide(input);
  const { valuesNamed, whatWouldDiffer } = await import('../asking/index.js');
  const targets = config?.targets.map((target) => target.input) ?? [];
  const search =
    decision.outcome === 'allow'
      ? undefined
      : whatWouldDiffer({ revision, input, values: [...new Set(layers.flatMap(valuesNamed))], targets });
  const answer: Answered = { revision: id, decision, rules: rulesOf(decision, revision), search, input };
  around.stdout.write(options.json === true ? `${JSON.stringify(answer, undefined, 2)}\n` : answerText(answer));
  return decision.outcome === 'allow' ? exit.done : exit.no;
}

const rulesOf = ({ reasons, ...obligations }: Decision, { rules }: Revision): Answered['rules'] => {
  const { masks, filters, approvals } = obligations;
  const codes = new Set([...reasons, ...masks, ...filters, ...approvals].map(({ code }) => code));
  return rules.filter(({ code }) => codes.has(code));
};

async function configOf(options: AskOptions, around: Surroundings): Promise<Config | undefined> {
  // With a folder of policy and no configuration there is nothing else to know.
  if (options.policy !== undefined && options.config === undefined) return undefined;
  const { loadConfig } = await import('../config/index.js');
  const { protocols } = await import('../registry.js');
  return loadConfig(configFile(options.config, around), { env: around.env, protocols });
}

interface Judging {
  readonly id: string;
  readonly layers: readonly Layer[];
}

/** With the organisation's base beneath it that is in force, where the configuration names one. */
async function upon(config: Config | undefined, own: Judging): Promise<Judging> {
  if (config?.policy.base === undefined) return own;
  const folder = baseFolder(config.state.directory);
  const revision = (await readStatus(folder))?.revision;
  const stored = revision === undefined ? undefined : await new BundleStore(folder).load(revision);
  if (stored === undefined)
    throw new ConfigError(`no gateway has put the organisation's base (policy.base) into force in ${folder} yet`);
  return { id: `${stored.revision}+${own.id}`, layers: [namedBase(stored.layer), ...own.layers] };
}

async function policyOf(
  { policy, revision }: AskOptions,
  config: Config | undefined,
  around: Surroundings,
): Promise<Judging> {
  if (policy !== undefined) {
    const snapshot = await new DirectorySource(path.resolve(policy)).read();
    const progress = (message: string) => void around.stderr.write(`${message}\n`);
    const compiler = await Compiler.create({ opa: () => findOpa({ env: around.env, progress }) });
    return upon(config, { id: snapshot.revision, layers: [(await compiler.check(snapshot)).layer] });
  }
  const state = config!.state.directory;
  const stores = [policyFolder(state), shadowFolder(state)].map((folder) => new BundleStore(folder));
  const wanted =
    revision === undefined
      ? (await readStatus(policyFolder(state)))?.revision
      : meant(revision, (await Promise.all(stores.map((store) => store.list()))).flat());
  if (wanted === undefined)
    throw new ConfigError(`no gateway has put a policy into force in ${state} yet; name a folder with --policy`);
  for (const store of stores) {
    const stored = await store.load(wanted);
    if (stored !== undefined) return upon(config, { id: wanted, layers: [stored.layer] });
  }
  throw new ConfigError(`the bundle of ${wanted} is not on disk; name a folder with --policy`);
}

function meant(revision: string, known: readonly string[]): string {
  try {
    return revisionMeant(revision, known);
  } catch (error) {
    throw new ConfigError((error as Error).message);
  }
}

async function inputOf(options: AskOptions, config: Config | undefined): Promise<Input> {
  const { principal, issuer, kind, group, role, purpose, target } = options;
  const base = await baseOf(options, config);
  const changed = {
    ...base.principal,
    ...(principal === undefined ? {} : { subject: principal }),
    ...(issuer === undefined ? {} : { issuer }),
    ...(kind === undefined ? {} : { kind }),
    ...(group === undefined ? {} : { groups: [...group] }),
    ...(role === undefined ? {} : { roles: [...role] }),
    ...(purpose === undefined ? {} : { purpose }),
  };
  const other = target === undefined ? base.target : targetOf(target, config, base.target.protocol);
  return { ...base, principal: changed, target: other };
}

async function baseOf(options: AskOptions, config: Config | undefined): Promise<Input> {
  if (options.input !== undefined) return readInput(options.input);
  if (options.decision !== undefined) return recorded(options.decision, options.audit ?? [], config);
  const { target, principal } = options;
  if (target === undefined || principal === undefined)
    throw new ConfigError('say who asks, and of what: --principal and --target; or give --input or --decision');
  const [operation, protocol] = await operationOf(options, config);
  const now = new Date().toISOString();
  return {
    ...{ version: 1, time: now },
    principal: {
      ...{ subject: principal, issuer: 'unknown', kind: 'agent', groups: [], roles: [], attributes: {} },
      token: { expires: new Date(Date.now() + 3_600_000).toISOString() },
    },
    session: { id: 'ask', started: now, client: { address: '127.0.0.1' }, rows: 0, taint: [] },
    target: targetOf(target, config, protocol),
    ...{ operation, usage: noUsage },
  };
}

async function operationOf(options: AskOptions, config: Config | undefined): Promise<[Operation, string]> {
  const { readRequest, readStatement } = await import('../asking/index.js');
  if (options.sql !== undefined) return [await readStatement(options.sql), 'postgres'];
  if (options.request !== undefined) return [readRequest(options.request), 'http'];
  if (options.connect !== true)
    throw new ConfigError('say what is asked: --sql, --request, --connect, --input or --decision');
  const protocol = config?.targets.find(({ input }) => input.name === options.target)?.input.protocol ?? 'postgres';
  const resources = [{ type: 'session', name: 'session', access: 'use' as const }];
  return [{ stage: 'execute', action: 'connect', resources, opaque: false, hash: '0'.repeat(64) }, protocol];
}

function targetOf(name: string, config: Config | undefined, protocol: string): Input['target'] {
  const known = config?.targets.find(({ input }) => input.name === name)?.input;
  if (known === undefined && config !== undefined)
    throw new ConfigError(`there is no target "${name}": ${config.targets.map(({ input }) => input.name).join(', ')}`);
  return known ?? { name, protocol, labels: {} };
}

async function readInput(file: string): Promise<Input> {
  let given: unknown;
  try {
    given = JSON.parse(await readFile(file === '-' ? '/dev/stdin' : path.resolve(file), 'utf8'));
  } catch (error) {
    throw new ConfigError(`the input document ${file} cannot be read: ${(error as Error).message}`);
  }
  const { version, principal, target, operation } = (given ?? {}) as Partial<Input>;
  if (version !== 1 || principal === undefined || target === undefined || operation === undefined)
    throw new ConfigError(`${file} is no input document of version 1: docs/policy.md has its fields`);
  return given as Input;
}

async function recorded(id: string, files: readonly string[], config: Config | undefined): Promise<Input> {
  const { findDecision } = await import('../audit/index.js');
  const { recordedOperation } = await import('../replay/recorded.js');
  const where = files.length > 0 ? files.map((file) => path.resolve(file)) : (config?.audit.sinks ?? []).map(({ file }) => file); // prettier-ignore
  const labels = Object.fromEntries((config?.targets ?? []).map(({ input }) => [input.name, input.labels]));
  const intent = (await findDecision(where, id))?.records.find(({ kind }) => kind === 'intent');
  const found = intent === undefined ? undefined : recordedOperation(intent, labels);
  if (found === undefined || found === 'other')
    throw new ConfigError(`there is no decision "${id}" in ${where.join(', ') || 'no file: name one with --audit'}`);
  if (found === 'erased') throw new ConfigError(`what decision ${id} was about has been erased`);
  return found.input;
}

export function registerAsk(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  program
    .command('ask')
    .description('may they? One operation decided by the policy, with rules and reasons, and what would have to differ')
    .option('--principal <subject>', 'who asks')
    .option('--issuer <url>', 'who vouches for them')
    .option('--kind <kind>', 'agent, human or service')
    .option('--group <name...>', 'their groups')
    .option('--role <name...>', 'their roles')
    .option('--purpose <text>', 'what the work is for')
    .option('--target <name>', 'of which target')
    .option('--sql <statement>', 'a statement')
    .option('--request <line>', 'a request over HTTP: "GET /v1/users"')
    .option('--connect', 'to be let in at all')
    .option('--decision <id>', 'what was recorded with this decision')
    .option('--audit <file...>', 'where that is looked for')
    .option('--input <file>', 'an input document')
    .option('--policy <folder>', 'this policy, compiled now, instead of the one in force')
    .option('--revision <revision>', 'one that is on disk, instead of the one in force')
    .option('-c, --config <file>', 'the configuration (default: $SALLYPORT_CONFIG or ./sallyport.yaml)')
    .option('--json', 'the answer as one JSON object')
    .addHelpText('after', examples)
    .action(async (options: AskOptions) => finish(await askCommand(options, around)));
}
