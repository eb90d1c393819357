import { createPublicKey } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { base64url, CompactEncrypt, exportJWK, generateKeyPair, SignJWT } from 'jose';
import ssh2 from 'ssh2';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { caller } from '../support/https.js';
import { createIdentityProvider } from '../support/idp.js';
import { startRelay, type Witness } from '../support/relay.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';
import { startWebUpstream, type WebUpstream } from '../support/web.js';
import { WireClient } from '../support/wire.js';

/** One table of tokens that are none, over every listener: refused, and nothing of it reaches what is guarded. */

let folder: string;
let host: SshHost;
let web: WebUpstream;
let postgres: Witness;
let gateway: TestGateway;
let call: ReturnType<typeof caller>;
let sshPort: number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-forged-'));
  host = await startSshHost(folder, { runs: false });
  web = await startWebUpstream();
  // Nobody is to come as far as a Postgres: what it would have been sent is written down, and that is all.
  postgres = await startRelay(() => ({ host: '127.0.0.1', port: web.port }));
  gateway = await startTestGateway({
    policy: {
      'all.rego': 'package policy.all\n\nallow contains {"code": "everything"} if input.version == 1\n',
    },
    config: {
      listen: { postgres: '127.0.0.1:0', ssh: '127.0.0.1:0', https: '127.0.0.1:0' },
      targets: [
        {
          name: 'orders',
          protocol: 'postgres',
          upstream: { host: postgres.host, port: postgres.port, database: 'x', user: 'x', password: 'x' },
        },
        {
          name: 'build',
          protocol: 'ssh',
          upstream: {
            host: host.host,
            port: host.port,
            user: host.user,
            password: host.password,
            host_key: host.fingerprint,
          },
        },
        { name: 'shop', protocol: 'http', upstream: { url: `http://127.0.0.1:${String(web.port)}` } },
      ],
    },
  });
  const at = (name: string) => gateway.gateway.listeners.find(({ protocol }) => protocol === name)!.address;
  sshPort = at('ssh').port;
  call = caller({ ...at('https'), ca: await readFile(join(gateway.folder, '.sallyport', 'https.pem'), 'utf8') });
}, 60_000);
afterAll(async () => {
  await gateway?.close();
  await postgres?.close();
  await web?.close();
  await host?.close();
  await rm(folder, { recursive: true, force: true });
});

const json = (value: unknown) => base64url.encode(JSON.stringify(value));
const now_s = () => Math.floor(Date.now() / 1000);
const claims = (more: Record<string, unknown> = {}) => ({
  iss: gateway.idp.issuer,
  aud: gateway.idp.audience,
  sub: 'agent:test',
  iat: now_s(),
  exp: now_s() + 300,
  ...more,
});
/** With a key of our own, under the name of the provider's. */
async function ownKey(header: Record<string, unknown>, body: Record<string, unknown> = claims()): Promise<string> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = await exportJWK(publicKey);
  const { kid = '' } = gateway.idp.jwks.keys[0] ?? {};
  const filled = Object.fromEntries(
    Object.entries(header).map(([name, value]) => [name, value === 'own' ? jwk : value]),
  );
  return new SignJWT(body).setProtectedHeader({ alg: 'ES256', kid, ...filled }).sign(privateKey);
}
/** The provider's signature over other bytes than it is shown with. */
async function resealed(
  header: (text: string) => string,
  payload: (text: string) => string = (text) => text,
): Promise<string> {
  const [first = '', second = '', third = ''] = (await gateway.token()).split('.');
  const changed = (part: string, how: (text: string) => string) =>
    base64url.encode(how(Buffer.from(part, 'base64url').toString('utf8')));
  return `${changed(first, header)}.${changed(second, payload)}.${third}`;
}
const publicPem = () =>
  createPublicKey({ key: gateway.idp.jwks.keys[0] ?? {}, format: 'jwk' }).export({ type: 'spki', format: 'pem' });

