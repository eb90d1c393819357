import type { GrantTerms } from '#engine';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Grant } from '../../approvals/index.js';
import { duration } from '../../config/duration.js';
import type { ExitCode } from '../exit.js';
import { printable } from '../printable.js';
import type { Surroundings } from '../surroundings.js';
import { withGateway, type GatewayFlags } from './address.js';
import { ask } from './ask.js';
import { describeRequest, grantTable, requestTable, type ShownRequest } from './describe.js';
import { suggest, type SuggestFlags } from './suggest.js';
import { watch, type WatchFlags } from './watch.js';

const examples = `
The token stands in SALLYPORT_TOKEN or in a file, never on the command line.

Examples:
  sallyport approvals                              what waits for you
  sallyport approvals show h-7f3a                  who asks, from which prompt, the exact statement, what it does
  sallyport approvals approve h-7f3a --comment "checked with billing"
  sallyport approvals approve h-7f3a --grant-uses 20 --grant-for 1h
  sallyport approvals refuse h-7f3a --reason "not on a Friday"
  sallyport approvals watch --json | jq .          whatever happens, as it happens
  sallyport approvals revoke g-11c2                takes a grant back
  sallyport approvals suggest > approved.rego      what has always been approved, as rules to read and commit`;

interface ApproveFlags extends GatewayFlags {
  readonly comment?: string;
  readonly breakGlass?: boolean;
  readonly grantUses?: number;
  readonly grantFor?: number;
  readonly grantSame?: GrantTerms['same'];
  readonly grantSession?: boolean;
}

/** Adds approvals to the command line: list, show, approve, refuse, grants, revoke, suggest, watch. */
export function registerApprovals(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  const approvals = program
    .command('approvals')
    .description('what waits for people: see it, answer it, take a grant back')
    .addHelpText('after', examples);
  const command = (name: string, description: string, options?: { isDefault: true }) =>
    withGateway(approvals.command(name, options).description(description));

  command('list', 'what waits for you, and what you asked for', { isDefault: true })
    .addOption(
      new Option('--status <status>', 'which ones')
        .choices(['waiting', 'approved', 'refused', 'expired', 'withdrawn', 'all'])
        .default('waiting'),
    )
    .option('--mine', 'only what you asked for yourself')
    .action(async (flags: GatewayFlags & { status: string; mine?: boolean }) => finish(await list(flags, around)));

  command('show', 'one request: who asks, the claimed prompt, the observed operation, its effect, the answers')
    .argument('<id>', 'the id of the request')
    .action(async (id: string, flags: GatewayFlags) => finish(await show(id, flags, around)));

  command('approve', 'let it through')
    .argument('<id>', 'the id of the request')
    .option('--comment <text>', 'kept with the answer')
    .option('--break-glass', 'your own request, in an emergency, where policy allows it; needs a comment')
    .option('--grant-uses <count>', 'so many of the same, this one included', wholeNumber)
    .option('--grant-for <time>', 'for so long: 15m, 1h', milliseconds)
    .addOption(new Option('--grant-same <what>', 'what is the same').choices(['operation', 'fingerprint']))
    .option('--grant-session', 'within the session that asked only')
    .action(async (id: string, flags: ApproveFlags) => finish(await approve(id, flags, around)));

  command('refuse', 'do not let it through')
    .argument('<id>', 'the id of the request')
    .requiredOption('--reason <text>', 'who asked is told')
    .action(async (id: string, flags: GatewayFlags & { reason: string }) => finish(await refuse(id, flags, around)));

  command('grants', 'approvals that were widened').action(async (flags: GatewayFlags) =>
    finish(await grants(flags, around)),
  );

  command('revoke', 'take a grant back')
    .argument('<grant>', 'the id of the grant')
    .action(async (id: string, flags: GatewayFlags) => finish(await revoke(id, flags, around)));

  command('suggest', 'Rego for what has always been approved, to be read and committed; changes nothing')
    .option('--at-least <count>', 'so many of the same, none of them refused or expired', wholeNumber, 5)
    .action(async (flags: SuggestFlags) => finish(await suggest(flags, around)));

  command('watch', 'what waits now, then whatever happens, until the token expires')
    .option('--give-up <time>', 'how long a gateway that is away is waited for', milliseconds, 10 * 60_000)
    .action(async (flags: WatchFlags) => finish(await watch(flags, around)));
}

