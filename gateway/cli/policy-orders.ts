import type { Command } from 'commander';
import pc from 'picocolors';
import {
  baseFolder,
  BundleError,
  type Order,
  policyFolder,
  type PolicyStatus,
  readStatus,
  requestOrder,
  shadowFolder,
} from '../../bundles/index.js';
import { exit, type ExitCode } from './exit.js';
import { configFile } from './surroundings.js';
import { type CommonOptions, type Io, mark, resolveHere, tell } from './telling.js';

/**
 * What an operator calls, on the machine of the gateway: what is in force and what is tried beside it, back to the revision
 * before, on to the one that is tried, to a certain one and to stay there.
 */
const processIo: Io = process;

export interface PolicyOptions extends CommonOptions {
  /** The configuration that the gateway runs with. */
  readonly config?: string;
  /** The gateway's state directory, where no configuration is at hand. */
  readonly state?: string;
  /** How long a rollback waits for the gateway's answer. */
  readonly timeout_ms?: number;
  /** The order is for the organisation's base. */
  readonly base?: boolean;
}

/** Which revision is in force, since when, and what became of the last change. */
export async function policyStatusCommand(options: PolicyOptions = {}, io: Io = processIo): Promise<ExitCode> {
  const state = await stateDirectoryOf(options, io);
  const folder = policyFolder(state);
  const [status, base] = await Promise.all([readStatus(folder), readStatus(baseFolder(state))]);
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
  // A base that is not configured any more was left behind by another process.
  const beneath = base?.pid === status.pid ? base : undefined;
  const good = ({ revision, last }: PolicyStatus) => revision !== undefined && last?.ok !== false;
  const ok = good(status) && (beneath === undefined || good(beneath));
  tell(io, options, { ok, running, ...status, ...(beneath && { base: beneath }) }, () => {
    const own = describeStatus(status, running, io);
    return beneath === undefined ? own : `${own}\n\nThe organisation's base:\n${describeStatus(beneath, running, io)}`;
  });
  return ok ? exit.done : exit.no;
}

/** What the revision that is tried would have decided otherwise, of all that was asked since it is tried. */
export async function policyShadowCommand(options: PolicyOptions = {}, io: Io = processIo): Promise<ExitCode> {
  const state = await stateDirectoryOf(options, io);
  const { readDifferences } = await import('../rollout/index.js');
  const { shadowText } = await import('./shadow-text.js');
  const [status, report] = await Promise.all([readStatus(shadowFolder(state)), readDifferences(state)]);
  if (status === undefined || report === undefined) {
    tell(
      io,
      options,
      { ok: false, error: 'no_shadow' },
      () =>
        `No revision is tried beside the one in force: policy.shadow in the configuration names where it comes from.`,
    );
    return exit.no;
  }
  const ok = status.last?.ok !== false && report.failure === undefined;
  tell(io, options, { ok, ...report, last: status.last, source: status.source }, () => shadowText(status, report));
  return ok ? exit.done : exit.no;
}

/** Gives an order to the running gateway, and says what became of it. */
export async function policyOrderCommand(
  order: Order,
  options: PolicyOptions = {},
  io: Io = processIo,
): Promise<ExitCode> {
  const folder = (options.base === true ? baseFolder : policyFolder)(await stateDirectoryOf(options, io));
  try {
    const answer = await requestOrder(folder, order, options.timeout_ms);
    tell(io, options, answer, () =>
      answer.ok
        ? `${mark(io, true)} ${answer.revision} ${until[order.action]}`
        : `${mark(io, false)} not done: ${answer.error}`,
    );
    return answer.ok ? exit.done : exit.no;
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    tell(io, options, { ok: false, problems: error.problems }, () => `${mark(io, false)} ${error.message}`);
    return exit.failed;
  }
}

const until = {
  rollback: 'is in force, until the source has something newer',
  promote: 'is in force, until the source has something newer',
  pin: 'is in force, whatever the source has, until `sallyport policy unpin`',
  unpin: 'was pinned; the source decides again',
} as const;

/** Adds `policy` to the command line. Exit codes are left in `process.exitCode`. */
export function registerPolicyOrders(program: Command, io: Io = processIo): void {
  const policy = program
    .command('policy')
    .description('the policy of a gateway on this machine: what is in force, what is tried, and what was');
  const add = (
    name: string,
    description: string,
    run: (options: PolicyOptions, argument: string) => Promise<ExitCode>,
  ) => {
    const command = policy.command(name).description(description);
    if (['rollback', 'pin', 'unpin'].includes(name))
      command.option('--base', "of the organisation's base, instead of the policy upon it");
    if (name === 'pin') command.argument('<revision>', "whole, or the beginning of its commit's hash");
    command
      .option(
        '-c, --config <file>',
        'the configuration of the gateway (default: $SALLYPORT_CONFIG or ./sallyport.yaml)',
      )
      .option('--state <directory>', "the gateway's state directory, instead of a configuration")
      .option('--json', 'the answer as one JSON object')
      .action(async (...given: unknown[]) => {
        const [first, second] = given;
        const options = (name === 'pin' ? second : first) as PolicyOptions;
        process.exitCode = await run(options, String(first));
      });
  };
  add(
    'status',
    'which revision is in force, and what became of the last change; exit code 1 where that was refused',
    (options) => policyStatusCommand(options, io),
  );
  add('shadow', 'what the revision that is tried would have decided otherwise', (options) =>
    policyShadowCommand(options, io),
  );
  add('promote', 'put the revision that is tried into force, until something newer is committed', (options) =>
    policyOrderCommand({ action: 'promote' }, options, io),
  );
  add('rollback', 'put the revision before into force, until something newer is committed', (options) =>
    policyOrderCommand({ action: 'rollback' }, options, io),
  );
  add('pin', 'put a revision that was in force or is tried into force, and keep it there', (options, revision) =>
    policyOrderCommand({ action: 'pin', revision }, options, io),
  );
  add('unpin', 'let the source decide again', (options) => policyOrderCommand({ action: 'unpin' }, options, io));
}

async function stateDirectoryOf(options: PolicyOptions, io: Io): Promise<string> {
  if (options.state !== undefined) return resolveHere(options.state, io.env, true);
  const { loadConfig } = await import('../config/index.js');
  const { protocols } = await import('../registry.js');
  const around = { ...io, fallbackFolder: io.env['INIT_CWD'] ?? process.cwd() };
  const config = await loadConfig(configFile(options.config, around), { env: io.env, protocols });
  return config.state.directory;
}

const staying = ({ how, blocked }: NonNullable<PolicyStatus['pinned']>): string =>
  how === 'pinned' ? 'it stays until `sallyport policy unpin`' : `it stays until the source is past ${blocked}`;

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
    line(
      'source',
      status.answered === undefined
        ? status.source
        : `${status.source} ${dim(`— last answered about ${status.answered}`)}`,
    ),
    line('gateway', running ? `running, process ${status.pid}` : `not running (it was process ${status.pid})`),
    ...(pinned === undefined
      ? []
      : [line('pinned', `${pinned.how.replace('_', ' ')} at ${pinned.at}; ${staying(pinned)}`)]),
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

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
