import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { startTestApi, type TestApi } from '../../test/support/api.js';
import { waitingRequest } from '../../test/support/approvers.js';
import type { Sent } from '../../test/support/https.js';
import { startOidcProvider, type OidcProvider } from '../../test/support/oidc.js';
import { createIdentity, type Identities } from '../identity/index.js';
import { consoleGate } from './index.js';

let provider: OidcProvider;
let identity: Identities;
let api: TestApi;
let now_ms = 0;
const now = () => Date.now() + now_ms;

beforeAll(async () => {
  provider = await startOidcProvider();
  const verified = {
    name: 'tests',
    issuer: provider.issuer,
    audience: [provider.clientId],
    algorithms: ['ES256'],
    claims: { groups: 'groups', roles: 'roles', purpose: 'purpose', kind: 'kind', prompt: 'prompt', attributes: [] },
    kindDefault: 'service',
  } as const;
  identity = createIdentity({ providers: [verified], tokenLifetimeMax_ms: 3_600_000, clockSkew_ms: 30_000, now });
  const signIn = {
    provider: verified,
    client_id: provider.clientId,
    client_secret: provider.clientSecret,
    scopes: ['openid'],
  };
  api = await startTestApi({
    idp: provider.idp,
    now,
    gates: (parts) => [
      consoleGate(parts, { signIn, origin: () => api.url, identify: (idToken) => identity.identify(idToken) }),
    ],
  });
  provider.redirect = `${api.url}/console/callback`;
});
afterAll(async () => {
  await api?.close();
  identity?.close();
  await provider?.close();
});
beforeEach(() => {
  provider.lies = {};
  provider.refused.length = 0;
  api.approvers.requests.clear();
  api.approvers.answers.length = 0;
  // So many sign-ins from one address would be too many within a second.
  now_ms += 60_000;
  is({ subject: 'ada@example.com', groups: ['dba'] });
});

/** Who is signed in next, by a provider with the same clock. */
function is(person: { subject: string; groups: string[] }): void {
  provider.person = { ...person, issuedIn: now_ms / 1000, expiresIn: now_ms / 1000 + 300 };
}

/** A browser's cookies, as far as these tests need one: by name, without rules. */
class Jar {
  readonly cookies = new Map<string, string>();

  async get(path: string, headers: Record<string, string> = {}): Promise<Sent> {
    return this.send('GET', path, headers);
  }

  async send(method: string, path: string, headers: Record<string, string> = {}, body?: unknown): Promise<Sent> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const sent = await api.call(path, { method, body, headers: { ...(cookie === '' ? {} : { cookie }), ...headers } });
    for (const one of [sent.headers['set-cookie'] ?? []].flat()) {
      const [, name, value] = /^([^=]+)=([^;]*)/u.exec(one)!;
      if (value === '') this.cookies.delete(name!);
      else this.cookies.set(name!, value!);
    }
    return sent;
  }
}

/** The page's own requests carry these. */
const own = () => ({ 'sec-fetch-site': 'same-origin', origin: api.url, 'sallyport-console': '1' });
const session = '__Host-sallyport';

/** To the provider and back; where the browser is sent then. */
async function atProvider(jar: Jar, to = '#/'): Promise<{ back: URL; begun: Sent }> {
  const begun = await jar.get(`/console/sign-in?to=${encodeURIComponent(to)}`);
  expect(begun.status).toBe(302);
  const answered = await fetch(String(begun.headers['location']), { redirect: 'manual' });
  expect(answered.status).toBe(302);
  return { back: new URL(answered.headers.get('location')!), begun };
}

async function signIn(jar: Jar, to?: string): Promise<Sent> {
  const { back } = await atProvider(jar, to);
  return jar.get(`${back.pathname}${back.search}`);
}

