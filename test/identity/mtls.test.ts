import { createHash, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type SecureVersion, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Identity } from '../../gateway/protocol.js';
import { createAuthority, type Certificate, type LeafOptions } from '../support/certificates.js';
import { until } from '../support/approvals-side.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { caller, type Send } from '../support/https.js';
import type { TokenOptions } from '../support/idp.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { startRelay, type Witness } from '../support/relay.js';
import { startWebUpstream, type WebUpstream } from '../support/web.js';
import { rows, WireClient, type WireError } from '../support/wire.js';

/** Clients with certificates, at a whole gateway: over HTTPS, and with Postgres. */

const billing = 'spiffe://example.org/agent/billing';
const servers = createAuthority('Servers');
const server = servers.issue();
const clients = createAuthority('Clients');
const others = createAuthority('Others');
/** For an hour, as those that platforms give to workloads. */
const leaf = (names: readonly string[], options: LeafOptions = {}, by = clients): Certificate =>
  by.issue({ client: true, validFrom_days: -1 / 48, validTo_days: 1 / 48, names, ...options });
const good = leaf([billing, 'billing.example.org']);
const another = leaf(['spiffe://example.org/agent/other']);

const bad: readonly (readonly [string, Certificate])[] = [
  ['of another authority', leaf([billing], {}, others)],
  ['that is over', leaf([billing], { validFrom_days: -1, validTo_days: -1 / 24 })],
  ['that is not good yet', leaf([billing], { validFrom_days: 1 / 24, validTo_days: 1 / 12 })],
  ['for servers', leaf([billing], { client: false })],
  ['with a common name alone', leaf([])],
  ['with a host name alone', leaf(['billing.example.org'])],
  ['with two URIs', leaf([billing, 'spiffe://example.org/agent/other'])],
  ['of another trust domain', leaf(['spiffe://example.com/agent/billing'])],
  ['of a trust domain that only begins so', leaf(['spiffe://example.org.evil/agent/billing'])],
  ['with a way upwards in its name', leaf(['spiffe://example.org/agent/../billing'])],
  ['with a comma in its name', leaf([`${billing},URI:x`])],
  ['with a NUL in its name', leaf([`${billing}\0`])],
  ['with a line break in its name', leaf([`${billing}\nURI:x`])],
  ['with a second name inside of its first', leaf([`https://x, URI:${billing}`])],
  ['with a longer life than is let', leaf([billing], { validTo_days: 2 })],
];

/** Nobody but these two, and the first only as what the configuration makes of it. */
const rules = `
allow contains {"code": "certificate"} if {
	input.principal.subject == "${billing}"
	input.principal.issuer == "spiffe://example.org"
	input.principal.kind == "agent"
	"workloads" in input.principal.groups
	"billing" in input.principal.groups
	input.principal.purpose == "invoices"
}

allow contains {"code": "token"} if "agents" in input.principal.groups
`;

let folder: string;
let database: TestDatabase;
let orders: Witness;
let cloud: WebUpstream;
let gateway: TestGateway;
let port: number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-mtls-'));
  const at = (name: string) => ({ file: join(folder, name) });
  await writeFile(join(folder, 'clients.pem'), clients.certificate);
  await writeFile(join(folder, 'server.pem'), server.certificate);
  await writeFile(join(folder, 'server.key'), server.key, { mode: 0o600 });
  await writeFile(join(folder, 'groups.yaml'), `groups: [{displayName: billing, members: ["${billing}"]}]`);
  database = await createDatabase();
  orders = await startRelay(() => database);
  cloud = await startWebUpstream();
  const tls = { certificate: at('server.pem'), key: at('server.key'), client_authorities: at('clients.pem') };
  gateway = await startTestGateway({
    policy: { 'postgres.rego': `package policy.postgres\n${rules}`, 'http.rego': `package policy.http\n${rules}` },
    config: {
      listen: { postgres: { address: '127.0.0.1:0', tls }, https: { address: '127.0.0.1:0', tls } },
      identity: {
        providers: [
          {
            name: 'tests',
            type: 'oidc',
            issuer: 'https://idp.example',
            audience: 'sallyport',
            jwks: { file: './jwks.json' },
          },
        ],
        mtls: {
          trust_domain: 'example.org',
          groups: ['workloads'],
          purpose: 'invoices',
          kind_default: 'agent',
          directory: at('groups.yaml'),
          certificate_lifetime_max: '24h',
        },
      },
      targets: [
        {
          name: 'orders',
          protocol: 'postgres',
          upstream: {
            ...{ host: orders.host, port: orders.port, database: database.database },
            ...{ user: database.user, password: database.password, tls: 'disable' },
          },
        },
        { name: 'cloud', protocol: 'http', upstream: { url: `http://127.0.0.1:${String(cloud.port)}` } },
      ],
    },
  });
  port = gateway.gateway.listeners.find(({ protocol }) => protocol === 'https')!.address.port;
}, 90_000);
afterAll(async () => {
  await gateway?.close();
  await cloud?.close();
  await orders?.close();
  await database?.drop();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  cloud.heard.length = 0;
});

