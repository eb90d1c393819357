import type { Command } from 'commander';
import { ConfigError } from '../../errors.js';
import { exit, type ExitCode } from '../exit.js';
import type { Surroundings } from '../surroundings.js';
import { gatewayAddress, withGateway, type GatewayFlags } from './address.js';
import { ask } from './ask.js';
import { tokenFor } from './client.js';
import { execCredential } from './kubeconfig.js';

const examples = `
Examples:
  sallyport token                                                your own, after sallyport login; refreshed where it ends soon
  sallyport token --ticket --target orders                       a short secret for one target: a password for any client
  PGPASSWORD=$(sallyport token --ticket --target orders) psql "host=gateway.example dbname=orders user=me"
  sallyport token --ticket --target orders --json                also its two halves, for clients that insist on SCRAM:
                                                                 "id" is the user name, "secret" the password`;

type TokenFlags = GatewayFlags & {
  readonly ticket?: boolean;
  readonly kubernetes?: boolean;
  readonly target?: string;
  readonly purpose?: string;
  readonly lifetime?: string;
};

interface IssuedTicket {
  readonly ticket: string;
  /** As RFC 3339 has it. */
  readonly expires: string;
}

/** Adds token to the command line. */
export function registerToken(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  withGateway(
    program.command('token').description('your token, or a ticket: a short secret that stands for it at one target'),
  )
    .option('--ticket', 'a ticket (61 characters) instead of a token')
    .option('--kubernetes', 'the ticket as kubectl takes it from a plug-in (sallyport kubeconfig names this command)')
    .option('--target <name>', 'what it is for')
    .option('--purpose <text>', 'what the work is for, where your token does not say')
    .option('--lifetime <seconds>', 'how long it shall live; never longer than your token')
    .addHelpText('after', examples)
    .action(async (flags: TokenFlags) => finish(await token(flags, around)));
}

async function token(flags: TokenFlags, around: Surroundings): Promise<ExitCode> {
  const { ticket, kubernetes, target, purpose, lifetime } = flags;
  if (ticket !== true && kubernetes !== true) {
    if (target !== undefined) throw new ConfigError('for one target there are tickets: --ticket --target NAME');
    return own(flags, around);
  }
  if (target === undefined)
    throw new ConfigError(`say what for: ${kubernetes === true ? '--kubernetes' : '--ticket'} --target NAME`);
  const lifetime_s = lifetime === undefined ? undefined : Number(lifetime);
  if (lifetime_s !== undefined && !(Number.isInteger(lifetime_s) && lifetime_s > 0))
    throw new ConfigError('--lifetime is a number of seconds');
  return ask(flags, around, async ({ api, tell }) => {
    const issued = await api.post<IssuedTicket>('/v1/tickets', { target, purpose, lifetime_s });
    if (kubernetes === true) around.stdout.write(execCredential(issued.ticket, issued.expires));
    else tell(issued, () => `${issued.ticket}\n`);
    return exit.done;
  });
}

async function own(flags: TokenFlags, around: Surroundings): Promise<ExitCode> {
  const token = await tokenFor(await gatewayAddress(flags, around), flags, around);
  around.stdout.write(flags.json === true ? `${JSON.stringify({ token })}\n` : `${token}\n`);
  return exit.done;
}
