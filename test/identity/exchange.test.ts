import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  base64url,
  decodeJwt,
  decodeProtectedHeader,
  exportJWK,
  generateKeyPair,
  importJWK,
  SignJWT,
  type JWK,
} from 'jose';
import { runCommandLine } from '../../gateway/cli/index.js';
import { clientTest, runProgram } from '../clients/support.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { caller, type Sent } from '../support/https.js';
import { createIdentityProvider, type IdentityProvider, type TokenOptions } from '../support/idp.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { startRelay, type Witness } from '../support/relay.js';
import { rows, WireClient, type WireError } from '../support/wire.js';

/** RFC 8693 at a gateway that trusts two issuers. */

const issuer = 'https://gateway.example';
const grant = 'urn:ietf:params:oauth:grant-type:token-exchange';
const jwt = 'urn:ietf:params:oauth:token-type:jwt';

let folder: string;
let database: TestDatabase;
let state: TestDatabase;
let upstream: Witness;
let gateway: TestGateway;
let idp: IdentityProvider;
let second: IdentityProvider;
let call: ReturnType<typeof caller>;
let key: JWK;
let apiUrl: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-exchange-'));
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  key = { ...(await exportJWK(privateKey)), kid: 'one', alg: 'ES256' };
  await writeFile(join(folder, 'tokens.jwks'), JSON.stringify({ keys: [key] }), { mode: 0o600 });
  database = await createDatabase();
  state = await createDatabase();
  upstream = await startRelay(() => database);
  idp = await createIdentityProvider();
  second = await createIdentityProvider({ issuer: 'https://second.example' });
  await second.writeJwks(join(folder, 'second.json'));
  gateway = await startTestGateway({
    database: { ...database, host: upstream.host, port: upstream.port },
    targets: ['orders', 'payroll'],
    idp,
    config: {
      state: { directory: './.sallyport', postgres: state.url },
      listen: { postgres: '127.0.0.1:0', https: '127.0.0.1:0' },
      console: { url: issuer, administrators: ['security'] },
      identity: {
        providers: [
          { name: 'first', type: 'oidc', issuer: idp.issuer, audience: idp.audience, jwks: { file: './jwks.json' } },
          {
            name: 'second',
            type: 'oidc',
            issuer: second.issuer,
            audience: second.audience,
            jwks: { file: join(folder, 'second.json') },
          },
        ],
        own_tokens: { keys: { file: join(folder, 'tokens.jwks') } },
      },
    },
  });
  await gateway.gateway.database.ready(20_000);
  const api = gateway.gateway.listeners.find(({ protocol }) => protocol === 'https')!;
  const ca = await readFile(join(gateway.folder, '.sallyport', 'https.pem'), 'utf8');
  call = caller({ ...api.address, ca });
  apiUrl = `https://${api.address.host}:${String(api.address.port)}`;
}, 60_000);
afterAll(async () => {
  await gateway?.close();
  await upstream?.close();
  await database?.drop();
  await state?.drop();
  await rm(folder, { recursive: true, force: true });
});

const post = (form: Record<string, string> | string): Promise<Sent> =>
  call('/v1/token', {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: typeof form === 'string' ? form : new URLSearchParams(form).toString(),
  });
const form = (subject: string, more: Record<string, string> = {}) => ({
  grant_type: grant,
  subject_token: subject,
  subject_token_type: jwt,
  ...more,
});
const exchange = async (subject: string, more: Record<string, string> = {}): Promise<string> => {
  const sent = await post(form(subject, more));
  expect([sent.status, sent.text]).toEqual([200, expect.any(String)]);
  return sent.json<{ access_token: string }>().access_token;
};
const refusal = async (given: Record<string, string> | string): Promise<Record<string, unknown>> => {
  const sent = await post(given);
  expect(sent.status).toBe(400);
  return sent.json();
};
const token = (options: TokenOptions = {}, at = idp) => at.issueToken({ purpose: '', ...options });
const signIn = (password: string, target = 'orders') =>
  WireClient.open({ host: gateway.host, port: gateway.port, user: 'me', password, database: target });