function wholeNumber(text: string): number {
  if (!/^[1-9][0-9]{0,6}$/u.test(text)) throw new InvalidArgumentError('It is no whole number from 1.');
  return Number(text);
}

function milliseconds(text: string): number {
  const ms = duration(text);
  if (ms === undefined) throw new InvalidArgumentError('Write 30s, 15m, 1h or 1h30m.');
  return ms;
}

const pathOf = (id: string, act = '') => `/v1/approvals/${encodeURIComponent(id)}${act}`;

const list = (flags: GatewayFlags & { status: string; mine?: boolean }, around: Surroundings) =>
  ask(flags, around, async ({ api, colours, tell }) => {
    const query = new URLSearchParams({ status: flags.status, ...(flags.mine ? { mine: 'true' } : {}) });
    const answer = await api.get<{ approvals: ShownRequest[] }>(`/v1/approvals?${query.toString()}`);
    tell(answer, (now_ms) => requestTable(answer.approvals, now_ms, colours));
  });

const show = (id: string, flags: GatewayFlags, around: Surroundings) =>
  ask(flags, around, async ({ api, colours, tell }) => {
    const request = await api.get<ShownRequest>(pathOf(id));
    tell(request, (now_ms) => describeRequest(request, now_ms, colours));
  });

const approve = (id: string, flags: ApproveFlags, around: Surroundings) =>
  ask(flags, around, async ({ api, colours, tell }) => {
    const grant = {
      ...(flags.grantUses === undefined ? {} : { uses: flags.grantUses }),
      ...(flags.grantFor === undefined ? {} : { for_ms: flags.grantFor }),
      ...(flags.grantSame === undefined ? {} : { same: flags.grantSame }),
      ...(flags.grantSession === undefined ? {} : { session: flags.grantSession }),
    };
    const request = await api.post<ShownRequest>(pathOf(id, '/approve'), {
      ...(flags.comment === undefined ? {} : { comment: flags.comment }),
      ...(flags.breakGlass === undefined ? {} : { break_glass: true }),
      ...(Object.keys(grant).length === 0 ? {} : { grant }),
    });
    // Other people may have to approve it as well: only a request that is approved goes on.
    const said =
      request.status === 'waiting' ? 'Yours is given; it waits for the others that policy asks for' : request.status;
    tell(request, (now_ms) => `${describeRequest(request, now_ms, colours)}\n${said}.\n`);
  });

const refuse = (id: string, flags: GatewayFlags & { reason: string }, around: Surroundings) =>
  ask(flags, around, async ({ api, colours, tell }) => {
    const request = await api.post<ShownRequest>(pathOf(id, '/refuse'), { comment: flags.reason });
    tell(request, (now_ms) => `${describeRequest(request, now_ms, colours)}\n${request.status}.\n`);
  });

const grants = (flags: GatewayFlags, around: Surroundings) =>
  ask(flags, around, async ({ api, colours, tell }) => {
    const answer = await api.get<{ grants: Grant[] }>('/v1/grants');
    tell(answer, (now_ms) => grantTable(answer.grants, now_ms, colours));
  });

const revoke = (id: string, flags: GatewayFlags, around: Surroundings) =>
  ask(flags, around, async ({ api, tell }) => {
    const grant = await api.post<Grant>(`/v1/grants/${encodeURIComponent(id)}/revoke`, {});
    tell(grant, () => `Taken back: ${printable(grant.id)}. What was let through by it before stays done.\n`);
  });
