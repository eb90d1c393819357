import { resolve } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { AuditQuery, KeptElsewhere, Ledger, Verified } from '../audit/index.js';
import type { Config } from '../config/index.js';
import { ConfigError, StateError } from '../errors.js';
import { describe } from './explain.js';
import { exit, type ExitCode } from './exit.js';
import { configFile, type Surroundings } from './surroundings.js';
import { eraseValues, type EraseFlags } from './audit-erase.js';
import { rowOf, verdictOf } from './audit-print.js';
import { printableJson } from './printable.js';

const examples = `
Examples:
  sallyport audit search --target orders --table customers --since 24h
  sallyport audit search --prompt "tidy up" --decision deny --json
  sallyport audit show d-4f1c09a2b7de-17
  sallyport audit verify                      the files of ./sallyport.yaml, against what its state directory knows
  sallyport audit verify --key KEY audit.jsonl other/audit.jsonl
  sallyport audit key                         the public key, to be kept where the gateway cannot reach it
  sallyport audit erase --subject ada@example.com --reason "request 42" --token-file ./token
  sallyport audit export --since 24h > decisions.jsonl

verify: exit code 0 means whole, 1 that something was changed or is missing.`;

interface Where {
  readonly config?: string;
  readonly audit?: readonly string[];
  readonly json?: boolean;
}

interface SearchFlags extends Where {
  readonly prompt?: string;
  readonly principal?: string;
  readonly purpose?: string;
  readonly target?: string;
  readonly resource?: string;
  readonly table?: string;
  readonly session?: string;
  readonly within?: string;
  readonly decision?: NonNullable<AuditQuery['decision']>;
  readonly outcome?: NonNullable<AuditQuery['outcome']>;
  readonly code?: string;
  readonly since?: number;
  readonly until?: number;
  readonly limit?: number;
  readonly oldest?: boolean;
}

/** Adds audit to the command line: search, show, verify, export, erase, key. */
export function registerAudit(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  const audit = program
    .command('audit')
    .description('look into the audit, and prove that it is whole')
    .addHelpText('after', examples);
  const command = (name: string, description: string) =>
    audit
      .command(name)
      .description(description)
      .option('-c, --config <file>', 'the configuration (default: $SALLYPORT_CONFIG or ./sallyport.yaml)');
  const inFiles = (made: Command) => made.option('--audit <file...>', 'look into these files, without a configuration');

  filters(inFiles(command('search', 'find operations and whatever else is recorded, newest first')))
    .option('--limit <count>', 'so many at most', wholeNumber, 100)
    .option('--oldest', 'oldest first')
    .option('--json', 'one JSON object a line: the record, and what came of it')
    .action(async (flags: SearchFlags) => finish(await search(flags, around)));

  inFiles(command('show', 'one decision, as explain has it'))
    .argument('<id>', 'the id of the decision')
    .option('--json', 'the records as they stand')
    .action(async (id: string, flags: Where) => finish(await show(id, flags, around)));

  command('verify', 'whether records were changed, removed, added or moved')
    .argument('[file...]', 'audit files, with those that were rotated away from them')
    .option('--key <key>', 'a public key that may have signed, as audit key prints it; may be repeated', collect)
    .option('--json', 'the result as one JSON object')
    .action(async (files: string[], flags: Where & { key?: string[] }) => finish(await verify(files, flags, around)));

  filters(inFiles(command('export', "records as JSON lines, with the names of OPA's decision log unless --raw")))
    .option('--raw', 'records as they stand')
    .action(async (flags: SearchFlags & { raw?: boolean }) => finish(await exportRecords(flags, around)));

  command(
    'erase',
    "takes a person's values out of files that were rotated away; the chain stays whole; for administrators",
  )
    .requiredOption('--subject <subject>', 'whose: who acted, for whom, or who answered')
    .requiredOption('--reason <text>', 'why; it is recorded')
    .option('--until <time>', 'only records from before: a time, or how long ago (24h)', time)
    .option('--token-file <file>', 'a file with the token (default: $SALLYPORT_TOKEN_FILE, else $SALLYPORT_TOKEN)')
    .option('--json', 'the result as one JSON object')
    .action(async (flags: EraseFlags) => finish(await eraseValues(flags, await configuration(flags, around), around)));

  command('key', 'the public key that checks the signatures')
    .option('--json', 'with its id')
    .action(async (flags: Where) => finish(await key(flags, around)));
}