/** The message of a refusal, and that nothing has gone upstream for it. */
async function refusedSignIn(password: string, target = 'orders'): Promise<string> {
  const before = upstream.heard.length;
  const message = await signIn(password, target).then(
    () => Promise.reject(new Error('the gateway opened a session')),
    (error: unknown) => (error as WireError).fields?.M ?? String(error),
  );
  expect(upstream.heard.length).toBe(before);
  return message;
}
const lastOpened = async () => (await gateway.records()).filter(({ kind }) => kind === 'session_open').at(-1);

describe('an exchanged token', () => {
  test('is for one target, with purpose and prompt, and keeps who it is for', async () => {
    const subject = await token({ subject: 'agent:one', groups: ['agents', 'billing'] });
    const issued = await exchange(subject, {
      audience: 'orders',
      purpose: 'month-end',
      prompt: 'sum up',
      prompt_id: 'p-1',
    });
    expect(decodeJwt(issued)).toMatchObject({ iss: issuer, aud: `${issuer}/targets/orders`, sub: 'agent:one' });
    expect(decodeProtectedHeader(issued)).toEqual({ alg: 'ES256', kid: 'one', typ: 'at+jwt' });
    const client = await signIn(issued);
    expect(rows(await client.query('select 1'))).toEqual([['1']]);
    client.socket.destroy();
    expect(await lastOpened()).toMatchObject({
      personal: {
        principal: {
          ...{ subject: 'agent:one', issuer: idp.issuer, kind: 'agent', purpose: 'month-end' },
          groups: ['agents', 'billing'],
          token: { from: [decodeJwt(subject).jti] },
        },
      },
    });
    expect(await refusedSignIn(issued, 'payroll')).toMatch(/is for the target "orders", and not for "payroll"/u);
    const { status } = await call('/v1/whoami', { headers: { authorization: `Bearer ${issued}` } });
    expect(status).toBe(401);
  });

  test('lives no longer than its subject token, its actor token, and what was asked for', async () => {
    const now_s = Math.floor(Date.now() / 1000);
    const subject = await token({ expiresIn: 200 });
    expect(decodeJwt(await exchange(subject, { expires_in: '9999' })).exp).toBe(decodeJwt(subject).exp);
    expect(decodeJwt(await exchange(subject, { expires_in: '10' })).exp).toBeLessThan(now_s + 60);
    const actor = await token({ subject: 'agent:short', expiresIn: 100 });
    const both = await exchange(subject, { actor_token: actor, actor_token_type: jwt });
    expect(decodeJwt(both).exp).toBe(decodeJwt(actor).exp);
  });

  test('says who acts for whom, with those who acted before inside; what acts decides the kind', async () => {
    const ada = await token({ subject: 'ada', kind: 'human' });
    const as = async (subject: string) => ({ actor_token: await token({ subject }), actor_token_type: jwt });
    const once = await exchange(ada, await as('agent:one'));
    const twice = await exchange(once, { ...(await as('agent:two')), audience: 'orders' });
    const act = { sub: 'agent:two', iss: idp.issuer, act: { sub: 'agent:one', iss: idp.issuer } };
    expect(decodeJwt(twice)).toMatchObject({ sub: 'ada', kind: 'agent', act });
    (await signIn(twice)).socket.destroy();
    expect(await lastOpened()).toMatchObject({
      personal: { principal: { subject: 'ada', kind: 'agent', actor: { subject: 'agent:two' } } },
    });
  });

  test('of two issuers for one subject is of two principals', async () => {
    const whoami = async (at: IdentityProvider) => {
      const issued = await exchange(await token({ subject: 'agent:same' }, at));
      return (await call('/v1/whoami', { headers: { authorization: `Bearer ${issued}` } })).json();
    };
    expect(await whoami(idp)).toMatchObject({ subject: 'agent:same', issuer: idp.issuer });
    expect(await whoami(second)).toMatchObject({ subject: 'agent:same', issuer: second.issuer });
  });

  test('goes with the token that it was made from, however often it was exchanged', async () => {
    const subject = await token({ subject: 'agent:gone' });
    const issued = await exchange(await exchange(subject), { audience: 'orders' });
    const session = await signIn(issued);
    const administrator = `Bearer ${await token({ groups: ['security'] })}`;
    const body = { jti: decodeJwt(subject).jti };
    await call('/v1/tokens/revoke', { method: 'POST', headers: { authorization: administrator }, body });
    expect((await session.read()).body.toString()).toContain('the token was revoked');
    expect(await refusedSignIn(issued)).toMatch(/was revoked/u);
    expect(await refusal(form(issued))).toMatchObject({ error: 'invalid_grant' });
  });
});

