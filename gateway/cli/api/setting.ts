import { join, resolve } from 'node:path';
import type { Reachable } from '../../api/targets.js';
import { ConfigError } from '../../errors.js';
import { printableLine } from '../printable.js';
import type { Surroundings } from '../surroundings.js';
import { gatewayAddress, type GatewayFlags } from './address.js';
import type { ApiClient } from './client.js';

export type SettingFlags = GatewayFlags & { readonly purpose?: string };

/** How a client is told where it goes and who it is: by its environment, files of its own, and words that are no secret. */
export interface Setting {
  readonly command: 'psql' | 'ssh' | 'kubectl';
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** In a folder that only we can read. */
  readonly files: readonly { readonly file: string; readonly text: string; readonly mode: number }[];
}

/** Where a target is reached; the host is the one that the API was asked at. */
export interface Place {
  readonly protocol: string;
  readonly host: string;
  readonly port: string;
  readonly tls: boolean;
  /** Where the API is. */
  readonly gateway: string;
  /** Of a target that is spoken to over HTTPS, and who vouches for the certificate there (PEM). */
  readonly url?: string;
  readonly ca?: string | undefined;
  /** Lines for known_hosts. */
  readonly known?: string;
}

export async function placeOf(
  target: string,
  flags: GatewayFlags,
  around: Surroundings,
  api: ApiClient,
): Promise<Place> {
  const found = await api.get<Reachable>(`/v1/targets/${encodeURIComponent(target)}`);
  const { url, ca } = await gatewayAddress(flags, around);
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/gu, '');
  const at = { protocol: found.protocol, host, tls: found.tls, gateway: url };
  if (found.path !== undefined) return { ...at, port: port === '' ? '443' : port, url: `${url}${found.path}`, ca };
  if (found.port === undefined)
    throw new ConfigError(`the gateway does not listen for ${printableLine(found.protocol)} clients`);
  return { ...at, port: String(found.port), known: knownHosts(at.host, found.port, found) };
}

/** sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. A key that is none is left out: it could be a line of something else. */
function knownHosts(
  host: string,
  port: number,
  { host_keys: keys = [], host_authority: authority }: Reachable,
): string {
  const isKey = (key: string) => /^[a-z0-9@.-]+ [A-Za-z0-9+/=]+$/u.test(key);
  const name = port === 22 ? host : `[${host}]:${String(port)}`;
  const lines = keys.filter(isKey).map((key) => `${name} ${key}\n`);
  if (authority !== undefined && isKey(authority)) lines.push(`@cert-authority ${name} ${authority}\n`);
  return lines.join('');
}

/** With a ticket for the target; `folder` is where files that it needs will stand. */
export async function settingFor(
  target: string,
  flags: SettingFlags,
  around: Surroundings,
  api: ApiClient,
  folder = '',
): Promise<Setting> {
  const place = await placeOf(target, flags, around, api);
  const make = { postgres, ssh, kubernetes }[place.protocol];
  if (make === undefined)
    throw new ConfigError(
      `"${target}" is spoken to in ${printableLine(place.protocol)}, for which there is no client to start; \`sallyport token\` gives a token for yours`,
    );
  const { ticket } = await api.post<{ ticket: string }>('/v1/tickets', { target, purpose: flags.purpose });
  return make({ target, place, ticket, flags, around, folder });
}

interface Making {
  readonly target: string;
  readonly place: Place;
  readonly ticket: string;
  readonly flags: GatewayFlags;
  readonly around: Surroundings;
  /** For files that go when the client ends. */
  readonly folder: string;
}

function postgres({ target, place: { host, port, tls }, ticket, flags, around }: Making): Setting {
  const env = { PGHOST: host, PGPORT: port, PGDATABASE: target, PGUSER: 'sallyport', PGPASSWORD: ticket };
  return { command: 'psql', words: [], files: [], env: { ...env, ...encryption(tls, flags, around) } };
}

/** A listener with TLS is verified, by the authority that is named for the API too unless libpq was told another. */
export function encryption(tls: boolean, { ca }: GatewayFlags, { env }: Surroundings): Record<string, string> {
  if (!tls) return { PGSSLMODE: 'disable' };
  const authority = env['PGSSLROOTCERT'] ?? ca ?? env['SALLYPORT_CA'];
  return { PGSSLMODE: 'verify-full', ...(authority === undefined ? {} : { PGSSLROOTCERT: resolve(authority) }) };
}

/** The gateway's key was told over TLS: no other one is believed, and nobody is asked. */
function ssh({ target, place: { host, port, known = '' }, ticket, folder }: Making): Setting {
  const knownFile = join(folder, 'known_hosts');
  const askpass = join(folder, 'askpass');
  const options = {
    PreferredAuthentications: 'password,keyboard-interactive',
    UserKnownHostsFile: knownFile,
    GlobalKnownHostsFile: '/dev/null',
    StrictHostKeyChecking: 'yes',
  };
  const words = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  return {
    command: 'ssh',
    // Behind "--" there is no option: a target is a name of the configuration, and never one.
    words: ['-p', port, ...words, '--', `${target}@${host}`],
    // OpenSSH takes a password from a program: this one says what its environment holds, so that no file has the secret.
    env: { SALLYPORT_TICKET: ticket, SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force' },
    files: [
      { file: knownFile, text: known, mode: 0o600 },
      { file: askpass, text: `#!/bin/sh\nprintf '%s\\n' "$SALLYPORT_TICKET"\n`, mode: 0o700 },
    ],
  };
}

/** kubectl takes a token from a file alone, or from its command line, which others can read. */
function kubernetes({ target, place: { url, ca }, ticket, folder }: Making): Setting {
  const authority = ca === undefined ? {} : { 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: target, cluster: { server: url, ...authority } }],
    users: [{ name: 'sallyport', user: { token: ticket } }],
    contexts: [{ name: target, context: { cluster: target, user: 'sallyport' } }],
    'current-context': target,
  };
  const file = join(folder, 'kubeconfig');
  return {
    command: 'kubectl',
    words: [],
    env: { KUBECONFIG: file },
    files: [{ file, text: JSON.stringify(config), mode: 0o600 }],
  };
}
