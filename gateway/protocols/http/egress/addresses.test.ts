import type { lookup } from 'node:dns';
import { expect, test } from '@jest/globals';
import { ConfigError } from '../../../errors.js';
import { inTurn } from './resolving.js';
import { checkedLookup, permitted, reachOf, readNetworks } from './addresses.js';

test.each([
  ...['169.254.169.254', 'fd00:ec2::254', '::ffff:169.254.169.254', '::ffff:a9fe:a9fe', '64:ff9b::169.254.169.254'],
  ...['0.0.0.0', '::', 'fe80::1', 'fe80::1%eth0', '224.0.0.1', 'ff02::1', '255.255.255.255', '168.63.129.16'],
  ...['100.100.100.200', 'nonsense', '2130706433', ''],
  // By ways from IPv6 to IPv4 that a network may still have.
  ...['2002:a9fe:a9fe::', '2002:a9fe:a9fe::1', '64:ff9b:1::169.254.169.254', '::169.254.169.254', '::ffff:0:a9fe:a9fe'],
  ...['64:ff9b::', '64:ff9b:1::'],
])('nobody is let to %s', (address) => {
  expect(reachOf(address)).toBe('never');
  expect(permitted(address, readNetworks(['0.0.0.0/0', '::/0']))).toBe(false);
});

test.each([
  ...['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '::127.0.0.1', '64:ff9b::7f00:1'],
  ...[
    '10.0.0.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '100.64.0.1',
    'fd12::1',
    '2002:7f00:1::',
    '64:ff9b:1::10.0.0.1',
    '2002:101:101::',
    '2001:db8::1',
  ],
  ...['192.0.2.1', '198.18.0.1', '203.0.113.9', '2001::1'],
])('%s is not on the internet', (address) => {
  expect(reachOf(address)).toBe('private');
  expect(permitted(address, readNetworks([]))).toBe(false);
});

test.each(['1.1.1.1', '172.32.0.1', '2606:4700::1111', '::ffff:1.1.1.1', '64:ff9b::101:101'])('%s is', (address) => {
  expect(reachOf(address)).toBe('public');
});

test('a network that is named is let to, however its addresses are written', () => {
  const networks = readNetworks(['10.1.0.0/16']);
  expect(permitted('10.1.2.3', networks)).toBe(true);
  expect(permitted('::ffff:10.1.2.3', networks)).toBe(true);
  expect(permitted('10.2.0.1', networks)).toBe(false);
  for (const text of ['10.0.0.0', '10.0.0.0/33', 'all/8', '10.0.0.0/-1', '::/129', 'fe80::1%eth0/64'])
    expect(() => readNetworks([text])).toThrow(ConfigError);
});

/** What a name resolves to, each time anew. */
const answering = (...answers: string[][]): typeof lookup =>
  ((_name: string, _options: object, done: (error: null, addresses: { address: string; family: number }[]) => void) =>
    done(
      null,
      (answers.shift() ?? []).map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    )) as unknown as typeof lookup;

const resolved = (resolve: typeof lookup) =>
  new Promise<unknown>((done) =>
    checkedLookup(readNetworks([]), inTurn(resolve))('rebinding.example', { all: true }, (error, addresses) =>
      done(error === null ? addresses : error.message),
    ),
  );

test('a name is resolved once, and what was looked at is what is connected to', async () => {
  const resolve = answering(['1.1.1.1'], ['127.0.0.1']);
  expect(await resolved(resolve)).toEqual([{ address: '1.1.1.1', family: 4 }]);
  expect(await resolved(resolve)).toMatch(/not on the internet/);
});

test('one address inside among those outside refuses the name', async () => {
  expect(await resolved(answering(['1.1.1.1', '::ffff:127.0.0.1']))).toMatch(/not on the internet/);
  expect(await resolved(answering([]))).toMatch(/no address/);
});
