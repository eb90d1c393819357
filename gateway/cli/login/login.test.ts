import { chmod, lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { startTestApi, type TestApi } from '../../../test/support/api.js';
import { startLoginProvider, type LoginProvider } from '../../../test/support/login-provider.js';
import { discoveryGate } from '../../api/index.js';
import type { OwnTokens } from '../../identity/index.js';
import { runCommandLine } from '../index.js';
import type { Surroundings } from '../surroundings.js';
import { tokenFolder } from './folder.js';

let provider: LoginProvider;
let api: TestApi;
let home: string;

beforeAll(async () => {
  provider = await startLoginProvider();
  const login = {
    issuer: provider.issuer,
    client_id: provider.clientId,
    scopes: ['openid', 'offline_access'],
    audience: 'sallyport',
    token: 'access',
  } as const;
  api = await startTestApi({
    idp: provider.idp,
    gates: () => [discoveryGate({ issuer: 'https://gateway.example' } as OwnTokens, login)],
  });
  home = join(api.folder, 'home');
});
afterAll(async () => {
  await api?.close();
  await provider?.close();
});
beforeEach(async () => {
  await rm(home, { recursive: true, force: true });
  await mkdir(home, { mode: 0o755 });
  Object.assign(provider, { lies: {}, takesCodes: true, opaque: false, device_expires_s: 600 });
  provider.person = { subject: 'ada@example.com', kind: 'human' };
  provider.device.length = provider.asked.length = provider.revoked.length = 0;
});

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly waits: readonly number[];
}

async function run(args: readonly string[], more: Partial<Surroundings> = {}): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  const waits: number[] = [];
  const code = await runCommandLine(args, {
    env: { HOME: home, SALLYPORT_URL: api.url, SALLYPORT_CA: api.caFile, PATH: process.env['PATH'] },
    fallbackFolder: api.folder,
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
    wait: async (time_ms) => void waits.push(time_ms),
    ...more,
  });
  return { code, stdout, stderr, waits };
}

const folder = () => tokenFolder({ HOME: home });
const kept = async () => (await readdir(folder()).catch(() => [])).filter((name) => name.endsWith('.json'));
const file = async () => join(folder(), (await kept())[0] ?? 'none');
/** A browser that goes where it is sent; `before` is what else comes to the port in the meantime. */
const browser = (before: (page: URL) => Promise<void> = async () => undefined) => {
  let shown: (answer: { status: number; text: string }) => void;
  const answer = new Promise<{ status: number; text: string }>((resolve) => (shown = resolve));
  const browse = (page: string) => {
    void before(new URL(page))
      .then(() => fetch(page))
      .then(async (response) => shown({ status: response.status, text: await response.text() }));
    return true;
  };
  return { browse, answer };
};

describe('the device flow', () => {
  test('shows a page and a code, waits as the provider says, and keeps the token for its owner alone', async () => {
    provider.device.push('authorization_pending', 'slow_down', 'authorization_pending');
    const { code, stdout, stderr, waits } = await run(['login', '--device']);
    expect([code, stdout]).toEqual([0, '']);
    expect(stderr).toContain(`Open ${provider.issuer}/device\nand check that the code there is WDJB-MJHT\n`);
    expect(stderr).toContain('Signed in as ada@example.com');
    // RFC 8628, 3.5: slower by five seconds from then on.
    expect(waits).toEqual([5_000, 5_000, 10_000, 10_000]);
    expect((await lstat(folder())).mode & 0o777).toBe(0o700);
    expect((await lstat(await file())).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(await file(), 'utf8'))).toMatchObject({ gateway: api.url });
    expect(await readdir(folder())).toHaveLength(1);
  });

  test.each([
    ['denied', ['authorization_pending', 'access_denied'] as const, 600, 'denied at the provider'],
    ['expired', ['expired_token'] as const, 600, 'the code has expired'],
    ['never answered', Array.from({ length: 9 }, () => 'authorization_pending' as const), 15, 'the code has expired'],
  ])('that is %s keeps nothing', async (_, answers, expires_s, why) => {
    provider.device.push(...answers);
    provider.device_expires_s = expires_s;
    const { code, stderr } = await run(['login', '--device']);
    expect([code, stderr]).toEqual([3, expect.stringContaining(why)]);
    expect(await kept()).toEqual([]);
  });
});

