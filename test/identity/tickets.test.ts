import { randomUUID } from 'node:crypto';
import { chmod, copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { decodeJwt, exportJWK, generateKeyPair } from 'jose';
import { runCommandLine } from '../../gateway/cli/index.js';
import { createAuthority, type Certificate } from '../support/certificates.js';
import type { TestGateway } from '../support/gateway.js';
import { caller } from '../support/https.js';
import { createIdentityProvider, type IdentityProvider, type TokenOptions } from '../support/idp.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { startRelay, type Witness } from '../support/relay.js';
import { startReplicas, type Replicas } from '../support/replicas.js';
import { rows, WireClient, type WireError } from '../support/wire.js';
import { clientTest, runProgram } from '../clients/support.js';

/** Two gateways over one state, with TLS, and one set of signing keys. */

let folder: string;
let keysFile: string;
let database: TestDatabase;
let upstream: Witness;
let replicas: Replicas;
let one: TestGateway;
let other: TestGateway;
let idp: IdentityProvider;
let authority: Certificate;
let certificate: Certificate;
let call: ReturnType<typeof caller>;
let caFile: string;
let apiUrl: string;

const issuer = 'https://gateway.example';
const administrator: TokenOptions = { subject: 'root@example.com', kind: 'human', groups: ['security'] };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-tickets-'));
  keysFile = join(folder, 'tokens.jwks');
  await writeKeys([await privateKey()]);
  const made = createAuthority();
  authority = made;
  certificate = made.issue({ names: ['localhost', '127.0.0.1'] });
  caFile = join(folder, 'listener.pem');
  await writeFile(caFile, authority.certificate);
  database = await createDatabase();
  upstream = await startRelay(() => database);
  idp = await createIdentityProvider();
  replicas = await startReplicas(2, {
    database: { ...database, host: upstream.host, port: upstream.port },
    targets: ['orders', 'payroll'],
    idp,
    tls: certificate,
    config: {
      listen: {
        postgres: {
          address: '127.0.0.1:0',
          tls: { certificate: { file: './certificate.pem' }, key: { file: './key.pem' } },
        },
        https: '127.0.0.1:0',
      },
      console: { url: issuer, administrators: ['security'] },
      identity: {
        providers: [
          { name: 'tests', type: 'oidc', issuer: idp.issuer, audience: idp.audience, jwks: { file: './jwks.json' } },
        ],
        own_tokens: { keys: { file: keysFile } },
      },
    },
  });
  [one, other] = replicas.gateways as [TestGateway, TestGateway];
  const api = one.gateway.listeners.find(({ protocol }) => protocol === 'https')!;
  const ca = await readFile(join(one.folder, '.sallyport', 'https.pem'), 'utf8');
  call = caller({ ...api.address, ca });
  apiUrl = `https://${api.address.host}:${String(api.address.port)}`;
}, 60_000);
afterAll(async () => {
  await replicas?.close();
  await upstream?.close();
  await database?.drop();
  await rm(folder, { recursive: true, force: true });
});

const privateKey = async () => {
  const { privateKey: key } = await generateKeyPair('ES256', { extractable: true });
  return { ...(await exportJWK(key)), kid: randomUUID(), alg: 'ES256' };
};
const writeKeys = async (keys: unknown[]) => {
  await writeFile(keysFile, JSON.stringify({ keys }));
  await chmod(keysFile, 0o600);
};

interface Ticket {
  readonly ticket: string;
  readonly id: string;
  readonly secret: string;
  readonly expires: string;
}
const bearer = async (who: TokenOptions = {}) => ({ authorization: `Bearer ${await idp.issueToken(who)}` });
async function ticketFor(who: TokenOptions = {}, more: Record<string, unknown> = {}): Promise<Ticket> {
  const sent = await call('/v1/tickets', {
    method: 'POST',
    headers: await bearer(who),
    body: { target: 'orders', ...more },
  });
  expect([sent.status, sent.text]).toEqual([201, expect.any(String)]);
  return sent.json<Ticket & Record<string, unknown>>();
}
const tls = () => ({ ca: authority.certificate, servername: 'localhost' });
const signIn = (user: string, password: string, at: TestGateway = one, database = 'orders') =>
  WireClient.open({ host: at.host, port: at.port, tls: tls(), user, password, database });
