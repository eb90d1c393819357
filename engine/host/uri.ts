import { isIP } from 'node:net';
import { ofStrings, type Table } from './builtin.js';

/**
 * Addresses of resources, read as Go's net/url does: what a policy compares must not be read in two ways.
 *
 * @see RFC 3986, RFC 6874 (zones of IPv6)
 */

interface Uri {
  scheme: string;
  host: string;
  path: string;
  rawPath: string;
  rawQuery: string;
  fragment: string;
}

const percent = /%[0-9a-fA-F]{2}/g;

/** Undefined where a percent sign has no two digits behind it. Bytes that are no UTF-8 become U+FFFD. */
function unescape(text: string): string | undefined {
  if (text.replace(percent, '').includes('%')) return undefined;
  const bytes = text
    .split(/(%[0-9a-fA-F]{2})/)
    .map((part) => (/^%../.test(part) ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part)));
  return Buffer.concat(bytes).toString('utf8');
}

const escapePath = (path: string): string =>
  [...Buffer.from(path)].map((byte) => {
    const one = String.fromCharCode(byte);
    return /[A-Za-z0-9\-_.~$&+,/:;=@]/.test(one) ? one : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }).join(''); // prettier-ignore

/** In a host, only bytes beyond ASCII may be escaped; and few signs may stand there bare. */
function unescapeHost(text: string): string | undefined {
  const bare = text.replace(percent, '');
  if (/[^A-Za-z0-9\-_.~!$&'()*+,;=:[\]<>"\u0080-\u{10ffff}]/u.test(bare)) return undefined;
  if (/%[0-7]/.test(text.replaceAll('%25', ''))) return undefined;
  return unescape(text);
}

const port = /^(?::[0-9]*)?$/;

function parseHost(scheme: string, host: string): string | undefined {
  const open = host.lastIndexOf('[');
  if (open > 0) return undefined;
  if (open === 0) return parseLiteral(host);
  const [first, last] = [host.indexOf(':'), host.lastIndexOf(':')];
  if (first >= 0) {
    const strict = scheme === 'http' || scheme === 'https';
    if (!port.test(host.slice(strict ? first : last))) return undefined;
  }
  return unescapeHost(host);
}

function parseLiteral(host: string): string | undefined {
  const close = host.lastIndexOf(']');
  const colonPort = host.slice(close + 1);
  if (close < 0 || !port.test(colonPort)) return undefined;
  const name = host.slice(1, close);
  const zone = name.indexOf('%25');
  const [address, zoneName] =
    zone < 0 ? [unescapeHost(name), ''] : [unescapeHost(name.slice(0, zone)), unescapeZone(name.slice(zone))];
  if (address === undefined || zoneName === undefined || zoneName === '%' || isIP(address) !== 6) return undefined;
  return `[${address}${zoneName}]${colonPort}`;
}

function unescapeZone(text: string): string | undefined {
  const bare = text.replace(percent, '');
  const plain = unescape(text);
  if (plain === undefined || /[^A-Za-z0-9\-_.~!$&'()*+,;=:[\]<>"\u0080-\u{10ffff}]/u.test(bare)) return undefined;
  return /[^A-Za-z0-9\-_.~!$&'()*+,;=:[\]<>" %\u0080-\u{10ffff}]/u.test(plain) ? undefined : plain;
}

function parseAuthority(scheme: string, authority: string): string | undefined {
  const at = authority.lastIndexOf('@');
  const user = authority.slice(0, Math.max(at, 0));
  if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(user) || unescape(user) === undefined) return undefined;
  return parseHost(scheme, authority.slice(at + 1));
}

function parse(text: string): Uri | undefined {
  const hash = text.indexOf('#');
  const uri = withoutFragment(hash < 0 ? text : text.slice(0, hash));
  const fragment = unescape(hash < 0 ? '' : text.slice(hash + 1));
  return uri === undefined || fragment === undefined ? undefined : { ...uri, fragment };
}

function withoutFragment(text: string): Uri | undefined {
  if (/[\u0000-\u001f\u007f]/.test(text)) return undefined;
  const uri: Uri = { scheme: '', host: '', path: '', rawPath: '', rawQuery: '', fragment: '' };
  if (text === '*') return { ...uri, path: '*' };
  if (text.startsWith(':')) return undefined;
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1];
  uri.scheme = scheme?.toLowerCase() ?? '';
  const afterScheme = scheme === undefined ? text : text.slice(scheme.length + 1);
  const mark = afterScheme.indexOf('?');
  let rest = mark < 0 ? afterScheme : afterScheme.slice(0, mark);
  uri.rawQuery = mark < 0 ? '' : afterScheme.slice(mark + 1);
  if (!rest.startsWith('/')) {
    // "mailto:ada@example.com": nothing further is known of it.
    if (scheme !== undefined) return uri;
    if (rest.split('/', 1)[0]!.includes(':')) return undefined;
  }
  if (rest.startsWith('//') && (scheme !== undefined || !rest.startsWith('///'))) {
    const end = rest.indexOf('/', 2);
    const host = parseAuthority(uri.scheme, rest.slice(2, end < 0 ? undefined : end));
    if (host === undefined) return undefined;
    uri.host = host;
    rest = end < 0 ? '' : rest.slice(end);
  }
  const path = unescape(rest);
  if (path === undefined) return undefined;
  return { ...uri, path, rawPath: escapePath(path) === rest ? '' : rest };
}

function hostAndPort(host: string): [string, string] {
  const colon = host.lastIndexOf(':');
  const split = colon >= 0 && port.test(host.slice(colon));
  const name = split ? host.slice(0, colon) : host;
  return [name.startsWith('[') && name.endsWith(']') ? name.slice(1, -1) : name, split ? host.slice(colon + 1) : ''];
}

function parts(text: string): Record<string, string> | undefined {
  const uri = parse(text);
  if (uri === undefined) return undefined;
  const [hostname, portText] = hostAndPort(uri.host);
  const found = {
    scheme: uri.scheme,
    hostname,
    port: portText,
    path: uri.path,
    raw_path: uri.rawPath || uri.path,
    raw_query: uri.rawQuery,
    fragment: uri.fragment,
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== ''));
}

export const uri: Table = {
  'uri.is_valid': ([text]) => typeof text === 'string' && text !== '' && parse(text) !== undefined,
  'uri.parse': ofStrings((text) => parts(text)),
};