describe('an exchange is refused', () => {
  test.each<[string, () => Promise<Record<string, string> | string>, string]>([
    [
      'of another grant',
      async () => ({ ...form(await token()), grant_type: 'client_credentials' }),
      'unsupported_grant_type',
    ],
    ['without a subject', async () => ({ grant_type: grant }), 'invalid_request'],
    [
      'of another sort of token',
      async () => ({ ...form(await token()), subject_token_type: 'urn:x' }),
      'invalid_request',
    ],
    ['of an expired token', async () => form(await token({ expiresIn: -10, issuedIn: -60 })), 'invalid_grant'],
    ['of a token for somebody else', async () => form(await token({ audience: 'payroll' })), 'invalid_grant'],
    ['with a parameter that is not known', async () => form(await token(), { groups: 'admins' }), 'invalid_request'],
    [
      'with a parameter twice',
      async () => `${new URLSearchParams(form(await token())).toString()}&audience=orders&audience=payroll`,
      'invalid_request',
    ],
    ['with a scope', async () => form(await token(), { scope: 'admin' }), 'invalid_scope'],
    ['for no target', async () => form(await token(), { audience: 'no_such' }), 'invalid_target'],
    ['for two targets', async () => form(await token(), { audience: 'orders', resource: 'payroll' }), 'invalid_target'],
    [
      'from one target to another',
      async () => form(await exchange(await token(), { audience: 'orders' }), { audience: 'payroll' }),
      'invalid_target',
    ],
    [
      'from one target to all',
      async () => form(await exchange(await token(), { audience: 'orders' }), { audience: issuer }),
      'invalid_target',
    ],
    ['for another purpose', async () => form(await token({ purpose: 'one' }), { purpose: 'another' }), 'invalid_grant'],
    [
      'with an actor whom the subject does not let act',
      async () =>
        form(await token({ claims: { may_act: { sub: 'agent:other' } } }), {
          actor_token: await token({ subject: 'agent:one' }),
          actor_token_type: jwt,
        }),
      'invalid_grant',
    ],
    [
      'with an actor of another issuer',
      async () => form(await token(), { actor_token: await token({}, second), actor_token_type: jwt }),
      'invalid_grant',
    ],
    [
      'with an actor that is no token',
      async () => form(await token(), { actor_token: 'agent', actor_token_type: jwt }),
      'invalid_grant',
    ],
  ])('%s', async (_, given, error) => {
    expect(await refusal(await given())).toMatchObject({ error });
  });

  test('after so many', async () => {
    let issued = await token();
    for (let round = 0; round < 8; round++) issued = await exchange(issued);
    expect(await refusal(form(issued))).toMatchObject({ error: 'invalid_grant' });
  });
});