test.each<[string, () => Promise<string>]>([
  ['expired', () => gateway.token({ issuedIn: -600, expiresIn: -1 })],
  ['not valid yet (nbf)', () => gateway.token({ notBeforeIn: 600 })],
  ['issued in the future', () => gateway.token({ issuedIn: 600, expiresIn: 900 })],
  ['for too long', () => gateway.token({ expiresIn: 7_200 })],
  ['without an end', () => gateway.token({ claims: { exp: undefined } })],
  ['without a subject', () => gateway.token({ claims: { sub: undefined } })],
  ['for another audience', () => gateway.token({ audience: 'payroll' })],
  ['for no audience', () => gateway.token({ claims: { aud: undefined } })],
  ['of another issuer', () => gateway.token({ issuer: 'https://evil.example' })],
  ["of the issuer's name with a slash behind it", () => gateway.token({ issuer: `${gateway.idp.issuer}/` })],
  ['bound to a key', () => gateway.token({ claims: { cnf: { jkt: 'x' } } })],
  ['alg none', async () => `${json({ alg: 'none' })}.${json(claims())}.`],
  ['alg nOnE, with the signature of another', async () => resealed((text) => text.replace('ES256', 'nOnE'))],
  [
    'HS256 with the public key as its secret',
    async () => new SignJWT(claims()).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(publicPem())),
  ],
  ['signed by another key under the same kid', () => ownKey({})],
  ['a kid that is a path', () => ownKey({ kid: '../../../../dev/null' })],
  ['a kid that is a query', () => ownKey({ kid: "x' union select 'key" })],
  ['a key in its header (jwk)', () => ownKey({ jwk: 'own', kid: undefined })],
  ['a place of keys in its header (jku)', () => ownKey({ jku: 'http://127.0.0.1:1/keys' })],
  ['a place of a certificate in its header (x5u)', () => ownKey({ x5u: 'http://127.0.0.1:1/cert' })],
  ['a certificate in its header (x5c)', () => ownKey({ x5c: ['MIIB'] })],
  ['an extension that is critical', async () => resealed((text) => text.replace('{', '{"crit":["x"],"x":1,'))],
  ['an unencoded payload (b64)', async () => resealed((text) => text.replace('{', '{"crit":["b64"],"b64":false,'))],
  [
    'a changed payload',
    async () =>
      resealed(
        (text) => text,
        (text) => text.replace('readonly', 'admin'),
      ),
  ],
  [
    'a subject twice',
    async () =>
      resealed(
        (text) => text,
        (text) => text.replace('{', '{"sub":"root",'),
      ),
  ],
  ['an algorithm twice', async () => resealed((text) => text.replace('{', '{"alg":"none",'))],
  ['a token in a token', async () => ownKey({ cty: 'JWT' }, { iss: gateway.idp.issuer, token: await gateway.token() })],
  [
    'encrypted',
    async () => {
      const { publicKey } = await generateKeyPair('RSA-OAEP-256');
      return new CompactEncrypt(Buffer.from(JSON.stringify(claims())))
        .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM' })
        .encrypt(publicKey);
    },
  ],
  ['an ID token of another sort', async () => resealed((text) => text.replace('at+jwt', 'logout+jwt'))],
  ['without its signature', async () => (await gateway.token()).replace(/[^.]*$/u, '')],
  ['two at once', async () => `${await gateway.token()}.${await gateway.token()}`],
  ['by another provider of that name', async () => (await createIdentityProvider()).issueToken()],
])('%s: refused by Postgres, HTTPS and SSH alike, before a byte of it goes on', async (_, forge) => {
  const token = await forge();
  const [wire, http, ssh] = await Promise.all([overPostgres(token), overHttps(token), overSsh(token)]);
  expect([wire, http, ssh]).toEqual(['28P01', '401', 'client-authentication']);
  expect([postgres.heard.length, web.heard.length, host.log.length]).toEqual([0, 0, 0]);
});

test('the same listeners let a good token through, so that what refuses is the token', async () => {
  const token = await gateway.token();
  expect(await overSsh(token)).toBe('let in');
  expect(await overPostgres(token)).not.toBe('28P01');
});

const overPostgres = (password: string): Promise<string> =>
  WireClient.open({ host: gateway.host, port: gateway.port, user: 'agent', database: 'orders', password }).then(
    (client) => {
      client.socket.destroy();
      return 'let in';
    },
    (error: { fields?: { C?: string } }) => error.fields?.C ?? 'no answer',
  );

/** Each as another client: whoever was refused often is slowed, whatever they bring. */
let askers = 1;
async function overHttps(token: string): Promise<string> {
  askers += 1;
  const headers = { authorization: `Bearer ${token}` };
  return String((await call('/http/shop/orders', { headers, localAddress: `127.0.0.${askers}` })).status);
}

function overSsh(password: string): Promise<string> {
  const client = new ssh2.Client();
  return new Promise<string>((resolve) => {
    client
      .on('ready', () => resolve('let in'))
      .on('error', (error: Error & { level?: string }) => resolve(error.level ?? error.message))
      .connect({ host: gateway.host, port: sshPort, username: 'build', password, readyTimeout: 60_000 });
  }).finally(() => client.destroy());
}
