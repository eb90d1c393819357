import type { Command } from 'commander';
import type { KillAnswer, KillQuery, LiveSession } from '../../sessions.js';
import { ConfigError } from '../../errors.js';
import { exit, type ExitCode } from '../exit.js';
import type { Surroundings } from '../surroundings.js';
import { withGateway, type GatewayFlags } from './address.js';
import { ask } from './ask.js';
import { sessionTable } from './describe.js';

const examples = `
The token stands in SALLYPORT_TOKEN or in a file, never on the command line.

Examples:
  sallyport sessions                                 what is connected
  sallyport sessions kill --subject agent:billing-bot --why "it has gone mad"
  sallyport sessions kill --prompt p-4711            whatever that prompt has open
  sallyport sessions kill --purpose "month-end report" --target orders

kill: a session ends when it fits everything that is named, with what it runs; exit code 1 where none does.`;

type KillFlags = GatewayFlags & KillQuery & { readonly why?: string };

/** Adds sessions to the command line: list, kill. */
export function registerSessions(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  const sessions = program
    .command('sessions')
    .description('what is connected to the gateway: see it, end it')
    .addHelpText('after', examples);

  withGateway(
    sessions.command('list', { isDefault: true }).description('what is connected now, as far as you may see it'),
  ).action(async (flags: GatewayFlags) =>
    finish(
      await ask(flags, around, async ({ api, colours, tell }) => {
        const answer = await api.get<{ sessions: LiveSession[] }>('/v1/sessions');
        tell(answer, (now_ms) => sessionTable(answer.sessions, now_ms, colours));
      }),
    ),
  );

  withGateway(sessions.command('kill').description('end sessions at once, with what they run; for administrators'))
    .option('--subject <subject>', 'whose')
    .option('--issuer <url>', 'of which issuer, where two have the same subject')
    .option('--purpose <purpose>', 'for which purpose')
    .option('--prompt <id>', 'from which prompt: its id or its trace')
    .option('--session <id>', 'this one')
    .option('--target <name>', 'to which target')
    .option('--why <text>', 'recorded, and told to the client')
    .action(async (flags: KillFlags) => finish(await kill(flags, around)));
}

async function kill(flags: KillFlags, around: Surroundings): Promise<ExitCode> {
  const { subject, issuer, purpose, prompt, session, target, why } = flags;
  if ([subject, purpose, prompt, session, target].every((value) => value === undefined))
    throw new ConfigError('say which sessions: --subject, --purpose, --prompt, --session or --target');
  return ask(flags, around, async ({ api, tell }) => {
    const query = { subject, issuer, purpose, prompt, session, target, why };
    const answer = await api.post<KillAnswer>('/v1/sessions/kill', query);
    tell(answer, () => `${String(answer.killed)} ${answer.killed === 1 ? 'session' : 'sessions'} ended.\n`);
    return answer.killed === 0 ? exit.no : exit.done;
  });
}