const thumbprint = ({ certificate }: Certificate) =>
  createHash('sha256').update(new X509Certificate(certificate).raw).digest('base64url');
const boundTo = (certificate: Certificate, cnf = {}): TokenOptions => ({
  claims: { cnf: { 'x5t#S256': thumbprint(certificate), ...cnf } },
});

async function get(certificate: Certificate | undefined, token?: TokenOptions, headers: Send['headers'] = {}) {
  const shown = certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.key };
  const call = caller({ host: '127.0.0.1', port, ca: servers.certificate, ...shown });
  const authorization = token === undefined ? {} : { authorization: `Bearer ${await gateway.token(token)}` };
  const answer = await call('/http/cloud/invoices', { headers: { ...authorization, ...headers } });
  return { status: answer.status, code: answer.status === 200 ? 'let in' : answer.json<{ code: string }>().code };
}

const administrator: Identity = {
  principal: {
    ...{
      subject: 'ada@example.com',
      issuer: 'https://idp.example',
      kind: 'human',
      attributes: {},
      token: { expires: '2030-01-01T00:00:00Z' },
    },
    ...{ groups: [], roles: [] },
  },
  expires_ms: Number.MAX_SAFE_INTEGER,
};
const letIn = { status: 200, code: 'let in' };
const refused = (code: string) => ({ status: 401, code });

