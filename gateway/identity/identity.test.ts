import { describe, expect, test } from '@jest/globals';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportJWK, SignJWT, UnsecuredJWT } from 'jose';
import type { Provider } from '../config/index.js';
import { ConfigError, IdentityError } from '../errors.js';
import { createIdentity, type Identities } from './index.js';

const issuer = 'https://idp.example';
const start_ms = Date.UTC(2026, 10, 22, 9);
const seconds = start_ms / 1000;
const pair = (kid: string) => ({ kid, ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) });
const first = pair('first');
const second = pair('second');
const rsa = { kid: 'rsa', ...generateKeyPairSync('rsa', { modulusLength: 2048 }) };

type Signer = { kid: string; privateKey: KeyObject; publicKey: KeyObject };
const published = async (keys: readonly Signer[]) =>
  JSON.stringify({
    keys: await Promise.all(keys.map(async (k) => ({ ...(await exportJWK(k.publicKey)), kid: k.kid }))),
  });

const standard = { iss: issuer, aud: 'sallyport', sub: 'agent:billing-bot', iat: seconds, exp: seconds + 600 };
const sign = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}, by: Signer = first) =>
  new SignJWT({ ...standard, ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: by.kid, ...header })
    .sign(by.privateKey);

function provider(changes: Partial<Provider> = {}): Provider {
  return {
    name: 'company',
    issuer,
    audience: ['sallyport'],
    algorithms: ['ES256', 'RS256'],
    claims: { groups: 'groups', roles: 'roles', purpose: 'purpose', kind: 'kind', prompt: 'prompt', attributes: [] },
    kindDefault: 'service',
    ...changes,
  };
}

interface World {
  identities: Identities;
  /** Moves the clock. */
  later(ms: number): void;
  /** Publishes other keys, as an atomic replacement of the file. */
  publish(content: string): void;
  remove(): void;
}

/** A gateway's identity part over a file of keys and a clock of the test's own. */
async function world<T>(
  use: (world: World) => Promise<T>,
  changes: Partial<Provider> = {},
  keys = [first, rsa],
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-identity-'));
  const file = join(folder, 'jwks.json');
  let now_ms = start_ms;
  writeFileSync(file, await published(keys));
  const identities = createIdentity({
    providers: [provider({ jwks: { file }, ...changes })],
    tokenLifetimeMax_ms: 3_600_000,
    clockSkew_ms: 30_000,
    now: () => now_ms,
  });
  try {
    return await use({
      identities,
      later: (ms) => {
        now_ms += ms;
      },
      publish: (content) => {
        writeFileSync(`${file}.new`, content);
        renameSync(`${file}.new`, file);
      },
      remove: () => rmSync(file),
    });
  } finally {
    identities.close();
    rmSync(folder, { recursive: true });
  }
}

