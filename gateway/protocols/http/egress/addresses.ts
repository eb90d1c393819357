import { BlockList, isIPv4, isIPv6, type LookupFunction } from 'node:net';
import { ConfigError } from '../../../errors.js';
import { RequestRefusal } from '../../../web/index.js';
import { inTurn, type Resolve } from './resolving.js';

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
  const hidden = isIPv6(plain) ? inside(plain) : undefined;
  if (hidden !== undefined && has(neverList, hidden)) return 'never';
  if (has(reservedList, plain)) return 'private';
  return isIPv4(plain) || has(unicast, plain) ? 'public' : 'private';
}

/** An address of IPv4 that is written as one of IPv6 (mapped; by NAT64, RFC 6052) is what it is written of. */
function unwrapped(address: string): string | undefined {
  if (isIPv4(address)) return address;
  if (!isIPv6(address) || address.includes('%')) return undefined;
  const groups = groupsOf(address);
  const head = groups.slice(0, 6).join(':');
  return head === '0:0:0:0:0:ffff' || head === '64:ff9b:0:0:0:0' ? ofGroups(groups[6]!, groups[7]!) : address;
}

/**
 * The address of IPv4 that something on the way may take one of IPv6 for: 6to4 (RFC 3056), translators of a network's own (RFC 8215),
 * and forms that are out of use (RFC 4291, 2.5.5.1; RFC 2765). All these are private, and a good address inside makes them no better.
 */
function inside(address: string): string | undefined {
  const groups = groupsOf(address);
  if (groups[0] === '2002') return ofGroups(groups[1]!, groups[2]!);
  const translated = groups[0] === '64' && groups[1] === 'ff9b';
  const old = groups.slice(0, 4).every((group) => group === '0') && groups.slice(4).join(':') !== '0:0:0:1';
  return translated || old ? ofGroups(groups[6]!, groups[7]!) : undefined;
}

/** All eight, without zeros before them. */
function groupsOf(address: string): string[] {
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const before = head === '' ? [] : head.split(':');
  const behind = tail === undefined || tail === '' ? [] : tail.split(':');
  return [...before, ...Array<string>(8 - before.length - behind.length).fill('0'), ...behind];
}

const ofGroups = (high: string, low: string): string =>
  [high, low].flatMap((text) => [parseInt(text, 16) >> 8, parseInt(text, 16) & 0xff]).join('.');

/** Networks beside the internet that names of a target may lead to, as the configuration has them: "10.1.0.0/16". */
export function readNetworks(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of networks) {
    const [network = '', digits = ''] = text.split('/');
    const bits = Number(digits);
    const family = isIPv4(network) ? 'ipv4' : isIPv6(network) && !network.includes('%') ? 'ipv6' : undefined;
    if (family === undefined || !/^[0-9]{1,3}$/.test(digits) || bits > (family === 'ipv4' ? 32 : 128)) {
      throw new ConfigError(`egress.addresses: "${text}" is no network; write ADDRESS/BITS, as in 10.1.0.0/16`);
    }
    list.addSubnet(network, bits, family);
  }
  return list;
}

const names_ms_max = 10_000;

/** One queue for all tunnels. */
const names = inTurn();

/**
 * Resolves a name as `net.connect` and `tls.connect` ask for it; a refusal where one of its addresses is none that it may
 * lead to. Nothing is resolved again behind it.
 */
export function checkedLookup(networks: BlockList, resolve: Resolve = names): LookupFunction {
  return (hostname, { all, family }, callback) => {
    let over = false;
    let withdraw: () => void = () => undefined;
    const fail = (error: Error) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      withdraw();
      callback(error, '', 0);
    };
    const timer = setTimeout(() => fail(new Error('its name was not resolved in time')), names_ms_max);
    withdraw = resolve(hostname, family ?? 0, (error, addresses) => {
      if (error !== null) return fail(error);
      const [first] = addresses;
      if (over || first === undefined) return fail(new Error('its name has no address'));
      if (!addresses.every(({ address }) => permitted(address, networks))) return fail(leadsInside());
      over = true;
      clearTimeout(timer);
      if (all === true) callback(null, [...addresses]);
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