const refusal = (attempt: Promise<WireClient>): Promise<string> =>
  attempt.then(
    (client) => {
      client.socket.destroy();
      throw new Error('the gateway opened a session');
    },
    (error: unknown) => (error as WireError).fields?.M ?? String(error),
  );

describe('a ticket', () => {
  test('is 61 characters that sign its principal in at every gateway over the state, with token and purpose', async () => {
    const ticket = await ticketFor({ subject: 'agent:one', purpose: '' }, { purpose: 'month-end' });
    expect(ticket.ticket).toMatch(/^spt_[a-z0-9]{16}_[A-Za-z0-9]{40}$/u);
    for (const gateway of [one, other]) {
      const client = await signIn('whoever', ticket.ticket, gateway);
      expect(rows(await client.query('select 1 as one'))).toEqual([['1']]);
      client.socket.destroy();
      const [opened] = (await gateway.records()).filter(({ kind }) => kind === 'session_open').slice(-1);
      expect(opened).toMatchObject({
        personal: { principal: { subject: 'agent:one', issuer: idp.issuer, purpose: 'month-end' } },
      });
    }
  });

  test('lives no longer than the token that it is made from', async () => {
    const { expires } = await ticketFor({ expiresIn: 60 }, { lifetime_s: 86_400 });
    expect(Date.parse(expires)).toBeLessThanOrEqual(Date.now() + 60_000);
    const { expires: sooner } = await ticketFor({}, { lifetime_s: 5 });
    expect(Date.parse(sooner)).toBeLessThanOrEqual(Date.now() + 5_000);
  });

  test('by SCRAM: its id is the user name and its secret the password, which is never sent', async () => {
    const { id, secret, ticket } = await ticketFor({ subject: 'agent:scram' });
    for (const gateway of [one, other]) {
      const client = await signIn(id, secret, gateway);
      expect(rows(await client.query('select 2'))).toEqual([['2']]);
      client.socket.destroy();
    }
    expect(await refusal(signIn(id, `${secret}x`))).toMatch(/ticket is unknown, has expired or was revoked/u);
    // The whole of it is for where it is sent; proving it proves another password.
    expect(await refusal(signIn(id, ticket))).toMatch(/its secret is wrong/u);
    expect(await refusal(signIn('spt_aaaaaaaaaaaaaaaa', secret))).toMatch(/ticket is unknown/u);
  });

  const nothingLeaves = async (attempt: () => Promise<WireClient>): Promise<string> => {
    const before = upstream.heard.length;
    const message = await refusal(attempt());
    expect(upstream.heard.length).toBe(before);
    return message;
  };

  test('is refused for another target, cut off, altered, expired and unknown, before a byte goes upstream', async () => {
    const { ticket, id, secret } = await ticketFor();
    const there = (password: string, target = 'orders') => nothingLeaves(() => signIn('me', password, one, target));
    expect(await there(ticket, 'payroll')).toMatch(/is for the target "orders", and not for "payroll"/u);
    expect(await nothingLeaves(() => signIn(id, secret, one, 'payroll'))).toMatch(/not for "payroll"/u);
    for (const length of [4, 20, 21, 40, 60]) expect(await there(ticket.slice(0, length))).toMatch(/was cut off/u);
    expect(await there(`${ticket}x`)).toMatch(/is damaged/u);
    expect(await there(ticket.slice(0, -1) + (ticket.endsWith('A') ? 'B' : 'A'))).toMatch(/secret is wrong/u);
    const late = await ticketFor();
    await replicas.state.sql(`update sallyport.tickets set expires = now() - interval '1 s' where id = '${late.id}'`);
    expect(await there(late.ticket)).toMatch(/has expired/u);
  });

  test('of another lies in the state, and says neither whose it is nor lets itself be bent', async () => {
    const mine = await ticketFor({ subject: 'agent:mine', groups: ['agents'] });
    const theirs = await ticketFor({ subject: 'agent:theirs', groups: ['admins'] });
    const [row] = await replicas.state.sql(`select * from sallyport.tickets where id = '${theirs.id}'`);
    const text = JSON.stringify(row);
    for (const secret of ['agent:theirs', 'admins', theirs.secret, 'eyJ']) expect(text).not.toContain(secret);
    // Whoever writes into the state cannot put one's token under another's secret, nor prolong it.
    await replicas.state.sql(
      `update sallyport.tickets set sealed = (select sealed from sallyport.tickets where id = '${theirs.id}') where id = '${mine.id}'`,
    );
    expect(await nothingLeaves(() => signIn('me', mine.ticket))).toMatch(/ticket is unknown/u);
    const short = await ticketFor({ expiresIn: 2 });
    await replicas.state.sql(
      `update sallyport.tickets set expires = now() + interval '1 day' where id = '${short.id}'`,
    );
    await until(() => Date.parse(short.expires) <= Date.now());
    expect(await nothingLeaves(() => signIn('me', short.ticket))).toMatch(/expired/u);
  });

  test('that is revoked is refused everywhere, and ends the sessions that it began, on all gateways', async () => {
    const { id, ticket } = await ticketFor({ subject: 'agent:revoked' });
    const there = await signIn('me', ticket, other);
    const elsewhere = await ticketFor({ subject: 'agent:revoked' });
    expect(
      (await call(`/v1/tickets/${id}`, { method: 'DELETE', headers: await bearer({ subject: 'agent:other' }) })).status,
    ).toBe(404);
    expect(
      (await call(`/v1/tickets/${id}`, { method: 'DELETE', headers: await bearer({ subject: 'agent:revoked' }) }))
        .status,
    ).toBe(204);
    const told = await there.read();
    expect([told.type, told.body.toString()]).toEqual(['E', expect.stringContaining('the token was revoked')]);
    expect(await refusal(signIn('me', ticket, other))).toMatch(/was revoked/u);
    (await signIn('me', elsewhere.ticket, other)).socket.destroy();
  });

  test('goes with the token that it was made from', async () => {
    const token = await idp.issueToken({ subject: 'agent:gone' });
    const made = await call('/v1/tickets', {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: { target: 'orders' },
    });
    const { ticket } = made.json<Ticket & Record<string, unknown>>();
    const session = await signIn('me', ticket);
    await call('/v1/tokens/revoke', {
      method: 'POST',
      headers: await bearer(administrator),
      body: { jti: decodeJwt(token).jti },
    });
    expect((await session.read()).body.toString()).toContain('the token was revoked');
    expect(await refusal(signIn('me', ticket))).toMatch(/was revoked/u);
  });

  test('opens nothing but its target: neither the API nor a further ticket', async () => {
    const { ticket } = await ticketFor(administrator);
    const headers = { authorization: `Bearer ${ticket}` };
    for (const path of ['/v1/whoami', '/v1/sessions', '/v1/tickets']) {
      const { status, text } = await call(path, { headers });
      expect([status, text]).toEqual([401, expect.stringContaining('for the target')]);
    }
  });

  test('is asked for in a form that is checked', async () => {
    const ask = async (body: unknown, who: TokenOptions = {}) =>
      call('/v1/tickets', { method: 'POST', headers: await bearer(who), body });
    expect((await ask({ target: 'no_such' })).json()).toMatchObject({ status: 400, code: 'no_target' });
    expect((await ask({})).status).toBe(400);
    expect((await ask({ target: 'orders', groups: ['admins'] })).status).toBe(400);
    expect((await ask({ target: 'orders', purpose: 'another' }, { purpose: 'one' })).json()).toMatchObject({
      status: 403,
      code: 'other_purpose',
    });
    expect((await call('/v1/tickets', { method: 'POST', body: { target: 'orders' } })).status).toBe(401);
  });

  test('is had at most a hundred times at once by one principal', async () => {
    const headers = await bearer({ subject: 'agent:greedy' });
    await ticketFor({ subject: 'agent:greedy' });
    await replicas.state.sql(
      `insert into sallyport.tickets select id || n, owner, target, made, expires, salt, iterations, stored_key, server_key, sealed
         from sallyport.tickets, generate_series(1, 99) n where owner = (select owner from sallyport.tickets order by made desc limit 1)`,
    );
    const { status } = await call('/v1/tickets', { method: 'POST', headers, body: { target: 'orders' } });
    expect(status).toBe(429);
    const { tickets } = (await call('/v1/tickets', { headers })).json<{ tickets: unknown[] }>();
    expect(tickets).toHaveLength(100);
  });
});