/** How the token is refused. */
async function refusal(
  token: string | Promise<string>,
  identities: Identities,
): Promise<{ reason: string; message: string }> {
  const error: unknown = await identities.identify(await token).then(
    () => new Error('the token was accepted'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(IdentityError);
  const { reason, message } = error as IdentityError;
  return { reason, message };
}

describe('a valid token', () => {
  test('becomes a principal, by the names of claims that the configuration has', () =>
    world(
      async ({ identities }) => {
        const token = sign({
          'https://acme.example/groups': ['agents', 'billing', 'agents'],
          realm: { roles: 'readonly  reporter' },
          purpose: 'month-end report',
          kind: 'agent',
          team: 'finance',
          cost: { center: 7 },
          unknown: 'left out',
          act: { sub: 'ada@example.com', act: { sub: 'somebody before' } },
          jti: 'token-1',
          prompt: { id: 'p1', text: 'Close the month', trace: '00-abc-def-01' },
        });
        expect(await identities.identify(await token)).toEqual({
          principal: {
            subject: 'agent:billing-bot',
            issuer,
            kind: 'agent',
            groups: ['agents', 'billing'],
            roles: ['readonly', 'reporter'],
            purpose: 'month-end report',
            attributes: { team: 'finance', 'cost.center': 7 },
            actor: { subject: 'ada@example.com' },
            token: { id: 'token-1', issued: '2026-11-22T09:00:00.000Z', expires: '2026-11-22T09:10:00.000Z' },
          },
          expires_ms: start_ms + 600_000,
          prompt: { id: 'p1', text: 'Close the month', trace: '00-abc-def-01' },
        });
      },
      {
        claims: {
          groups: 'https://acme.example/groups',
          roles: 'realm.roles',
          purpose: 'purpose',
          kind: 'kind',
          prompt: 'prompt',
          attributes: ['team', 'cost.center', 'absent'],
        },
      },
    ));

  test('that says nothing more than it must gives a principal without rights', () =>
    world(async ({ identities }) => {
      const { principal, prompt } = await identities.identify(await sign());
      expect(principal).toMatchObject({ kind: 'service', groups: [], roles: [], attributes: {} });
      expect(principal).not.toHaveProperty('purpose');
      expect(prompt).toBeUndefined();
    }));

  test('may have several audiences, another key type, and white space around it', () =>
    world(async ({ identities }) => {
      const token = await sign({ aud: ['other', 'sallyport'] }, { alg: 'RS256', typ: 'at+jwt' }, rsa);
      expect((await identities.identify(`${token}\n`)).principal.subject).toBe('agent:billing-bot');
    }));

  test('gives the same frozen principal each time, until it expires', () =>
    world(async ({ identities, later }) => {
      const token = await sign({ groups: ['a'] });
      const identity = await identities.identify(token);
      expect(Object.isFrozen(identity.principal.groups)).toBe(true);
      expect(Object.isFrozen(identity.principal.token)).toBe(true);
      later(599_000);
      expect(await identities.identify(token)).toBe(identity);
      later(1_000);
      expect(await refusal(token, identities)).toEqual({
        reason: 'expired',
        message: 'the token expired 0s ago; get a new one',
      });
    }));

  test('may be dated a little ahead by its issuer, and no more than a little', () =>
    world(async ({ identities }) => {
      const ahead = (s: number) => sign({ iat: seconds + s, nbf: seconds + s, exp: seconds + s + 60 });
      await identities.identify(await ahead(29));
      expect((await refusal(ahead(31), identities)).reason).toBe('not_yet');
      expect((await refusal(sign({ iat: seconds + 31 }), identities)).reason).toBe('not_yet');
      expect((await refusal(sign({ nbf: seconds + 31 }), identities)).reason).toBe('not_yet');
    }));

  test('of two issuers for one subject makes two principals', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-identity-'));
    const file = join(folder, 'jwks.json');
    const other = 'https://other.example';
    writeFileSync(file, await published([first]));
    const identities = createIdentity({
      providers: [provider({ jwks: { file } }), provider({ name: 'other', issuer: other, jwks: { file } })],
      tokenLifetimeMax_ms: 3_600_000,
      clockSkew_ms: 0,
      now: () => start_ms,
    });
    const one = await identities.identify(await sign());
    const two = await identities.identify(await sign({ iss: other }));
    expect([one.principal.issuer, two.principal.issuer]).toEqual([issuer, other]);
    expect(one.principal.subject).toBe(two.principal.subject);
    identities.close();
    rmSync(folder, { recursive: true });
  });
});

describe('a token is refused, and says why', () => {
  const hs256 = () =>
    new SignJWT(standard).setProtectedHeader({ alg: 'HS256', kid: 'first' }).sign(Buffer.from('k'.repeat(32)));
  const cases: [string, () => string | Promise<string>, string, RegExp][] = [
    ['nothing', () => ' ', 'missing', /no token was given/u],
    ['a password', () => 'hunter2', 'not_a_token', /sign in with a token/u],
    [
      'one for another audience',
      () => sign({ aud: 'billing' }),
      'audience',
      /^the token is for audience "billing", this gateway is "sallyport"; ask for one for "sallyport"$/u,
    ],
    ['one without audience', () => sign({ aud: undefined }), 'claims', /"aud"/u],
    ['one that expired', () => sign({ iat: seconds - 600, exp: seconds - 180 }), 'expired', /expired 3m ago/u],
    [
      'one that expired within the skew',
      () => sign({ iat: seconds - 600, exp: seconds - 1 }),
      'expired',
      /expired 1s ago/u,
    ],
    [
      'one that lives too long',
      () => sign({ exp: seconds + 86_400 }),
      'lifetime',
      /a life of 24h; this gateway accepts at most 60m/u,
    ],
    ['one that never expires', () => sign({ exp: undefined }), 'claims', /"exp"/u],
    ['one that is not dated', () => sign({ iat: undefined }), 'claims', /"iat"/u],
    ['one for nobody', () => sign({ sub: undefined }), 'claims', /"sub"/u],
    ['one with a control character in its subject', () => sign({ sub: 'a\u001b[2J' }), 'claims', /"sub"/u],
    [
      'one of another issuer',
      () => sign({ iss: 'https://evil.example' }),
      'issuer',
      /"https:\/\/evil\.example" is not one/u,
    ],
    [
      'one of an issuer with a slash more',
      () => sign({ iss: `${issuer}/` }),
      'issuer',
      /not one that this gateway trusts/u,
    ],
    [
      'one signed with a key of the same name',
      () => sign({}, {}, { ...second, kid: 'first' }),
      'signature',
      /signature is not its issuer's/u,
    ],
    ['one signed with an unknown key', () => sign({}, {}, second), 'key', /does not publish/u],
    ['one that is not signed', () => new UnsecuredJWT(standard).encode(), 'algorithm', /not signed/u],
    ['one signed with a shared secret', hs256, 'algorithm', /"HS256"; this gateway accepts ES256, RS256/u],
    ['one with an algorithm left out of the list', () => sign({}, { alg: 'PS256' }, rsa), 'algorithm', /"PS256"/u],
    ['one of another sort', () => sign({}, { typ: 'logout+jwt' }), 'type', /"logout\+jwt"/u],
    ['one bound to a key', () => sign({ cnf: { jkt: 'x' } }), 'bound', /bearer token/u],
    ['an encrypted one', () => 'eyJhbGciOiJkaXIifQ..a.b.c', 'encrypted', /JWE/u],
    ['groups that are no list', () => sign({ groups: { a: 1 } }), 'claims', /"groups" must be a list of strings/u],
    ['groups that hold more than strings', () => sign({ groups: ['a', 1] }), 'claims', /"groups"/u],
    ['groups that are kept elsewhere', () => sign({ _claim_names: { groups: 'src1' } }), 'claims', /_claim_names/u],
    ['an unknown kind', () => sign({ kind: 'root' }), 'claims', /"kind" must be one of agent, human, service/u],
    ['a purpose that is no text', () => sign({ purpose: 7 }), 'claims', /"purpose"/u],
    ['an actor without a name', () => sign({ act: {} }), 'claims', /"act\.sub"/u],
    ['a prompt that is no text', () => sign({ prompt: { text: 7 } }), 'claims', /"prompt\.text"/u],
    ['one that is far too long', () => `eyJ${'a'.repeat(20_000)}`, 'too_long', /more than 16384 bytes/u],
  ];

  test.each(cases)('%s', (_, token, reason, message) =>
    world(async ({ identities }) => {
      const refused = await refusal(token(), identities);
      expect(refused.reason).toBe(reason);
      expect(refused.message).toMatch(message);
    }),
  );

  test('an extension that must be understood', () =>
    world(async ({ identities }) => {
      const token = await new SignJWT(standard)
        .setProtectedHeader({ alg: 'ES256', kid: 'first', crit: ['exp'], exp: 1 })
        .sign(first.privateKey, { crit: { exp: true } });
      expect((await refusal(token, identities)).reason).toBe('unsupported');
    }));

  test('a token that was cut off anywhere is never accepted, and mostly said to be cut off', () =>
    world(async ({ identities }) => {
      for (const token of [await sign(), await sign({}, { alg: 'RS256' }, rsa)]) {
        const reasons = new Map<string, number>();
        for (let length = 3; length < token.length; length += 1) {
          const { reason } = await refusal(token.slice(0, length), identities);
          reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
        }
        expect([...reasons.keys()]).toEqual(['cut_off']);
      }
    }));

  test('a token that is cut at 1023 bytes hears of it', () =>
    world(async ({ identities }) => {
      const token = await sign({ filler: 'x'.repeat(2_000) });
      expect((await refusal(token.slice(0, 1023), identities)).message).toMatch(/exactly 1023 bytes long/u);
    }));

  test('a token with any one character changed is never accepted', () =>
    world(async ({ identities }) => {
      const token = await sign();
      for (let at = 0; at < token.length - 1; at += 1) {
        const other = token[at] === 'A' ? 'B' : 'A';
        await refusal(token.slice(0, at) + other + token.slice(at + 1), identities);
      }
    }));

  test('no refusal repeats the token', () =>
    world(async ({ identities }) => {
      const token = await sign({ aud: 'x' });
      const error = (await identities.identify(token).catch((reason: unknown) => reason)) as IdentityError;
      expect(`${error.message} ${error.detail}`).not.toContain(token.slice(-40));
    }));
});

describe('keys in a file', () => {
  test('that is missing or no key set stops the start', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-identity-'));
    const file = join(folder, 'jwks.json');
    const open = () =>
      createIdentity({ providers: [provider({ jwks: { file } })], tokenLifetimeMax_ms: 1, clockSkew_ms: 0 });
    expect(open).toThrow(ConfigError);
    writeFileSync(file, '{}');
    expect(open).toThrow(/is no JWK Set/u);
    rmSync(folder, { recursive: true });
  });

  test('are followed when they rotate: a new key at once, an old one no longer than a second', () =>
    world(async ({ identities, publish, later }) => {
      const old = await sign();
      await identities.identify(old);
      later(1_000);
      publish(await published([first, second]));
      await identities.identify(await sign({}, {}, second));
      later(1_000);
      publish(await published([second]));
      later(1_000);
      expect((await refusal(old, identities)).reason).toBe('key');
      await identities.identify(await sign({}, {}, second));
    }));

  test('that cannot be read for a moment stay in force, and not for ever', () =>
    world(async ({ identities, publish, remove, later }) => {
      const token = await sign({ exp: seconds + 3_600 });
      later(1_000);
      publish('{"keys": [');
      await identities.identify(token);
      remove();
      later(590_000);
      await identities.identify(token);
      later(20_000);
      expect((await refusal(token, identities)).reason).toBe('keys');
      publish(await published([first]));
      later(1_000);
      await identities.identify(token);
    }));

  test('never verify with a secret, nor with the private half', () =>
    world(async ({ identities, publish, later }) => {
      const secret = Buffer.from('k'.repeat(32));
      publish(
        JSON.stringify({
          keys: [
            { kty: 'oct', kid: 'shared', k: secret.toString('base64url') },
            { ...(await exportJWK(first.privateKey)), kid: 'first' },
          ],
        }),
      );
      later(1_000);
      const token = await new SignJWT(standard).setProtectedHeader({ alg: 'HS256', kid: 'shared' }).sign(secret);
      expect((await refusal(token, identities)).reason).toBe('algorithm');
      await identities.identify(await sign());
    }));
});

