import { resolve } from 'node:path';
import { ConfigError } from '../../errors.js';
import type { Surroundings } from '../surroundings.js';
import type { GatewayFlags } from './address.js';
import { certificateFiles } from './ssh-cert.js';
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

/**
 * A section for ~/.ssh/config, with what belongs into known_hosts above it. ssh has a certificate renewed before it reads on; where
 * that cannot be, it asks for a password, which is a token or a ticket.
 */
export function sshConfig(target: string, place: Place, flags: GatewayFlags, around: Surroundings): string {
  const { protocol, host, port, gateway, known = '' } = place;
  if (protocol !== 'ssh') throw new ConfigError(`"${target}" is no SSH target`);
  const { key, certificate } = certificateFiles(gateway, target, around);
  const ca = flags.ca ?? around.env['SALLYPORT_CA'];
  const renew = [
    'sallyport',
    'ssh-cert',
    target,
    '--gateway',
    gateway,
    ...(ca === undefined ? [] : ['--ca', resolve(ca)]),
  ];
  return [
    ...known
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => `# for known_hosts: ${line}`),
    `Match originalhost ${target} exec "${renew.map(shellWord).join(' ').replaceAll('%', '%%')}"`,
    `Host ${target}`,
    `  HostName ${host}`,
    `  Port ${port}`,
    `  User ${target}`,
    `  IdentityFile "${key.replaceAll('%', '%%')}"`,
    `  CertificateFile "${certificate.replaceAll('%', '%%')}"`,
    `  IdentitiesOnly yes`,
    `  PreferredAuthentications publickey,password,keyboard-interactive`,
    `  ForwardAgent no`,
    '',
  ].join('\n');
}

/** ssh_config knows no quote inside of quotes. */
function shellWord(word: string): string {
  if (/["'\\\n]/u.test(word)) throw new ConfigError(`${word} cannot stand in ssh_config: it has quotes`);
  return /^[\w./:@%+=-]+$/u.test(word) ? word : `'${word}'`;
}