describe("the gateway's own keys", () => {
  test('are published with where they are, and verify what it issued', async () => {
    const metadata = (await call('/.well-known/openid-configuration')).json();
    expect(metadata).toMatchObject({ issuer, jwks_uri: `${issuer}/.well-known/jwks.json` });
    const { keys } = (await call('/.well-known/jwks.json')).json<{ keys: Record<string, string>[] }>();
    expect(keys.map((key) => Object.keys(key).sort())).toEqual([['alg', 'crv', 'kid', 'kty', 'x', 'y']]);
  });

  test('rotate without a restart: what the old one signed holds for as long as it is published', async () => {
    const before = await ticketFor();
    const { keys: old } = JSON.parse(await readFile(keysFile, 'utf8')) as { keys: { kid: string }[] };
    const fresh = await privateKey();
    const published = async () =>
      (await call('/.well-known/jwks.json')).json<{ keys: { kid: string }[] }>().keys.map(({ kid }) => kid);
    await writeKeys([fresh, ...old]);
    await until(async () => (await published())[0] === fresh.kid);
    const after = await ticketFor();
    // Each gateway reads the file for itself.
    let there: WireClient | undefined;
    await until(async () => (there = await signIn('me', after.ticket, other).catch(() => undefined)) !== undefined);
    there?.socket.destroy();
    (await signIn('me', before.ticket, other)).socket.destroy();
    await writeKeys([fresh]);
    await until(async () => (await published()).length === 1);
    expect(await refusal(signIn('me', before.ticket, one))).toMatch(/does not publish/u);
    (await signIn('me', after.ticket, one)).socket.destroy();
  });
});

