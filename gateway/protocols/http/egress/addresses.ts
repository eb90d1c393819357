import { lookup } from 'node:dns';
import { BlockList, isIPv4, isIPv6, type LookupFunction } from 'node:net';
import { ConfigError } from '../../../errors.js';
import { RequestRefusal } from '../../../web/index.js';

/**
 * Where a name may lead. Whoever owns a name says what it resolves to, so what it resolves to is looked at, and the
 * connection goes to the very address that was looked at.
 */
export type Reach = 'public' | 'private' | 'never';

type Networks = readonly (readonly [network: string, bits: number])[];

/** Of one link, of nobody, of many; and where clouds hand out credentials to whoever asks from inside. */
const never: Networks = [
  ['0.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  ['100.100.100.200', 32],
  ['168.63.129.16', 32],
  ['192.0.0.192', 32],
  ['::', 128],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
  ['fd00:ec2::', 32],
  ['fd20:ce::', 32],
];

/** Not on the internet: the IANA's special-purpose registries (RFC 6890), and ways from IPv6 to IPv4. */
const reserved: Networks = [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
];

const neverList = listOf(never);
const reservedList = listOf(reserved);
/** All of IPv6 that is given to anybody (RFC 4291, 2.4). */
const unicast = listOf([['2000::', 3]]);

function listOf(networks: Networks): BlockList {
  const list = new BlockList();
  for (const [network, bits] of networks) list.addSubnet(network, bits, isIPv4(network) ? 'ipv4' : 'ipv6');
  return list;
}

const has = (list: BlockList, address: string) => list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');

/** @param address In any form that `net.isIP` takes; anything else is "never". */
export function reachOf(address: string): Reach {
  const plain = unwrapped(address);
  if (plain === undefined || has(neverList, plain)) return 'never';
  if (has(reservedList, plain)) return 'private';
  return isIPv4(plain) || has(unicast, plain) ? 'public' : 'private';
}

/** An address of IPv4 that is written as one of IPv6 (mapped; by NAT64, RFC 6052) is what it is written of. */
function unwrapped(address: string): string | undefined {
  if (isIPv4(address)) return address;
  if (!isIPv6(address) || address.includes('%')) return undefined;
  const short = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [, high, low] = /^(?:::ffff:|64:ff9b::)(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,4})$/.exec(short) ?? [];
  if (low === undefined) return short;
  const bits = [high ?? '0', low].map((text) => parseInt(text, 16));
  return bits.flatMap((pair) => [pair >> 8, pair & 0xff]).join('.');
}

/** Networks beside the internet that names of a target may lead to, as the configuration has them: "10.1.0.0/16". */
export function readNetworks(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of networks) {
    const [network = '', digits = ''] = text.split('/');
    const bits = Number(digits);
    const family = isIPv4(network) ? 'ipv4' : isIPv6(network) ? 'ipv6' : undefined;
    if (family === undefined || !/^[0-9]{1,3}$/.test(digits) || bits > (family === 'ipv4' ? 32 : 128)) {
      throw new ConfigError(`egress.addresses: "${text}" is no network; write ADDRESS/BITS, as in 10.1.0.0/16`);
    }
    list.addSubnet(network, bits, family);
  }
  return list;
}

const names_ms_max = 10_000;

/**
 * Resolves a name as `net.connect` and `tls.connect` ask for it; a refusal where one of its addresses is none that it may
 * lead to. Nothing is resolved again behind it.
 */
export function checkedLookup(networks: BlockList, resolve: typeof lookup = lookup): LookupFunction {
  return (hostname, { all, family }, callback) => {
    let over = false;
    const fail = (error: Error) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      callback(error, '', 0);
    };
    const timer = setTimeout(() => fail(new Error('its name was not resolved in time')), names_ms_max);
    resolve(hostname, { all: true, family: family ?? 0 }, (error, addresses) => {
      if (error !== null) return fail(error);
      const [first] = addresses;
      if (over || first === undefined) return fail(new Error('its name has no address'));
      if (!addresses.every(({ address }) => permitted(address, networks))) return fail(leadsInside());
      over = true;
      clearTimeout(timer);
      if (all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

export function permitted(address: string, networks: BlockList): boolean {
  const reach = reachOf(address);
  return reach === 'public' || (reach === 'private' && has(networks, unwrapped(address) ?? address));
}

const leadsInside = () =>
  new RequestRefusal(
    403,
    'address_refused',
    'the name leads to an address that is not on the internet; egress.addresses of the target can name its network',
  );