describe('signing in', () => {
  test('goes through the provider with PKCE, state and nonce, and ends in a session of the browser', async () => {
    const jar = new Jar();
    const { back, begun } = await atProvider(jar, '#/approvals/h-1');
    const asked = new URL(String(begun.headers['location'])).searchParams;
    expect(asked.get('code_challenge_method')).toBe('S256');
    expect(asked.get('state')!.length).toBeGreaterThan(20);
    expect(asked.get('nonce')!.length).toBeGreaterThan(20);
    const ended = await jar.get(`${back.pathname}${back.search}`);
    expect(ended.status).toBe(302);
    expect(ended.headers['location']).toBe('/console/#/approvals/h-1');
    const who = await jar.get('/console/v1/whoami', own());
    expect(who.json()).toMatchObject({ subject: 'ada@example.com', groups: ['dba'], roles: [] });
    expect((await api.records()).filter(({ act }) => act === 'sign_in')).toHaveLength(1);
  });

  test('the cookies are for this host alone, over TLS, out of reach of scripts and of other sites', async () => {
    const jar = new Jar();
    const { back, begun } = await atProvider(jar);
    expect(begun.headers['set-cookie']).toEqual([
      expect.stringMatching(
        /^__Host-sallyport-sign-in=[\w-]{43}; Path=\/; Max-Age=600; Secure; HttpOnly; SameSite=Lax$/,
      ),
    ]);
    const ended = await jar.get(`${back.pathname}${back.search}`);
    expect(ended.headers['set-cookie']).toEqual([
      expect.stringMatching(/^__Host-sallyport-sign-in=; Path=\/; Max-Age=0; /),
      expect.stringMatching(
        /^__Host-sallyport=[\w-]{43}; Path=\/; Max-Age=\d{1,3}; Secure; HttpOnly; SameSite=Strict$/,
      ),
    ]);
  });

  test('roles come from groups', async () => {
    is({ subject: 'root@example.com', groups: ['security'] });
    const jar = new Jar();
    await signIn(jar);
    expect((await jar.get('/console/v1/whoami', own())).json()).toMatchObject({
      roles: ['administrator', 'auditor', 'publisher'],
    });
    expect((await jar.get('/console/v1/policy', own())).status).toBe(200);
  });

  const refusals: [string, string, () => Promise<Sent>][] = [
    ['a state that is another', 'mixed_up', async () => changed((query) => query.set('state', 'another'))],
    ['a callback that this browser did not begin', 'mixed_up', async () => changed(() => undefined, new Jar())],
    ['no code', 'mixed_up', async () => changed((query) => query.delete('code'))],
    ['a code that the provider did not give', 'provider', async () => changed((query) => query.set('code', 'another'))],
    ['a nonce that is another', 'mixed_up', async () => lied({ nonce: 'another' })],
    ['no nonce', 'mixed_up', async () => lied({ nonce: undefined })],
    ['a token for another audience', 'mixed_up', async () => lied({ aud: 'elsewhere' })],
    ["a token for the gateway itself, which is every agent's", 'mixed_up', async () => lied({ aud: 'sallyport' })],
    ['a token of another issuer', 'mixed_up', async () => lied({ iss: 'https://evil.example' })],
    ['a token that is over', 'provider', async () => lied({ exp: Math.floor(Date.now() / 1000) - 7200 })],
    ['a denial', 'denied', async () => changed((query) => (query.delete('code'), query.set('error', 'access_denied')))],
  ];

  async function changed(change: (query: URLSearchParams) => void, jar?: Jar): Promise<Sent> {
    const began = new Jar();
    const { back } = await atProvider(began);
    change(back.searchParams);
    return (jar ?? began).get(`${back.pathname}${back.search}`);
  }
  async function lied(lies: Record<string, unknown>): Promise<Sent> {
    provider.lies = lies;
    return signIn(new Jar());
  }

  test.each(refusals)('%s signs nobody in', async (_, reason, attempt) => {
    const sent = await attempt();
    expect(sent.headers['location']).toMatch(/^\/console\/#\/signed-out\/(mixed_up|provider|token|denied)$/);
    expect(sent.headers['location']).toBe(`/console/#/signed-out/${reason}`);
    expect([sent.headers['set-cookie']].flat().join()).not.toContain(`${session}=`);
    expect((await api.records()).at(-1)).toMatchObject({ kind: 'sign_in_refused', reason: `console_${reason}` });
  });

  test('a code that was stolen is worth nothing without what the browser kept', async () => {
    const victim = new Jar();
    const { back } = await atProvider(victim);
    const thief = new Jar();
    await atProvider(thief);
    // The thief's own sign-in, with the victim's code and even the victim's state put in its place.
    const sent = await thief.get(`${back.pathname}${back.search}`);
    expect(sent.headers['location']).toBe('/console/#/signed-out/mixed_up');
    expect(thief.cookies.has(session)).toBe(false);
  });

  test('an answer of the provider serves once', async () => {
    const jar = new Jar();
    const { back } = await atProvider(jar);
    const cookies = new Map(jar.cookies);
    await jar.get(`${back.pathname}${back.search}`);
    const again = new Jar();
    for (const [name, value] of cookies) again.cookies.set(name, value);
    expect((await again.get(`${back.pathname}${back.search}`)).headers['location']).toContain('mixed_up');
  });

  test('what was begun is over after ten minutes', async () => {
    const jar = new Jar();
    const { back } = await atProvider(jar);
    now_ms += 601_000;
    expect((await jar.get(`${back.pathname}${back.search}`)).headers['location']).toContain('too_late');
  });

  test.each([
    'https://evil.example',
    '//evil.example',
    '/\\evil.example',
    '#//evil.example"><script>',
    '#/a\r\nset-cookie: x=y',
  ])('it leads to no other site: %j', async (to) => {
    expect((await signIn(new Jar(), to)).headers['location']).toMatch(/^\/console\/#\/$/);
  });

  test('a session that somebody else prepared is not taken over, and the one before ends', async () => {
    const jar = new Jar();
    jar.cookies.set(session, 'A'.repeat(43));
    await signIn(jar);
    const first = jar.cookies.get(session)!;
    expect(first).not.toBe('A'.repeat(43));
    await signIn(jar);
    expect(jar.cookies.get(session)).not.toBe(first);
    const old = new Jar();
    old.cookies.set(session, first);
    expect((await old.get('/console/v1/whoami', own())).status).toBe(401);
  });

  test('too many from one address have to wait', async () => {
    const answers: Sent[] = [];
    for (let n = 0; n < 22; n++) answers.push(await new Jar().get('/console/sign-in'));
    expect(answers.at(-1)?.status).toBe(429);
  });
});

describe('a session', () => {
  test('ends with the token that it was made from', async () => {
    const jar = new Jar();
    await signIn(jar);
    expect((await jar.get('/console/v1/whoami', own())).status).toBe(200);
    now_ms += 301_000;
    expect((await jar.get('/console/v1/whoami', own())).json()).toMatchObject({ status: 401, code: 'signed_out' });
  });

  test('ends when its reader signs out, on the gateway too', async () => {
    const jar = new Jar();
    await signIn(jar);
    const value = jar.cookies.get(session)!;
    expect((await jar.send('POST', '/console/sign-out', own())).status).toBe(204);
    expect(jar.cookies.has(session)).toBe(false);
    jar.cookies.set(session, value);
    expect((await jar.get('/console/v1/whoami', own())).status).toBe(401);
  });

  test('is nothing to the API for tokens, and a token is nothing to the console', async () => {
    const jar = new Jar();
    await signIn(jar);
    expect((await jar.get('/v1/whoami', own())).json()).toMatchObject({ code: 'no_token' });
    const authorization = `Bearer ${await provider.idp.issueToken({ subject: 'ada@example.com' })}`;
    expect((await new Jar().get('/console/v1/whoami', { ...own(), authorization })).status).toBe(401);
  });

  test('two cookies of its name are two that nobody is believed by', async () => {
    const jar = new Jar();
    await signIn(jar);
    const cookie = `${session}=${jar.cookies.get(session)!}; ${session}=planted`;
    expect((await api.call('/console/v1/whoami', { headers: { ...own(), cookie } })).status).toBe(401);
  });
});

describe('what another site makes a browser send', () => {
  const foreign: [string, () => Record<string, string>][] = [
    ['from another site', () => ({ ...own(), 'sec-fetch-site': 'cross-site' })],
    ['from a neighbour', () => ({ ...own(), 'sec-fetch-site': 'same-site' })],
    ['from another origin', () => ({ ...own(), origin: 'https://evil.example' })],
    ['from an origin that hides itself', () => ({ ...own(), origin: 'null' })],
    ['from an address that was typed or linked', () => ({ ...own(), 'sec-fetch-site': 'none' })],
    ['by a form, which has no header of ours', () => ({ 'sec-fetch-site': 'same-origin', origin: api.url })],
    ['by a browser that says nothing of where from', () => ({ 'sallyport-console': '1' })],
  ];
  test.each(foreign)('%s changes nothing', async (_, headers) => {
    api.approvers.add(waitingRequest());
    const jar = new Jar();
    await signIn(jar);
    const sent = await jar.send('POST', '/console/v1/approvals/h-1/approve', headers(), {});
    expect(sent.json()).toMatchObject({ status: 403, code: 'other_origin' });
    expect((await jar.send('POST', '/console/sign-out', headers())).status).toBe(403);
    expect(api.approvers.answers).toEqual([]);
    // The page itself is heard.
    expect((await jar.send('POST', '/console/v1/approvals/h-1/approve', own(), {})).status).toBe(200);
    expect(api.approvers.answers).toMatchObject([{ id: 'h-1', answer: { kind: 'approve', through: 'console' } }]);
  });

  test('is not read either', async () => {
    const jar = new Jar();
    await signIn(jar);
    expect((await jar.get('/console/v1/approvals', { 'sec-fetch-site': 'cross-site' })).status).toBe(403);
  });
});

describe('the page', () => {
  test.each(['/console/', '/console/main.js', '/console/console.css', '/console/icon.svg'])(
    '%s runs its own scripts and no text',
    async (path) => {
      const sent = await api.call(path);
      expect(sent.status).toBe(200);
      expect(sent.headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
      const policy = String(sent.headers['content-security-policy']);
      for (const part of [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "require-trusted-types-for 'script'",
      ])
        expect(policy.split('; ')).toContain(part);
      expect(policy).not.toContain('unsafe');
    },
  );

  test('has no script and no style inside its markup', async () => {
    const { text } = await api.call('/console/');
    expect(text).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\son[a-z]+=|\sstyle=|javascript:/iu);
  });

  test.each([
    '/console/../package.json',
    '/console/%2e%2e/%2e%2e/package.json',
    '/console/sql.d.ts',
    '/console/console.ts',
  ])('%s is not served', async (path) => {
    expect((await api.call(path)).status).toBe(404);
  });

  test('may be looked through as fast as a browser can; what does something is counted apart', async () => {
    const many = Array.from({ length: 800 }, () => new Jar().get('/console/icon.svg'));
    expect(new Set((await Promise.all(many)).map(({ status }) => status))).toEqual(new Set([200]));
    expect((await new Jar().get('/console/v1/whoami', own())).status).toBe(401);
  });

  test('is where a link to a request leads', async () => {
    const sent = await api.call('/console/approvals/h-7%2F..%2F%0d%0ax');
    expect(sent.headers['location']).toBe('/console/#/approvals/h-7%2F..%2F%0D%0Ax');
    expect((await api.call('/')).headers['location']).toBe('/console/');
  });
});