const group = 'psql with a ticket';
describe(group, () => {
  const psql = (env: Record<string, string>) =>
    runProgram('psql', ['-XAtc', 'select 1'], {
      env: {
        PGHOST: '127.0.0.1',
        PGPORT: String(one.port),
        PGDATABASE: 'orders',
        PGSSLMODE: 'verify-full',
        PGSSLROOTCERT: caFile,
        PGCONNECT_TIMEOUT: '30',
        LC_ALL: 'C',
        ...env,
      },
    });

  clientTest(group, 'sends it as a password', async () => {
    const { ticket } = await ticketFor();
    expect(await psql({ PGUSER: 'me', PGPASSWORD: ticket })).toEqual({ code: 0, stdout: '1\n', stderr: '' });
  });

  clientTest(group, 'proves it by SCRAM, with channel binding where it insists', async () => {
    const { id, secret } = await ticketFor();
    expect(await psql({ PGUSER: id, PGPASSWORD: secret, PGCHANNELBINDING: 'require' })).toEqual({
      code: 0,
      stdout: '1\n',
      stderr: '',
    });
    expect(await psql({ PGUSER: id, PGPASSWORD: secret, PGCHANNELBINDING: 'disable' })).toMatchObject({ code: 0 });
    const wrong = await psql({ PGUSER: id, PGPASSWORD: `${secret}x` });
    expect(wrong.stderr).toMatch(/ticket is unknown, has expired or was revoked, or its secret is wrong/u);
  });

  clientTest(group, 'hears that it was cut off', async () => {
    const { ticket } = await ticketFor();
    const { code, stderr } = await psql({ PGUSER: 'me', PGPASSWORD: ticket.slice(0, 50) });
    expect([code, stderr]).toEqual([2, expect.stringContaining('was cut off on its way here: it has 50 of 61')]);
  });
});

test('sallyport token prints a ticket, and takes no secret on its command line', async () => {
  let stdout = '';
  let stderr = '';
  const gatewayCa = join(folder, 'https.pem');
  await copyFile(join(one.folder, '.sallyport', 'https.pem'), gatewayCa);
  const run = async (...args: string[]) =>
    runCommandLine(['token', ...args], {
      env: { SALLYPORT_URL: apiUrl, SALLYPORT_CA: gatewayCa, SALLYPORT_TOKEN: await idp.issueToken() },
      fallbackFolder: folder,
      stdout: { write: (text: string) => (stdout += text) },
      stderr: { write: (text: string) => (stderr += text) },
    });
  expect(await run('--ticket', '--target', 'orders')).toBe(0);
  (await signIn('me', stdout.trim())).socket.destroy();
  expect(await run('--ticket')).toBe(2);
  expect(stderr).toContain('--target');
});

const asked_again_ms = 100;

/** A condition that time alone, or a file that is read again within a second, brings about. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  // Slowly enough for the limit on requests of one address.
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, asked_again_ms));
}
