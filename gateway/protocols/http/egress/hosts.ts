import { isIPv4 } from 'node:net';

/** Names and ports of hosts, as configurations name them and CONNECT asks for them: one way of writing each, or none. */

/** "HOST:PORT" taken apart. */
export interface Place {
  /** Lower case; an address of IPv6 in its shortest form, without brackets. */
  readonly host: string;
  readonly port: number;
}

/** A host that a target names, or all below a name. */
export interface NamedHost extends Place {
  /** True: what ends in "." and `host`, at any depth, and never an address; with an empty `host`, every name. */
  readonly below: boolean;
}

const https_port = 443;
const host_chars_max = 253;
const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
/** The last label may be no number: "2130706433", "0177.1" and "0x7f.1" are addresses to some who resolve names. */
const name_pattern = new RegExp(`^(?:${label}\\.)*(?!(?:[0-9]+|0x[0-9a-f]*)$)${label}$`);
const authority_pattern = /^(\[[0-9A-Fa-f:.]+\]|[^[\]:@/?#\s]+):([0-9]{1,5})$/;

/** The target of a CONNECT (RFC 9110, 9.3.6), whose port is never left out; undefined where it has not that form. */
export function readAuthority(text: string): Place | undefined {
  const [, written = '', digits = ''] = authority_pattern.exec(text) ?? [];
  const host = readHost(written);
  const port = readPort(digits);
  return host === undefined || port === undefined ? undefined : { host, port };
}

/** "HOST", "*.HOST" or "*", with ":PORT" where it is not 443. Undefined where it has not that form. */
export function readNamed(text: string): NamedHost | undefined {
  const [, stars = '', rest = ''] = /^(\*\.|\*(?=$|:))?(.*)$/su.exec(text) ?? [];
  const place = stars === '*' ? portOf(rest) : placeOf(rest);
  if (place === undefined || (stars === '*.' && isAddress(place.host))) return undefined;
  return { ...place, below: stars !== '' };
}

const placeOf = (text: string): Place | undefined =>
  readAuthority(text) ?? readAuthority(`${text}:${String(https_port)}`);

function portOf(text: string): Place | undefined {
  const port = text === '' ? https_port : readPort(text.slice(1));
  return port === undefined ? undefined : { host: '', port };
}

function readPort(digits: string): number | undefined {
  const port = Number(digits);
  return /^[1-9]/.test(digits) && port <= 65_535 ? port : undefined;
}

/** @param written A name, an address of IPv4 as four numbers, or one of IPv6 in brackets. */
export function readHost(written: string): string | undefined {
  if (written.startsWith('[')) {
    try {
      return new URL(`http://${written}`).hostname.slice(1, -1);
    } catch {
      return undefined;
    }
  }
  const host = written.toLowerCase();
  if (isIPv4(host)) return host;
  return host.length <= host_chars_max && name_pattern.test(host) ? host : undefined;
}

/** Of what `readHost` gave. */
export const isAddress = (host: string): boolean => host.includes(':') || isIPv4(host);

export const writePlace = ({ host, port }: Place): string =>
  `${host.includes(':') ? `[${host}]` : host}:${String(port)}`;

/** How closely a target names a place: the longer the better, the whole name best; undefined where it does not. */
export function closeness({ host, port, below }: NamedHost, asked: Place): number | undefined {
  if (port !== asked.port) return undefined;
  if (!below) return host === asked.host ? Infinity : undefined;
  if (isAddress(asked.host)) return undefined;
  return host === '' || asked.host.endsWith(`.${host}`) ? host.length : undefined;
}
