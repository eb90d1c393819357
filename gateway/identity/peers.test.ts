import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { createAuthority, type LeafOptions } from '../../test/support/certificates.js';
import type { MtlsConfig } from '../config/index.js';
import { IdentityError } from '../errors.js';
import { openPeers, spiffeIdOf } from './peers.js';

const clients = createAuthority('Clients');
const uri = 'spiffe://example.org/agent/billing';
const mtls: MtlsConfig = {
  trustDomain: 'example.org',
  groups: ['workloads'],
  roles: ['reader'],
  kindDefault: 'service',
  certificateLifetimeMax_ms: 86_400_000,
};
const hour_days = 1 / 24;

const der = (names: readonly string[] = [uri], options: LeafOptions = {}): Buffer =>
  new X509Certificate(
    clients.issue({ client: true, validFrom_days: 0, validTo_days: hour_days, names, ...options }).certificate,
  ).raw;
const reasonOf = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => 'let in',
    (error: unknown) => (error instanceof IdentityError ? `${error.reason}: ${error.message}` : String(error)),
  );

describe('a certificate', () => {
  test('is a principal of its trust domain, until it ends', async () => {
    const certificate = der();
    const { principal, expires_ms } = await openPeers({ mtls, now: Date.now }).identify({ der: certificate });
    expect(principal).toEqual({
      ...{ subject: uri, issuer: 'spiffe://example.org', kind: 'service', attributes: {} },
      ...{ groups: ['workloads'], roles: ['reader'] },
      token: {
        id: openPeers({ mtls, now: Date.now }).check({ der: certificate }).thumbprint,
        issued: expect.any(String),
        expires: new Date(expires_ms).toISOString(),
      },
    });
    expect(expires_ms).toBe(Date.parse(new X509Certificate(certificate).validTo));
  });

  test('is looked at again with every sign-in, however long its connection is open', async () => {
    let now_ms = Date.now();
    const peers = openPeers({ mtls, now: () => now_ms });
    const shown = { der: der() };
    expect(await reasonOf(peers.identify(shown))).toBe('let in');
    now_ms += 3_600_001;
    expect(await reasonOf(peers.identify(shown))).toMatch(/^certificate: .*expired/u);
    expect(() => peers.check(shown)).toThrow('expired');
    now_ms -= 7_200_000;
    expect(() => peers.check(shown)).toThrow('not good yet');
  });

  test('is nothing where OpenSSL had something against it', async () => {
    const peers = openPeers({ mtls, now: Date.now });
    const shown = { der: der(), problem: 'SELF_SIGNED' };
    expect(await reasonOf(peers.identify(shown))).toMatch(/^certificate: .*SELF_SIGNED/u);
    expect(() => peers.check(shown)).toThrow('SELF_SIGNED');
  });

  test('of an authority is nobody that connects', async () => {
    const own = new X509Certificate(clients.certificate).raw;
    expect(await reasonOf(openPeers({ mtls, now: Date.now }).identify({ der: own }))).toContain('authority');
  });

  test('names nobody where no trust domain is configured, and is good for tokens that are bound to it', async () => {
    const peers = openPeers({ mtls: undefined, now: Date.now });
    expect(await reasonOf(peers.identify({ der: der() }))).toContain('names nobody here');
    expect(peers.check({ der: der() }).thumbprint).toMatch(/^[\w-]{43}$/u);
  });
});

test.each([`URI:${uri}`, `DNS:a.example, URI:${uri}, DNS:b.example`, `IP Address:127.0.0.1, URI:${uri}`])(
  'the one URI of "%s" is read',
  (given) => {
    expect(spiffeIdOf(given, 'example.org')).toBe(uri);
  },
);

test.each([
  ['nothing', undefined],
  ['no URI', 'DNS:example.org'],
  ['two', `URI:${uri}, URI:${uri}`],
  ['what Node had to quote', `URI:"${uri}"`],
  ['what only looks like a second name', `DNS:a, b, URI:${uri}`],
  ['another scheme', 'URI:https://example.org/agent'],
  ['another domain', 'URI:spiffe://example.com/agent'],
  ['a domain within', 'URI:spiffe://a.example.org/agent'],
  ['a port', 'URI:spiffe://example.org:443/agent'],
  ['somebody before the domain', 'URI:spiffe://me@example.org/agent'],
  ['the domain alone', 'URI:spiffe://example.org'],
  ['an empty name', 'URI:spiffe://example.org/'],
  ['an empty segment', 'URI:spiffe://example.org/agent//billing'],
  ['a query', 'URI:spiffe://example.org/agent?x'],
  ['an escape', 'URI:spiffe://example.org/agent%2fbilling'],
  ['a way upwards', 'URI:spiffe://example.org/../agent'],
  ['too long a name', `URI:spiffe://example.org/${'a'.repeat(256)}`],
])('%s is no name', (_, given) => {
  expect(() => spiffeIdOf(given, 'example.org')).toThrow(IdentityError);
});
