import { ConfigError } from '../../errors.js';
import type { Surroundings } from '../surroundings.js';
import type { GatewayFlags } from './address.js';
import { encryption, type Place, type Setting } from './setting.js';

/** What `sallyport env` prints. Only the first has a secret in it. */
export const formats = ['shell', 'pg_service', 'ssh_config'] as const;
export type Format = (typeof formats)[number];

/** For a shell's `eval`. */
export function shell({ command, env }: Setting): string {
  if (command !== 'psql') throw new ConfigError(`this is for Postgres targets; sallyport connect starts ${command}`);
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  return Object.entries(env)
    .map(([name, value]) => `export ${name}=${quoted(value)}\n`)
    .join('');
}

/** A section for pg_service.conf, without the password. */
export function pgService(target: string, place: Place, flags: GatewayFlags, around: Surroundings): string {
  const { protocol, host, port, tls } = place;
  if (protocol !== 'postgres') throw new ConfigError(`"${target}" is no Postgres target`);
  const { PGSSLMODE, PGSSLROOTCERT } = encryption(tls, flags, around);
  const root = PGSSLROOTCERT === undefined ? '' : `sslrootcert=${PGSSLROOTCERT}\n`;
  return `[${target}]\nhost=${host}\nport=${port}\ndbname=${target}\nuser=sallyport\nsslmode=${String(PGSSLMODE)}\n${root}`;
}

/** A section for ~/.ssh/config, with what belongs into known_hosts above it: the password is a token or a ticket. */
export function sshConfig(target: string, { protocol, host, port, known = '' }: Place): string {
  if (protocol !== 'ssh') throw new ConfigError(`"${target}" is no SSH target`);
  return [
    ...known
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => `# for known_hosts: ${line}`),
    `Host ${target}`,
    `  HostName ${host}`,
    `  Port ${port}`,
    `  User ${target}`,
    `  PreferredAuthentications password,keyboard-interactive`,
    `  ForwardAgent no`,
    '',
  ].join('\n');
}