describe('keys by discovery', () => {
  /** An issuer on loopback whose answers the test decides. */
  async function idp<T>(
    use: (idp: { issuer: string; keys: Signer[]; down: boolean; asked: string[] }) => Promise<T>,
  ): Promise<T> {
    const state = { issuer: '', keys: [first] as Signer[], down: false, asked: [] as string[] };
    const server = createServer((request, response) => {
      state.asked.push(request.url ?? '');
      if (state.down) return void response.writeHead(503).end();
      if (request.url === '/keys') return void published(state.keys).then((keys) => response.end(keys));
      response.end(JSON.stringify({ issuer: state.issuer, jwks_uri: `${new URL(state.issuer).origin}/keys` }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    state.issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      return await use(state);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }
  const open = (at: string, now: () => number) =>
    createIdentity({ providers: [provider({ issuer: at })], tokenLifetimeMax_ms: 3_600_000, clockSkew_ms: 0, now });

  test('are found, and fetched once for many tokens', () =>
    idp(async (state) => {
      const identities = open(state.issuer, () => start_ms);
      const tokens = await Promise.all([1, 2, 3].map((n) => sign({ iss: state.issuer, jti: String(n) })));
      await Promise.all(tokens.map((token) => identities.identify(token)));
      expect(state.asked).toEqual(['/.well-known/openid-configuration', '/keys']);
      expect((await refusal(sign({ iss: state.issuer }, {}, second), identities)).reason).toBe('key');
      identities.close();
    }));

  test('that cannot be had refuse the token, and are asked for again later', () =>
    idp(async (state) => {
      let now_ms = start_ms;
      state.down = true;
      const identities = open(state.issuer, () => now_ms);
      const token = await sign({ iss: state.issuer });
      expect(await refusal(token, identities)).toEqual({
        reason: 'keys',
        message: "the issuer's keys cannot be had at the moment; try again later",
      });
      state.down = false;
      now_ms += 5_000;
      await identities.identify(token);
      identities.close();
    }));

  test('of a document that names another issuer, or a place in clear, are not trusted', () =>
    idp(async (state) => {
      const at = state.issuer;
      state.issuer = 'http://127.0.0.2';
      const identities = open(at, () => start_ms);
      expect((await refusal(sign({ iss: at }), identities)).reason).toBe('keys');
      expect(state.asked).toEqual(['/.well-known/openid-configuration']);
      identities.close();

      const inClear = createIdentity({
        providers: [provider()],
        tokenLifetimeMax_ms: 3_600_000,
        clockSkew_ms: 0,
        now: () => start_ms,
        fetch: () => Promise.resolve(Response.json({ issuer, jwks_uri: 'http://idp.example/keys' })),
      });
      const error = (await inClear.identify(await sign()).catch((reason: unknown) => reason)) as IdentityError;
      expect(error.detail).toMatch(/"jwks_uri" that is not https/u);
    }));
});
