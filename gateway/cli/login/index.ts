import { InvalidArgumentError, type Command } from 'commander';
import * as oidc from 'openid-client';
import type { LoginConfig } from '../../config/index.js';
import { ConfigError } from '../../errors.js';
import { apiAt } from '../api/client.js';
import { orNo } from '../api/ask.js';
import { gatewayAddress, withGateway, type GatewayFlags } from '../api/address.js';
import { exit, type ExitCode } from '../exit.js';
import { printableLine } from '../printable.js';
import type { Surroundings } from '../surroundings.js';
import { hasBrowser } from './browser.js';
import { byCode } from './code.js';
import { byDevice } from './device.js';
import { readKept, removeKept, writeKept, keptFile, type Kept } from './kept.js';
import { discover, keptOf } from './provider.js';

const examples = `
The gateway says where to sign in (identity.login); --issuer and --client-id say it where it does not.

Examples:
  sallyport login                              in a browser; where there is none, by a code that any browser takes
  sallyport login --device                     by a code, always
  sallyport token                              prints a token that is good now, refreshed where it has to be
  sallyport logout                             takes the refresh token back at the provider, and forgets both`;

type LoginFlags = GatewayFlags & {
  readonly device?: boolean;
  readonly port?: number;
  readonly issuer?: string;
  readonly clientId?: string;
  readonly audience?: string;
};

/** Adds login and logout to the command line. */
export function registerLogin(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  withGateway(program.command('login').description('sign in at your identity provider, for the gateway'))
    .option('--device', 'by a code that you enter in a browser on any machine')
    .option('--port <number>', 'the port of this machine that the browser comes back to (default: any)', port)
    .option('--issuer <url>', 'the identity provider, where the gateway does not say')
    .option('--client-id <id>', 'as what this program is registered there')
    .option('--audience <name>', 'whom the token is for, where the provider has to be told')
    .addHelpText('after', examples)
    .action(async (flags: LoginFlags) => finish(await orNo(flags, around, () => login(flags, around))));
  withGateway(program.command('logout').description('forget the tokens of this gateway, and take them back')).action(
    async (flags: GatewayFlags) => finish(await logout(flags, around)),
  );
}

function port(text: string): number {
  if (!/^\d{1,5}$/u.test(text) || Number(text) > 65_535) throw new InvalidArgumentError('It is no port.');
  return Number(text);
}

interface Whoami {
  readonly subject: string;
  readonly issuer: string;
}

async function login(flags: LoginFlags, around: Surroundings): Promise<ExitCode> {
  const place = await gatewayAddress(flags, around);
  const how = await howTo(flags, async () => apiAt(place).get<{ login?: LoginConfig }>('/.well-known/sallyport'));
  const config = await discover(how);
  const canDevice = config.serverMetadata().device_authorization_endpoint !== undefined;
  const device = flags.device === true || (canDevice && around.browse === undefined && !hasBrowser(around.env));
  const tokens = device
    ? await byDevice(config, how, around)
    : await byCode(config, how, { port: flags.port ?? 0 }, around);
  const kept = keptOf(place.url, how, tokens);
  // What the gateway does not take is not kept: it would only fail later, and further away.
  const { subject, issuer } = await apiAt(place, kept.token).get<Whoami>('/v1/whoami');
  await writeKept(kept, around);
  const until = new Date(kept.expires_ms).toISOString();
  const file = keptFile(place.url, around);
  if (flags.json === true)
    around.stdout.write(`${JSON.stringify({ ok: true, subject, issuer, expires: until, file })}\n`);
  else
    around.stderr.write(
      `Signed in as ${printableLine(subject)} (${printableLine(issuer)}) until ${until}${kept.refresh === undefined ? '' : ', refreshed from then on'}\nKept in ${file}\n`,
    );
  return exit.done;
}

async function howTo(
  { issuer, clientId, audience }: LoginFlags,
  ask: () => Promise<{ login?: LoginConfig }>,
): Promise<LoginConfig> {
  const told: LoginConfig | undefined =
    issuer !== undefined && clientId !== undefined
      ? { issuer, client_id: clientId, scopes: ['openid', 'offline_access'], token: 'access' }
      : (await ask()).login;
  if (told === undefined)
    throw new ConfigError('the gateway does not say where to sign in (identity.login): give --issuer and --client-id');
  return {
    ...told,
    ...(issuer === undefined ? {} : { issuer }),
    ...(clientId === undefined ? {} : { client_id: clientId }),
    ...(audience === undefined ? {} : { audience }),
  };
}

async function logout(flags: GatewayFlags, around: Surroundings): Promise<ExitCode> {
  const { url } = await gatewayAddress(flags, around);
  const kept = await readKept(url, around).catch((error: unknown) => {
    if (!(error instanceof ConfigError)) throw error;
    around.stderr.write(`sallyport: ${error.message}\n`);
    return undefined;
  });
  await removeKept(url, around);
  if (kept?.refresh !== undefined && !(await takenBack(kept)))
    around.stderr.write(
      'Forgotten here; the provider could not be told, or takes no token back: sign out there as well\n',
    );
  else around.stderr.write('Signed out\n');
  return exit.done;
}

/** RFC 7009. */
async function takenBack({ login, refresh }: Kept): Promise<boolean> {
  try {
    const config = await discover(login);
    if (config.serverMetadata().revocation_endpoint === undefined) return false;
    await oidc.tokenRevocation(config, refresh as string, { token_type_hint: 'refresh_token' });
    return true;
  } catch {
    return false;
  }
}