describe("a token that says it is the gateway's own is refused", () => {
  const claims = (more: Record<string, unknown> = {}) => {
    const now_s = Math.floor(Date.now() / 1000);
    const origin = { iss: 'https://idp.example', from: [], attributes: {} };
    return {
      iss: issuer,
      aud: issuer,
      sub: 'root',
      iat: now_s,
      exp: now_s + 60,
      jti: 'x',
      groups: ['security'],
      sallyport: origin,
      ...more,
    };
  };
  const sign = async (payload: Record<string, unknown>, header: Record<string, unknown> = {}, by: JWK = key) =>
    new SignJWT(payload)
      .setProtectedHeader({ alg: 'ES256', kid: 'one', typ: 'at+jwt', ...header })
      .sign(await importJWK(by, 'ES256'));
  const otherKey = async (): Promise<JWK> =>
    exportJWK((await generateKeyPair('ES256', { extractable: true })).privateKey);
  const encode = (value: unknown) => base64url.encode(JSON.stringify(value));

  test.each<[string, () => Promise<string>]>([
    ['unsigned', async () => `${encode({ alg: 'none', typ: 'at+jwt' })}.${encode(claims())}.`],
    [
      'signed with the public key as a secret',
      async () => {
        const { d: _, ...open } = key;
        return new SignJWT(claims())
          .setProtectedHeader({ alg: 'HS256', kid: 'one' })
          .sign(Buffer.from(JSON.stringify(open)));
      },
    ],
    ['signed by another', async () => sign(claims(), {}, await otherKey())],
    [
      'that brings its own key (jwk, jku, x5u)',
      async () => {
        const own = await otherKey();
        const { d: _, ...open } = own;
        return sign(claims(), { jwk: open, jku: 'https://evil.example/keys', x5u: 'https://evil.example/cert' }, own);
      },
    ],
    ['with a path as its kid', async () => sign(claims(), { kid: '../../../../dev/null' }, await otherKey())],
    ['for nobody', async () => sign(claims({ aud: undefined }))],
    ["for another gateway's target", async () => sign(claims({ aud: 'https://other.example/targets/orders' }))],
    ['for a target that there is not', async () => sign(claims({ aud: `${issuer}/targets/no_such` }))],
    ['of another sort', async () => sign(claims(), { typ: 'JWE' })],
    ['that has expired', async () => sign(claims({ iat: 1, exp: 2 }))],
    ['that lives for ever', async () => sign(claims({ exp: 9_999_999_999 }))],
    ['signed by an issuer that it trusts', async () => idp.issueToken({ issuer, audience: issuer })],
  ])('%s', async (_, forged) => {
    const text = await forged();
    await refusedSignIn(text);
    // Another client than those before, who were refused so often that they are slowed.
    const headers = { authorization: `Bearer ${text}` };
    expect((await call('/v1/whoami', { headers, localAddress: '127.0.0.2' })).status).toBe(401);
  });
});

const group = 'sallyport, for people,';
describe(group, () => {
  async function sallyport(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    let stdout = '';
    let stderr = '';
    const code = await runCommandLine(args, {
      env: {
        ...process.env,
        SALLYPORT_URL: apiUrl,
        SALLYPORT_CA: join(gateway.folder, '.sallyport', 'https.pem'),
        SALLYPORT_TOKEN: await token({ subject: 'ada', kind: 'human' }),
      },
      fallbackFolder: folder,
      stdout: { write: (text: string) => (stdout += text) },
      stderr: { write: (text: string) => (stderr += text) },
    });
    return { code, stdout, stderr };
  }

  clientTest(group, 'starts psql with a ticket, and ends as psql does', async () => {
    const file = join(folder, 'out');
    const query = ['-XAt', '-o', file];
    expect(await sallyport('connect', 'orders', '--purpose', 'a look', '--', ...query, '-c', 'select 1')).toMatchObject(
      { code: 0, stderr: '' },
    );
    expect(await readFile(file, 'utf8')).toBe('1\n');
    expect(await lastOpened()).toMatchObject({ personal: { principal: { subject: 'ada', purpose: 'a look' } } });
    expect((await sallyport('connect', 'orders', '--', ...query, '-f', join(folder, 'no-such-file'))).code).toBe(1);
  });

  clientTest(group, 'sets a shell up for libpq', async () => {
    const { code, stdout } = await sallyport('env', 'orders');
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^(export PG[A-Z]+='[^']*'\n)+$/u)]);
    const ran = await runProgram('sh', ['-c', `${stdout}exec psql -XAtc 'select 2'`]);
    expect(ran).toEqual({ code: 0, stdout: '2\n', stderr: '' });
  });

  test('prints a service without its password', async () => {
    const { stdout } = await sallyport('env', 'orders', '--format', 'pg_service');
    expect(stdout).toMatch(
      /^\[orders\]\nhost=127\.0\.0\.1\nport=\d+\ndbname=orders\nuser=sallyport\nsslmode=disable\n$/u,
    );
  });

  test('hears of a target that is not there', async () => {
    const { code, stderr } = await sallyport('connect', 'no_such');
    expect([code, stderr]).toEqual([1, expect.stringContaining('no such target')]);
  });
});
