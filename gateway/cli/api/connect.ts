import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Reachable } from '../../api/targets.js';
import { ConfigError } from '../../errors.js';
import { exit, type ExitCode } from '../exit.js';
import { printableLine } from '../printable.js';
import type { Surroundings } from '../surroundings.js';
import { gatewayAddress, withGateway, type GatewayFlags } from './address.js';
import { ask } from './ask.js';
import type { ApiClient } from './client.js';

const connectExamples = `
A ticket for the target is had first, and handed over in the client's environment: nothing secret stands on a command line.

Examples:
  sallyport connect orders                     psql, for a Postgres target
  sallyport connect orders -- -c 'select 1'    what stands behind -- is for the client
  sallyport connect build-host -- uptime       ssh, for an SSH target`;

const envExamples = `
Examples:
  eval "$(sallyport env orders)"; psql         also pg_dump, and any program over libpq
  sallyport env orders --service               a section for pg_service.conf, without the password`;

type Flags = GatewayFlags & { readonly purpose?: string; readonly service?: boolean };

/** How a client is told where it goes and who it is: by its environment, and words that are no secret. */
interface Setting {
  readonly command: string;
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Adds connect and env to the command line. */
export function registerConnect(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  withGateway(program.command('connect').description('start psql or ssh at a target, with everything set'))
    .argument('<target>', 'its name')
    .argument('[words...]', 'for the client, behind --')
    .option('--purpose <text>', 'what the work is for, where your token does not say')
    .addHelpText('after', connectExamples)
    .action(async (target: string, words: string[], flags: Flags) =>
      finish(
        await ask(flags, around, async ({ api }) => {
          const setting = await settingFor(target, flags, around, api);
          return runClient({ ...setting, words: [...setting.words, ...words] }, around);
        }),
      ),
    );
  withGateway(program.command('env').description('what a Postgres client reads from its environment, for a shell'))
    .argument('<target>', 'its name')
    .option('--purpose <text>', 'what the work is for, where your token does not say')
    .option('--service', 'a section for pg_service.conf in its place')
    .addHelpText('after', envExamples)
    .action(async (target: string, flags: Flags) =>
      finish(
        await ask(flags, around, async ({ api }) => {
          around.stdout.write(
            flags.service === true
              ? await service(target, flags, around, api)
              : shell(await settingFor(target, flags, around, api)),
          );
          return exit.done;
        }),
      ),
    );
}

async function place(target: string, flags: Flags, around: Surroundings, api: ApiClient) {
  const found = await api.get<Reachable>(`/v1/targets/${encodeURIComponent(target)}`);
  if (found.port === undefined)
    throw new ConfigError(`the gateway does not listen for ${printableLine(found.protocol)} clients`);
  const { url } = await gatewayAddress(flags, around);
  return { ...found, port: String(found.port), host: new URL(url).hostname.replace(/^\[|\]$/gu, '') };
}

async function settingFor(target: string, flags: Flags, around: Surroundings, api: ApiClient): Promise<Setting> {
  const { protocol, host, port, tls } = await place(target, flags, around, api);
  if (protocol !== 'postgres' && protocol !== 'ssh')
    throw new ConfigError(
      `"${target}" is spoken to in ${printableLine(protocol)}, for which there is no client to start`,
    );
  const { ticket } = await api.post<{ ticket: string }>('/v1/tickets', { target, purpose: flags.purpose });
  if (protocol === 'ssh') {
    // Behind "--" there is no option: a target is a name of the configuration, and never one.
    return {
      command: 'ssh',
      words: ['-p', port, '-o', 'PreferredAuthentications=password,keyboard-interactive', '--', `${target}@${host}`],
      env: { SALLYPORT_TICKET: ticket },
    };
  }
  const env = { PGHOST: host, PGPORT: port, PGDATABASE: target, PGUSER: 'sallyport', PGPASSWORD: ticket };
  return { command: 'psql', words: [], env: { ...env, ...encryption(tls, flags, around) } };
}

/** A listener with TLS is verified, by the authority that is named for the API too unless libpq was told another. */
function encryption(tls: boolean, { ca }: GatewayFlags, { env }: Surroundings): Record<string, string> {
  if (!tls) return { PGSSLMODE: 'disable' };
  const authority = env['PGSSLROOTCERT'] ?? ca ?? env['SALLYPORT_CA'];
  return { PGSSLMODE: 'verify-full', ...(authority === undefined ? {} : { PGSSLROOTCERT: resolve(authority) }) };
}

function shell({ command, env }: Setting): string {
  if (command !== 'psql') throw new ConfigError('this is for Postgres targets; sallyport connect starts ssh');
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  return Object.entries(env)
    .map(([name, value]) => `export ${name}=${quoted(value)}\n`)
    .join('');
}

async function service(target: string, flags: Flags, around: Surroundings, api: ApiClient): Promise<string> {
  const { protocol, host, port, tls } = await place(target, flags, around, api);
  if (protocol !== 'postgres') throw new ConfigError(`"${target}" is no Postgres target`);
  const { PGSSLMODE, PGSSLROOTCERT } = encryption(tls, flags, around);
  const root = PGSSLROOTCERT === undefined ? '' : `sslrootcert=${PGSSLROOTCERT}\n`;
  return `[${target}]\nhost=${host}\nport=${port}\ndbname=${target}\nuser=sallyport\nsslmode=${String(PGSSLMODE)}\n${root}`;
}

/** The client on this terminal, until it ends: its exit code is ours. */
async function runClient({ command, words, env }: Setting, around: Surroundings): Promise<ExitCode> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-connect-'));
  try {
    const more = command === 'ssh' ? await askpass(folder) : {};
    const code = await new Promise<number>((settle, fail) => {
      // The client gets what is good for its target, and not the token that is good for all.
      const { SALLYPORT_TOKEN: _, ...rest } = around.env;
      const child = spawn(command, words, { stdio: 'inherit', env: { ...rest, ...env, ...more } });
      child.on('error', (error) =>
        fail(
          (error as NodeJS.ErrnoException).code === 'ENOENT'
            ? new ConfigError(`there is no ${command} on the PATH`)
            : error,
        ),
      );
      child.on('close', (given, signal) => settle(given ?? 128 + (signal === null ? 0 : constants.signals[signal])));
    });
    if (code !== 0) process.exitCode = code;
    return exit.done;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** OpenSSH takes a password from a program: this one says what its environment holds, so that no file has the secret. */
async function askpass(folder: string): Promise<Record<string, string>> {
  const file = join(folder, 'askpass');
  // Asked whether a host's key may be believed, it says nothing: that is for known_hosts.
  const script = `#!/bin/sh\ncase "$1" in *yes/no*) exit 1;; esac\nprintf '%s\\n' "$SALLYPORT_TICKET"\n`;
  await writeFile(file, script, { mode: 0o700 });
  await chmod(file, 0o700);
  return { SSH_ASKPASS: file, SSH_ASKPASS_REQUIRE: 'force' };
}