function filters(command: Command): Command {
  return command
    .option('--prompt <text>', 'id or trace of the prompt, or a part of its text')
    .option('--principal <subject>', 'who did it, or for whom')
    .option('--purpose <purpose>')
    .option('--target <name>')
    .option('--resource <name>', 'what was touched: orders finds app.orders and its columns')
    .option('--table <name>', 'the same')
    .option('--session <id>')
    .option('--within <decision>', 'requests inside of a tunnel, by the decision on that')
    .addOption(new Option('--decision <outcome>').choices(['allow', 'deny', 'hold']))
    .addOption(
      new Option('--outcome <status>', 'none: it never ended').choices(['ok', 'error', 'cancelled', 'lost', 'none']),
    )
    .option('--code <code>', "a reason's code, or the target's own")
    .option('--since <time>', 'a time (2026-11-22T09:00:00Z), or how long ago (24h)', time)
    .option('--until <time>', 'likewise', time);
}

const collect = (value: string, before: string[] | undefined) => [...(before ?? []), value];

function wholeNumber(text: string): number {
  if (!/^[0-9]{1,9}$/u.test(text)) throw new InvalidArgumentError('It is no whole number.');
  return Number(text);
}

const units_ms: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function time(text: string): number {
  const [, count, unit] = /^([0-9]{1,9})([smhd])$/u.exec(text) ?? [];
  const time_ms = unit === undefined ? Date.parse(text) : Date.now() - Number(count) * units_ms[unit]!;
  if (Number.isNaN(time_ms))
    throw new InvalidArgumentError('Write 2026-11-22T09:00:00Z, or 30m, 24h, 7d for so long ago.');
  return time_ms;
}

function queryOf(flags: SearchFlags): AuditQuery {
  const { prompt, principal, purpose, target, session, within, decision, outcome, code, since, until } = flags;
  const resource = flags.resource ?? flags.table;
  const query = {
    prompt,
    principal,
    purpose,
    target,
    resource,
    session_id: session,
    within,
    decision,
    outcome,
    code,
    since_ms: since,
    until_ms: until,
  };
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined));
}

async function search(flags: SearchFlags, around: Surroundings): Promise<ExitCode> {
  const { searchAudit } = await import('../audit/index.js');
  const { limit = 100, oldest = false } = flags;
  let count = 0;
  for await (const found of searchAudit(await filesFor(flags, around), queryOf(flags), {
    limit,
    order: oldest ? 'oldest' : 'newest',
  })) {
    around.stdout.write(flags.json === true ? `${printableJson(found)}\n` : rowOf(found));
    count += 1;
  }
  if (count > 0) return exit.done;
  around.stderr.write('sallyport: nothing was found\n');
  return exit.no;
}

async function show(id: string, flags: Where, around: Surroundings): Promise<ExitCode> {
  const { findDecision } = await import('../audit/index.js');
  const files = await filesFor(flags, around);
  const found = await findDecision(files, id);
  if (found === undefined) {
    around.stderr.write(`sallyport: no decision "${id}" in ${files.join(', ')}\n`);
    return exit.no;
  }
  around.stdout.write(flags.json === true ? `${printableJson(found, 2)}\n` : describe(found.records));
  return exit.done;
}

async function exportRecords(flags: SearchFlags & { raw?: boolean }, around: Surroundings): Promise<ExitCode> {
  const { decisionLog, searchAudit } = await import('../audit/index.js');
  for await (const found of searchAudit(await filesFor(flags, around), queryOf(flags), { order: 'oldest' })) {
    if (flags.raw !== true) {
      if (found.record.kind === 'intent')
        around.stdout.write(`${JSON.stringify(decisionLog(found.record, found.outcome))}\n`);
      continue;
    }
    around.stdout.write(`${JSON.stringify(found.record)}\n`);
    if (found.outcome !== undefined) around.stdout.write(`${JSON.stringify(found.outcome)}\n`);
  }
  return exit.done;
}

