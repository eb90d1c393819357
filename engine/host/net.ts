import { isIP } from 'node:net';
import { writeTerm, type Term } from '../regotext.js';
import { ofStrings, RegoText, setOf, stepFuel, type Call, type Table, type Value } from './builtin.js';

const isIPv4 = (text: string): boolean => isIP(text) === 4;
const isIPv6 = (text: string): boolean => isIP(text) === 6;

/** Networks in CIDR notation (RFC 4632, RFC 4291), as Go's net.ParseCIDR reads them. */
interface Network {
  /** Of the first address. */
  readonly first: bigint;
  readonly bits: 32 | 128;
  readonly prefix: number;
  /** How it is written where it stays as it is: an address without a prefix keeps its host part. */
  readonly shown?: string;
}

/** Expanding a network beyond this many addresses is refused: a decision that denies, not an answer. */
const addresses_max = 65_536;

function parseAddress(text: string): { readonly value: bigint; readonly bits: 32 | 128 } | undefined {
  if (isIPv4(text)) return { value: v4Value(text), bits: 32 };
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const value = v6Value(text);
  // Go reads ::ffff:1.2.3.4 as the IPv4 address that it stands for.
  return value >> 32n === 0xffffn ? { value: value & 0xffff_ffffn, bits: 32 } : { value, bits: 128 };
}

const v4Value = (text: string): bigint => text.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);

