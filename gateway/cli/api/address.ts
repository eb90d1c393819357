import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { ConfigError } from '../../errors.js';
import { configFile, type Surroundings } from '../surroundings.js';

/** Where the gateway is and who asks: the same for every command that asks a running one. */
export interface GatewayFlags {
  readonly config?: string;
  readonly gateway?: string;
  readonly ca?: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

/** There is no option for the token itself, and none that switches the check of the certificate off. */
export function withGateway(command: Command): Command {
  return command
    .option('--gateway <url>', 'https://HOST:PORT (default: $SALLYPORT_URL, else from the configuration)')
    .option('--ca <file>', 'who vouches for its certificate, PEM (default: $SALLYPORT_CA, else as configured)')
    .option('--token-file <file>', 'a file with the token (default: $SALLYPORT_TOKEN_FILE, else $SALLYPORT_TOKEN)')
    .option('-c, --config <file>', "the gateway's configuration (default: $SALLYPORT_CONFIG or ./sallyport.yaml)")
    .option('--json', 'as the API answers, for programs');
}

export interface GatewayPlace {
  /** "https://host:port", without a path. */
  readonly url: string;
  /** PEM; undefined: those that Node.js trusts. */
  readonly ca: string | undefined;
}

export async function gatewayAddress(flags: GatewayFlags, around: Surroundings): Promise<GatewayPlace> {
  const named = flags.gateway ?? (around.env['SALLYPORT_URL'] || undefined);
  const caFile = flags.ca ?? (around.env['SALLYPORT_CA'] || undefined);
  const ca = caFile === undefined ? undefined : await readCa(resolve(caFile));
  if (named !== undefined) return { url: readUrl(named), ca };
  const configured = await fromConfiguration(flags.config, around);
  return { url: configured.url, ca: ca ?? configured.ca };
}

function readUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'https:' || url.pathname !== '/' || url.search !== '' || url.username !== '')
    throw new ConfigError(`"${text}" is not where a gateway is: write https://HOST:PORT`);
  return url.origin;
}

async function readCa(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new ConfigError(`the certificate ${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/** The gateway of this machine. Its own certificate, where it made one, stands in its state directory. */
async function fromConfiguration(named: string | undefined, around: Surroundings): Promise<GatewayPlace> {
  const { loadConfig } = await import('../../config/index.js');
  const { protocols } = await import('../../registry.js');
  const config = await loadConfig(configFile(named, around), { env: around.env, protocols });
  const listen = config.listen.get('https');
  if (listen === undefined)
    throw new ConfigError(
      `${config.file} has no listen.https: say where the gateway is with --gateway https://HOST:PORT`,
    );
  if (listen.port === 0)
    throw new ConfigError(`${config.file} lets listen.https take any port: say which with --gateway https://HOST:PORT`);
  const host = listen.host === '0.0.0.0' || listen.host === '::' ? 'localhost' : listen.host;
  const url = `https://${host.includes(':') ? `[${host}]` : host}:${String(listen.port)}`;
  if (listen.tls !== undefined) return { url: config.console.url ?? url, ca: undefined };
  return { url, ca: await readFile(join(config.state.directory, 'https.pem'), 'utf8').catch(() => undefined) };
}