async function verify(
  named: readonly string[],
  flags: Where & { key?: string[] },
  around: Surroundings,
): Promise<ExitCode> {
  const { filesOf, verifyAudit, fileHeadStore } = await import('../audit/index.js');
  const config = named.length > 0 && flags.config === undefined ? undefined : await configuration(flags, around);
  const files = named.length > 0 ? named.map((file) => resolve(file)) : config!.audit.sinks.map(({ file }) => file);
  const all = (await Promise.all(files.map(filesOf))).flat();
  let ledger: Ledger | undefined;
  // Asked first: records go on being written, and what is known must not be newer than what is read.
  const elsewhere = config === undefined ? [] : await headsElsewhere(config);
  if (config !== undefined) ledger = await fileHeadStore(config.state.directory).read();
  const onProgress = progress(around);
  const verified = await verifyAudit(all, { keys: flags.key ?? [], ledger, elsewhere, onProgress });
  if (around.stderr.isTTY === true) around.stderr.write('\r');
  around.stdout.write(
    flags.json === true ? `${JSON.stringify({ files: all, ...verified }, undefined, 2)}\n` : verdictOf(verified),
  );
  return isWhole(verified) ? exit.done : exit.no;
}

/** What the database that replicas share knows. Where it is out of reach, nothing is said at all. */
async function headsElsewhere({ state: { directory, postgres }, audit }: Config): Promise<KeptElsewhere[]> {
  if (postgres === undefined) return [];
  const { openDatabase } = await import('../state/database.js');
  const { givenHome } = await import('../state/home.js');
  const { sharedHeads } = await import('../audit-heads.js');
  const { pino } = await import('pino');
  const database = openDatabase({ home: givenHome(postgres), log: pino({ level: 'silent' }) });
  try {
    await database.ready(state_ms_max);
    return await sharedHeads({ database, directory, file: audit.sinks[0]!.file });
  } catch (error) {
    if (!(error instanceof StateError)) throw error;
    throw new StateError(
      `${error.message}, and with it what it knows of the audit; name the files to verify without it`,
      {
        ...(error.detail === undefined ? {} : { detail: error.detail }),
        cause: error,
      },
    );
  } finally {
    await database.close();
  }
}

const state_ms_max = 10_000;

const isWhole = ({ count }: Verified) => count === 0;

/** On a terminal alone: a number that changes. */
function progress({ stderr }: Surroundings): (done: number) => void {
  let shown = -1;
  return (done) => {
    const percent = Math.floor(done * 100);
    if (stderr.isTTY !== true || percent === shown) return;
    shown = percent;
    stderr.write(`\r${percent} % `);
  };
}

async function key(flags: Where, around: Surroundings): Promise<ExitCode> {
  const { openSigner } = await import('../audit/index.js');
  const config = await configuration(flags, around);
  const { id, public: key } = await openSigner({ key: config.audit.signing_key, directory: config.state.directory });
  around.stdout.write(flags.json === true ? `${JSON.stringify({ id, key })}\n` : `${key}\n`);
  return exit.done;
}

async function filesFor(flags: Where, around: Surroundings): Promise<string[]> {
  const { filesOf } = await import('../audit/index.js');
  const named = flags.audit?.map((file) => resolve(file));
  // Every sink has the same records: the first is enough.
  const files = named ?? (await configuration(flags, around)).audit.sinks.slice(0, 1).map(({ file }) => file);
  if (files.length === 0)
    throw new ConfigError('the configuration names no audit file: say where to look with --audit FILE.');
  return (await Promise.all(files.map(filesOf))).flat();
}

async function configuration(flags: Where, around: Surroundings) {
  const { loadConfig } = await import('../config/index.js');
  const { protocols } = await import('../registry.js');
  return loadConfig(configFile(flags.config, around), { env: around.env, protocols });
}