describe('over HTTPS', () => {
  test('a certificate alone is whom its URI names, with what the configuration and the directory say', async () => {
    expect(await get(good)).toEqual(letIn);
    expect(cloud.heard).toHaveLength(1);
    expect(JSON.stringify(cloud.heard[0]?.raw)).not.toContain('certificate');
  });

  test.each(bad)('one %s is refused before anything goes to the target', async (_, certificate) => {
    expect(await get(certificate)).toEqual(refused('certificate'));
    // A token beside it does not help.
    expect(await get(certificate, { subject: billing })).toEqual(refused('certificate'));
    expect(cloud.heard).toEqual([]);
  });

  test('what is refused is in the audit', async () => {
    await get(leaf([]));
    const entries = async () => (await gateway.records()).filter(({ kind }) => kind === 'sign_in_refused');
    await until(async () => JSON.stringify(await entries()).includes('a common name is none'));
    expect(await entries()).toContainEqual(expect.objectContaining({ reason: 'certificate' }));
  });

  test('without one, a token is good as ever', async () => {
    expect(await get(undefined, {})).toEqual(letIn);
    expect(await get(undefined)).toEqual(refused('no_token'));
  });

  test('a certificate and a token have to be of one', async () => {
    expect(await get(good, { subject: billing })).toEqual(letIn);
    expect(await get(good, { subject: 'agent:other' })).toEqual(refused('certificate'));
    expect(await get(another, { subject: billing })).toEqual(refused('certificate'));
  });

  test('a token that is bound to a certificate is good with that alone (RFC 8705)', async () => {
    expect(await get(good, boundTo(good))).toEqual(letIn);
    expect(await get(another, boundTo(good))).toEqual(refused('bound'));
    expect(await get(undefined, boundTo(good))).toEqual(refused('bound'));
    expect(await get(good, boundTo(good, { jkt: 'another way' }))).toEqual(refused('bound'));
    // Also right after it was good with it.
    const authorization = `Bearer ${await gateway.token(boundTo(good))}`;
    expect(await get(good, undefined, { authorization })).toEqual(letIn);
    expect(await get(undefined, undefined, { authorization })).toEqual(refused('bound'));
    expect(await get(another, undefined, { authorization })).toEqual(refused('bound'));
  });

  test('what is revoked of the two takes the other along, and nothing else', async () => {
    const [lost, kept] = [leaf([billing]), leaf([billing])];
    for (const token of [undefined, { subject: billing }, boundTo(lost)]) expect(await get(lost, token)).toEqual(letIn);
    await gateway.gateway.revocations.revoke({ jti: thumbprint(lost) }, administrator);
    for (const token of [undefined, { subject: billing }, boundTo(lost)])
      expect(await get(lost, token)).toEqual(refused('revoked'));
    expect(await get(kept, { subject: billing })).toEqual(letIn);
  });

  test('a certificate alone is nothing for a page in a browser', async () => {
    expect(await get(good, undefined, { origin: 'https://evil.example' })).toEqual(refused('browser'));
    expect(await get(good, undefined, { 'sec-fetch-site': 'cross-site' })).toEqual(refused('browser'));
    expect(cloud.heard).toEqual([]);
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('no session is resumed, so that it is shown anew: %s', async (version) => {
    const first = await converse(version);
    expect(first.answer).toContain('HTTP/1.1 200');
    expect(first.session).toBeInstanceOf(Buffer);
    const second = await converse(version, first.session);
    expect([second.reused, second.answer]).toEqual([false, expect.stringContaining('HTTP/1.1 200')]);
  });
});

/** One request over a connection of its own, that offers a session from before. */
async function converse(version: SecureVersion, session?: Buffer) {
  const socket: TLSSocket = connect({
    ...{ host: '127.0.0.1', port, ca: servers.certificate, cert: good.certificate, key: good.key },
    ...{ minVersion: version, maxVersion: version, ...(session === undefined ? {} : { session }) },
  });
  const sessions: (Buffer | undefined)[] = [];
  let reused: boolean | undefined;
  socket.once('secureConnect', () => {
    reused = socket.isSessionReused();
    sessions.push(socket.getSession());
  });
  // Of TLS 1.3 it comes after the handshake.
  socket.on('session', (one: Buffer) => sessions.push(one));
  socket.write('GET /http/cloud/invoices HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n');
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  return { answer, reused, session: sessions.at(-1) };
}

describe('with Postgres', () => {
  const connected = (certificate?: Certificate) =>
    WireClient.connect({
      ...{ host: gateway.host, port: gateway.port },
      tls: {
        ...{ ca: servers.certificate, servername: 'localhost' },
        ...(certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.key }),
      },
    });
  const signedIn = async (certificate: Certificate | undefined, password = '') => {
    const client = await connected(certificate);
    try {
      await client.signIn({ user: 'anybody', database: 'orders', password });
      return rows(await client.query('select 42'));
    } catch (error) {
      return (error as WireError).fields;
    } finally {
      client.socket.destroy();
    }
  };

  // First: of whoever is let in, the gateway asks the server more than the client does.
  test.each(bad)('one %s is refused before anything goes to the server', async (_, certificate) => {
    expect(await signedIn(certificate, await gateway.token({ subject: billing }))).toMatchObject({ C: '28P01' });
    expect(orders.heard).toEqual([]);
  });

  test('a certificate signs in without a password, whoever the user is', async () => {
    expect(await signedIn(good)).toEqual([['42']]);
  });

  test('without one, a token is asked for as ever', async () => {
    expect(await signedIn(undefined, await gateway.token())).toEqual([['42']]);
    expect(await signedIn(undefined, await gateway.token(boundTo(good)))).toMatchObject({ C: '28P01' });
  });
});