describe('code with PKCE', () => {
  test('comes back over loopback, and is asked for the gateway', async () => {
    const { browse, answer } = browser();
    expect(await run(['login', '--json'], { browse })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('"subject":"ada@example.com"') as unknown,
    });
    expect(await answer).toEqual({ status: 200, text: 'You are signed in. This page can be closed.\n' });
    expect(provider.asked[0]?.get('code_verifier')).toMatch(/^[\w-]{43}$/u);
    expect(await kept()).toHaveLength(1);
  });

  test('is not ended by what carries another state, another path or another host', async () => {
    const seen: number[] = [];
    const { browse, answer } = browser(async (page) => {
      const back = page.searchParams.get('redirect_uri') ?? '';
      for (const url of [`${back}?code=x&state=wrong`, `${back}?code=x`, new URL('/other', back).href])
        seen.push((await fetch(url)).status);
      const state = page.searchParams.get('state') ?? '';
      seen.push((await fetch(`${back.replace('127.0.0.1', 'localhost')}?code=x&state=${state}`)).status);
    });
    expect(await run(['login'], { browse })).toMatchObject({ code: 0 });
    expect(seen).toEqual([400, 400, 404, 404]);
    expect(await answer).toMatchObject({ status: 200 });
  });

  test.each<[string, () => void, RegExp]>([
    ['a code of another sign-in', () => (provider.lies = { code: 'another' }), /invalid_grant/u],
    ['a code that is not taken back', () => (provider.takesCodes = false), /invalid_grant/u],
    [
      'an answer of another provider (mix-up)',
      () => (provider.lies = { iss: 'https://evil.example' }),
      /nobody was signed in/u,
    ],
    [
      'an answer that does not say of which provider',
      () => (provider.lies = { iss: undefined }),
      /nobody was signed in/u,
    ],
    ['a no', () => (provider.lies = { code: undefined, error: 'access_denied' }), /access_denied/u],
    ['a token that the gateway cannot check', () => (provider.opaque = true), /no JWT/u],
  ])('%s signs nobody in', async (_, lie, why) => {
    lie();
    const { browse } = browser();
    const { code, stderr } = await run(['login'], { browse });
    expect([code, stderr]).toEqual([3, expect.stringMatching(why)]);
    expect(await kept()).toEqual([]);
  });

  test('an answer of another provider does not get the code', async () => {
    provider.lies = { iss: 'https://evil.example' };
    const { browse } = browser();
    await run(['login'], { browse });
    expect(provider.asked).toEqual([]);
  });

  test('a token that the gateway refuses is not kept', async () => {
    provider.person = { audience: 'somebody else' };
    const { browse } = browser();
    expect(await run(['login'], { browse })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is for audience') as unknown,
    });
    expect(await kept()).toEqual([]);
  });
});

describe('the kept token', () => {
  const signIn = async () => expect(await run(['login', '--device'])).toMatchObject({ code: 0 });

  test('is printed, serves commands, and is sent to its gateway alone', async () => {
    await signIn();
    const { code, stdout } = await run(['token']);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^eyJ[\w.-]+\n$/u)]);
    expect(await run(['approvals'])).toMatchObject({ code: 0, stdout: 'Nothing waits for you.\n' });
    expect(await run(['token', '--gateway', 'https://127.0.0.1:1'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('sallyport login') as unknown,
    });
  });

  test('is refreshed once by two programs at once, when it ends soon', async () => {
    provider.person = { subject: 'ada@example.com', expiresIn: 30 };
    await signIn();
    provider.person = { subject: 'ada@example.com', expiresIn: 300 };
    provider.asked.length = 0;
    const real = { wait: (time_ms: number) => new Promise<void>((done) => setTimeout(done, time_ms)) };
    const both = await Promise.all([run(['token'], real), run(['token'], real)]);
    expect(both[0].stdout).toBe(both[1].stdout);
    expect(provider.asked.map((form) => form.get('grant_type'))).toEqual(['refresh_token']);
    expect(provider.asked[0]?.get('audience')).toBe('sallyport');
  });

  test('that is over and cannot be refreshed says to sign in again', async () => {
    provider.person = { subject: 'ada@example.com', expiresIn: 30 };
    await signIn();
    const text = await readFile(await file(), 'utf8');
    await writeFile(await file(), JSON.stringify({ ...(JSON.parse(text) as object), expires_ms: 1, refresh: 'gone' }));
    expect(await run(['token'])).toMatchObject({
      code: 3,
      stdout: '',
      stderr: expect.stringContaining('Sign in again: `sallyport login`') as unknown,
    });
  });

  test.each<[string, () => Promise<void>, string]>([
    ['that others may read', async () => chmod(await file(), 0o640), 'mode 640'],
    ['in a folder that others may read', async () => chmod(folder(), 0o755), 'mode 755'],
    [
      'that is a link',
      async () => {
        const there = await file();
        await writeFile(join(home, 'elsewhere'), await readFile(there), { mode: 0o600 });
        await rm(there);
        await symlink(join(home, 'elsewhere'), there);
      },
      'is a link',
    ],
    ['that is damaged', async () => writeFile(await file(), '{'), 'is damaged'],
  ])('%s is not used', async (_, damage, why) => {
    await signIn();
    await damage();
    expect(await run(['token'])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining(why) as unknown,
    });
  });

  test('goes with logout, and the refresh token is taken back', async () => {
    await signIn();
    const { refresh } = JSON.parse(await readFile(await file(), 'utf8')) as { refresh: string };
    expect(await run(['logout'])).toMatchObject({ code: 0, stderr: 'Signed out\n' });
    expect(provider.revoked).toEqual([refresh]);
    expect(await kept()).toEqual([]);
    expect(await run(['token'])).toMatchObject({ code: 2 });
  });
});

test.each([
  ['linux', { HOME: '/srv/ada' }, '/srv/ada/.local/state/sallyport/tokens'],
  ['linux', { HOME: '/srv/ada', XDG_STATE_HOME: '/state' }, '/state/sallyport/tokens'],
  ['linux', { HOME: '/srv/ada', XDG_STATE_HOME: 'relative' }, '/srv/ada/.local/state/sallyport/tokens'],
  ['darwin', { HOME: '/srv/ada' }, '/srv/ada/Library/Application Support/sallyport/tokens'],
  ['win32', { LOCALAPPDATA: 'C:\\Users\\ada\\AppData\\Local' }, 'C:\\Users\\ada\\AppData\\Local\\sallyport\\tokens'],
] as const)('on %s, with %j, tokens stand in %s', (platform, env, expected) => {
  expect(tokenFolder(env, platform)).toBe(expected);
});
