import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createPublicKey } from 'node:crypto';
import { join } from 'node:path';
import { base64url, SignJWT } from 'jose';
import { createLogger } from '../../gateway/log.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createIdentityProvider, type TokenOptions } from '../support/idp.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { startRelay, type Witness } from '../support/relay.js';
import { errorOf, rows, shape, WireClient, type Frame, type WireError } from '../support/wire.js';

let database: TestDatabase;
let upstream: Witness;
let gateway: TestGateway;
/** How much further the gateway's clock is than the machine's. */
let ahead_ms = 0;
let logged = '';

beforeAll(async () => {
  database = await createDatabase();
  upstream = await startRelay(() => database);
  gateway = await startTestGateway({
    database: { ...database, host: upstream.host, port: upstream.port },
    log: createLogger({ level: 'trace', output: { write: (line) => (logged += line) } }),
    now: () => Date.now() + ahead_ms,
  });
});
afterAll(async () => {
  await gateway?.close();
  await upstream?.close();
  await database?.drop();
});

const signIn = (password: string): Promise<WireClient> =>
  WireClient.open({ host: gateway.host, port: gateway.port, user: 'agent', database: 'orders', password });
const refusal = (password: string): Promise<Readonly<Record<string, string>>> =>
  signIn(password).then(
    () => Promise.reject(new Error('the gateway opened a session')),
    (error: unknown) => (error as WireError).fields,
  );

describe('a token that is refused', () => {
  const issue = (options: TokenOptions) => () => gateway.token(options);
  const encode = (value: unknown) => base64url.encode(JSON.stringify(value));
  const claims = { sub: 'agent:test', iss: 'https://idp.example', aud: 'sallyport', kind: 'agent' };

  /** Signed with what everybody knows, in the hope that the verifier takes the public key for a secret (RFC 8725, 2.1). */
  async function signedWithThePublicKey(): Promise<string> {
    const [key = {}] = gateway.idp.jwks.keys;
    const pem = createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    return new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', ...(key.kid === undefined ? {} : { kid: key.kid }) })
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(Buffer.from(pem));
  }

  async function unsigned(): Promise<string> {
    const [, payload = ''] = (await gateway.token()).split('.');
    return `${encode({ alg: 'none', typ: 'at+jwt' })}.${payload}.`;
  }

  async function foreign(): Promise<string> {
    // The right names, and keys of its own.
    return (await createIdentityProvider()).issueToken();
  }

  async function altered(): Promise<string> {
    const [header = '', , signature = ''] = (await gateway.token()).split('.');
    const now_s = Math.floor(Date.now() / 1000);
    return [header, encode({ ...claims, groups: ['admins'], iat: now_s, exp: now_s + 300 }), signature].join('.');
  }

  const refusals = async () => (await gateway.records()).filter(({ kind }) => kind === 'sign_in_refused');

  test.each<[string, () => Promise<string>, RegExp]>([
    ['expired', issue({ issuedIn: -600, expiresIn: -300 }), /expired .* ago; get a new one/u],
    ['for another audience', issue({ audience: 'payroll' }), /for audience "payroll".*ask for one for "sallyport"/u],
    [
      'of another issuer',
      issue({ issuer: 'https://evil.example' }),
      /issuer "https:\/\/evil\.example" is not one.*get one from an issuer/u,
    ],
    ['not valid yet', issue({ notBeforeIn: 600 }), /not valid yet/u],
    ['made for too long', issue({ expiresIn: 7200 }), /life of 2h; this gateway accepts at most 60m/u],
    ['not signed', unsigned, /not signed; get a new one/u],
    ['signed with the public key as a secret', signedWithThePublicKey, /"HS256"; this gateway accepts ES256/u],
    ['signed by somebody else', foreign, /key that its issuer does not publish.*get a new token/u],
    ['altered', altered, /signature is not its issuer's/u],
    ['cut off in its signature', async () => (await gateway.token()).slice(0, -40), /cut off on its way here/u],
    [
      'cut off before its signature',
      async () => (await gateway.token()).slice(0, 255),
      /exactly 255 bytes.*in a file/u,
    ],
    [
      'no token but a password',
      () => Promise.resolve('correct horse'),
      /sign in with a token \(a JWT\) as the password/u,
    ],
    [
      'for a key that the client would have to prove',
      issue({ claims: { cnf: { jkt: 'x' } } }),
      /a bearer token is needed/u,
    ],
  ])('is one that is %s: the message says so, and nobody called the server', async (_, make, why) => {
    const connections = upstream.heard.length;
    const before = (await refusals()).length;
    const token = await make();
    const fields = await refusal(token);
    expect(fields).toMatchObject({ S: 'FATAL', C: '28P01' });
    expect(fields['M']).toMatch(why);
    expect(upstream.heard).toHaveLength(connections);

    // It is no operation: nobody waits until its record is on the disk.
    let records = await refusals();
    while (records.length === before) records = await refusals();
    const last = records.at(-1);
    expect(last).toMatchObject({ reason: expect.any(String), personal: expect.anything() });
    for (const text of [JSON.stringify(fields), JSON.stringify(last), logged]) expect(text).not.toContain(token);
  });
});

test('a token that is accepted stays here: not in the log, not in the audit, not at the server', async () => {
  const token = await gateway.token();
  const client = await signIn(token);
  expect(rows(await client.query('select 42'))).toEqual([['42']]);
  await client.end();
  const [header = '', payload = '', signature = ''] = token.split('.');
  expect(header).not.toBe('');
  for (const text of [
    logged,
    JSON.stringify(await gateway.records()),
    Buffer.concat(upstream.heard).toString('latin1'),
  ]) {
    expect(text).not.toContain(payload);
    expect(text).not.toContain(signature);
  }
});

test('a session ends with its token, and the server stops what it runs for it', async () => {
  const client = await signIn(await gateway.token({ expiresIn: 2 }));
  const [[pid = ''] = []] = rows(await client.query('select pg_backend_pid()'));
  const answer: Frame[] = await client.query('select pg_sleep(60)').catch(() => client.received);
  expect(errorOf(answer)).toMatchObject({ S: 'FATAL', C: '57P01', H: expect.stringContaining('new token') });
  await client.closed();
  while ((await database.sql(`select from pg_stat_activity where pid = ${String(pid)}`)).length > 0) continue;
  const records = await gateway.records();
  expect(records.findLast(({ kind }) => kind === 'session_close')).toMatchObject({ reason: 'token_expired' });
});

describe('keys that rotate', () => {
  /** Later than the keys' file is looked at again. */
  const publish = async (): Promise<void> => {
    await gateway.idp.writeJwks(join(gateway.folder, 'jwks.json'));
    ahead_ms += 2_000;
  };

  test('are followed without a restart: new ones at once, old ones as long as they are published', async () => {
    const old = await gateway.token();
    const session = await signIn(old);

    await gateway.idp.rotate();
    const early = await gateway.token();
    expect(await refusal(early)).toMatchObject({ C: '28P01', M: expect.stringContaining('does not publish') });

    await publish();
    for (const token of [early, old]) await (await signIn(token)).end();

    await gateway.idp.rotate({ keepOld: false });
    await publish();
    expect(await refusal(old)).toMatchObject({ C: '28P01', M: expect.stringContaining('does not publish') });
    expect(await refusal(early)).toMatchObject({ C: '28P01' });
    await (await signIn(await gateway.token())).end();

    // What was signed in before is no new sign-in.
    expect(shape(await session.query('select 1'))).toBe('T D C Z');
    await session.end();
  });
});