function v6Value(text: string): bigint {
  const plain = text.replace(/\d+\.\d+\.\d+\.\d+$/, (v4) => {
    const value = v4Value(v4);
    return `${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
  });
  const [head = '', tail] = plain.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  return groups.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
}

function parseNetwork(text: string): Network | undefined {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const prefix = Number(match?.[2]);
  const written = match?.[1] ?? '';
  if (isIPv4(written) && prefix <= 32) return network(v4Value(written), 32, prefix);
  if (!isIPv6(written) || written.includes('%') || prefix > 128) return undefined;
  return network(v6Value(written), 128, prefix);
}

function network(address: bigint, bits: 32 | 128, prefix: number): Network {
  const host = BigInt(bits - prefix);
  return { first: (address >> host) << host, bits, prefix };
}

const lastOf = ({ first, bits, prefix }: Network): bigint => first | ((1n << BigInt(bits - prefix)) - 1n);

function addressText(value: bigint, bits: 32 | 128): string {
  if (bits === 32) return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 0xffn)).join('.');
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16));
  // RFC 5952: the first longest run of two or more zero groups is "::".
  let [start, length] = [-1, 1];
  for (let at = 0; at < 8; at++) {
    let end = at;
    while (groups[end] === '0') end++;
    if (end - at > length) [start, length] = [at, end - at];
  }
  if (start < 0) return groups.join(':');
  return `${groups.slice(0, start).join(':')}::${groups.slice(start + length).join(':')}`;
}

const networkText = ({ first, bits, prefix, shown }: Network): string =>
  shown ?? `${addressText(first, bits)}/${String(prefix)}`;

function contains(outer: string, inner: string): boolean | undefined {
  const whole = parseNetwork(outer);
  const address = parseAddress(inner);
  const part = address === undefined ? parseNetwork(inner) : network(address.value, address.bits, address.bits);
  if (whole === undefined || part === undefined) return undefined;
  return whole.bits === part.bits && whole.first <= part.first && lastOf(part) <= lastOf(whole);
}

/** Each network of an operand, with what it is called in the answer: itself, its index, or its key. */
function named(term: Term): [string, Term][] | undefined {
  const entries: [Term, Term][] =
    term.kind === 'array'
      ? term.elements.map((element, index) => [element, { kind: 'scalar', text: String(index) }])
      : term.kind === 'set'
        ? term.elements.map((element) => [element, element])
        : term.kind === 'object'
          ? term.entries.map(([key, value]) => [value, key])
          : [[term, term]];
  const read = entries.map(([element, name]) => {
    const written = element.kind === 'array' ? element.elements[0] : element;
    return written?.kind === 'string' ? ([written.value, name] satisfies [string, Term]) : undefined;
  });
  return read.every((one) => one !== undefined) ? read : undefined;
}

function containsMatches(call: Call): RegoText | undefined {
  const [outer, inner] = [named(call.term(0)), named(call.term(1))];
  if (outer === undefined || inner === undefined) return undefined;
  call.charge(outer.length * inner.length * stepFuel * 10);
  const pairs: RegoText[] = [];
  for (const [whole, wholeName] of outer) {
    for (const [part, partName] of inner) {
      const found = contains(whole, part);
      if (found === undefined) return undefined;
      if (found) pairs.push(new RegoText(`[${writeTerm(wholeName)},${writeTerm(partName)}]`));
    }
  }
  return setOf(pairs);
}

function expand(text: string, call: Call): Value | undefined {
  const range = parseNetwork(text);
  if (range === undefined) return undefined;
  const count = lastOf(range) - range.first + 1n;
  if (count > addresses_max) throw new RangeError(`net.cidr_expand of ${text} would make ${String(count)} addresses`);
  call.charge(Number(count) * stepFuel * 10);
  return setOf(
    Array.from({ length: Number(count) }, (_, index) => addressText(range.first + BigInt(index), range.bits)),
  );
}

/** An address without a prefix has that of its class, as before 1993: so does OPA. */
function mergeable(text: string): Network | undefined {
  const address = parseAddress(text);
  if (address === undefined) return parseNetwork(text);
  if (address.bits !== 32) return undefined;
  const top = address.value >> 24n;
  const prefix = top < 128n ? 8 : top < 192n ? 16 : top < 224n ? 24 : 32;
  return { ...network(address.value, 32, prefix), shown: `${addressText(address.value, 32)}/${String(prefix)}` };
}

/** The fewest networks that cover the same addresses. */
function merge(networks: readonly Network[]): Network[] {
  const merged: Network[] = [];
  for (const bits of [32, 128] as const) {
    const ranges = networks
      .filter((one) => one.bits === bits)
      .map((one) => ({ first: one.first, last: lastOf(one), alone: one }))
      .sort((left, right) => (left.first < right.first ? -1 : left.first > right.first ? 1 : 0));
    let open: { first: bigint; last: bigint; alone: Network | undefined } | undefined;
    for (const range of ranges) {
      if (open !== undefined && range.first <= open.last + 1n) {
        open = { first: open.first, last: range.last > open.last ? range.last : open.last, alone: undefined };
        continue;
      }
      if (open !== undefined) merged.push(...(open.alone === undefined ? cover(open, bits) : [open.alone]));
      open = range;
    }
    if (open !== undefined) merged.push(...(open.alone === undefined ? cover(open, bits) : [open.alone]));
  }
  return merged;
}

function cover(range: { readonly first: bigint; readonly last: bigint }, bits: 32 | 128): Network[] {
  const networks: Network[] = [];
  for (let first = range.first; first <= range.last;) {
    let prefix = bits as number;
    // As wide as the first address allows, and no wider than to the last.
    while (prefix > 0) {
      const wider = network(first, bits, prefix - 1);
      if (wider.first !== first || lastOf(wider) > range.last) break;
      prefix--;
    }
    networks.push(network(first, bits, prefix));
    first = lastOf(networks.at(-1)!) + 1n;
  }
  return networks;
}

export const net: Table = {
  'net.cidr_contains_matches': (_values, call) => containsMatches(call),
  'net.cidr_expand': (values, call) => ofStrings((text) => expand(text, call))(values, call),
  'net.cidr_is_valid': ([text]) => typeof text === 'string' && parseNetwork(text) !== undefined,
  'net.cidr_merge': ([value], call) => {
    if (!Array.isArray(value)) return undefined;
    call.charge(value.length * stepFuel * 10);
    const networks = value.map((one) => (typeof one === 'string' ? mergeable(one) : undefined));
    return networks.every((one) => one !== undefined) ? setOf(merge(networks).map(networkText)) : undefined;
  },
};
