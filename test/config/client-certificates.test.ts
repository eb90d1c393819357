import { expect, test } from '@jest/globals';
import { createAuthority } from '../support/certificates.js';
import { load, parts, problems } from './support.js';

/** Listeners that ask for certificates, and whom those name. */

const { policy, targets } = parts;
const authority = createAuthority();
const server = authority.issue();
const files = {
  ...{
    c: server.certificate,
    k: server.key,
    ca: authority.certificate,
    both: authority.certificate + server.certificate,
  },
  ...{ text: 'no certificate', broken: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' },
};
const listen = (file: string) =>
  `listen: {postgres: {address: "127.0.0.1:1", tls: {certificate: {file: c}, key: {file: k}, client_authorities: {file: ${file}}}}}\n`;
const mtls = `${parts.identity}  mtls: {trust_domain: example.org, groups: [workloads]}\n`;

test('a listener asks for certificates of the authorities in a file', async () => {
  const { listen: listeners, identity } = await load(listen('ca') + mtls + policy + targets, { files });
  expect(listeners.get('postgres')?.tls?.clientAuthorities).toBe(authority.certificate);
  expect(identity.mtls).toEqual({
    ...{ trustDomain: 'example.org', groups: ['workloads'], roles: [], kindDefault: 'service' },
    certificateLifetimeMax_ms: 86_400_000,
  });
});

test.each([
  ['missing', /client_authorities\.file: /u],
  ['text', /client_authorities\.file: .*no certificate in PEM form/u],
  ['broken', /client_authorities\.file: its certificate 1 cannot be read/u],
  ['both', /client_authorities\.file: its certificate 2 is not one of an authority/u],
])('authorities in a file that is "%s" stop the start', async (file, why) => {
  expect((await problems(listen(file) + mtls + policy + targets, { files })).join('\n')).toMatch(why);
});

test('a trust domain without a listener that asks is a mistake', async () => {
  expect((await problems(parts.listen + mtls + policy + targets)).join('\n')).toMatch(
    /identity\.mtls: no listener asks for certificates/u,
  );
});

test.each(['spiffe://example.org', 'Example.org', ''])('"%s" is no trust domain', async (domain) => {
  const identity = mtls.replace('example.org,', `"${domain}",`);
  expect((await problems(listen('ca') + identity + policy + targets, { files })).join('\n')).toMatch(
    /identity\.mtls\.trust_domain: /u,
  );
});
