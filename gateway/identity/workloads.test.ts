import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CompactSign, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { createIdentity, type Identities } from './index.js';

/** Tokens in the shapes that platforms give to what runs on them, by the mapping that docs/configuration.md has. */

const platforms = {
  kubernetes: 'https://kubernetes.default.svc.cluster.local',
  spire: 'https://spire.example',
  github: 'https://token.actions.githubusercontent.com',
  gitlab: 'https://gitlab.example',
};
const attributes: Record<keyof typeof platforms, string[]> = {
  kubernetes: ['kubernetes.io.namespace', 'kubernetes.io.serviceaccount.name'],
  spire: [],
  github: ['repository', 'ref'],
  gitlab: ['project_path', 'ref_protected'],
};

let folder: string;
let identities: Identities;
let signText: (payload: string) => Promise<string>;
let sign: (claims: Record<string, unknown>, header?: Record<string, unknown>) => Promise<string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-workloads-'));
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  const file = join(folder, 'jwks.json');
  await writeFile(file, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one' }] }));
  const now_s = Math.floor(Date.now() / 1000);
  sign = (claims, header = {}) =>
    new SignJWT({ iat: now_s, nbf: now_s, exp: now_s + 600, ...claims })
      .setProtectedHeader({ alg: 'RS256', kid: 'one', ...header })
      .sign(privateKey);
  signText = (payload) =>
    new CompactSign(Buffer.from(payload)).setProtectedHeader({ alg: 'RS256', kid: 'one' }).sign(privateKey);
  identities = createIdentity({
    providers: (Object.keys(platforms) as (keyof typeof platforms)[]).map((name) => ({
      name,
      issuer: platforms[name],
      jwks: { file },
      audience: ['sallyport'],
      algorithms: ['RS256'],
      claims: {
        groups: 'groups',
        roles: 'roles',
        purpose: 'purpose',
        kind: 'kind',
        prompt: 'prompt',
        attributes: attributes[name],
      },
      kindDefault: 'service',
    })),
    tokenLifetimeMax_ms: 3_600_000,
    clockSkew_ms: 30_000,
  });
});
afterAll(async () => {
  identities?.close();
  await rm(folder, { recursive: true, force: true });
});

test('a service account of Kubernetes is known with its namespace', async () => {
  const token = await sign({
    iss: platforms.kubernetes,
    aud: ['sallyport'],
    sub: 'system:serviceaccount:billing:reporter',
    jti: 'a1',
    'kubernetes.io': {
      namespace: 'billing',
      node: { name: 'n1', uid: 'u1' },
      pod: { name: 'reporter-1', uid: 'u2' },
      serviceaccount: { name: 'reporter', uid: 'u3' },
      warnafter: 1,
    },
  });
  expect((await identities.identify(token)).principal).toMatchObject({
    subject: 'system:serviceaccount:billing:reporter',
    kind: 'service',
    attributes: { 'kubernetes.io.namespace': 'billing', 'kubernetes.io.serviceaccount.name': 'reporter' },
  });
});

test('a JWT-SVID is known by its SPIFFE id', async () => {
  const claims = { iss: platforms.spire, aud: ['sallyport'], sub: 'spiffe://prod.example/ns/billing/sa/reporter' };
  const { principal } = await identities.identify(await sign(claims, { typ: 'JOSE' }));
  expect(principal.subject).toBe('spiffe://prod.example/ns/billing/sa/reporter');
  await expect(identities.identify(await sign({ ...claims, aud: ['another'] }))).rejects.toMatchObject({
    reason: 'audience',
  });
});

test('a job of GitHub Actions or GitLab is known with its repository', async () => {
  const github = await sign(
    {
      iss: platforms.github,
      aud: 'sallyport',
      sub: 'repo:acme/shop:ref:refs/heads/main',
      repository: 'acme/shop',
      ref: 'refs/heads/main',
      actor: 'ada',
      run_attempt: '1',
    },
    { typ: 'JWT', x5t: 'ignored' },
  );
  const first = (await identities.identify(github)).principal;
  expect(first).toMatchObject({ attributes: { repository: 'acme/shop', ref: 'refs/heads/main' } });
  // "actor" there is who pushed, and nobody who is acted for.
  expect(first).not.toHaveProperty('actor');
  const gitlab = await sign({
    iss: platforms.gitlab,
    aud: 'sallyport',
    sub: 'project_path:acme/shop:ref_type:branch:ref:main',
    project_path: 'acme/shop',
    ref_protected: 'true',
  });
  const second = (await identities.identify(gitlab)).principal;
  expect(second).toMatchObject({ issuer: platforms.gitlab, attributes: { project_path: 'acme/shop' } });
});

test.each([
  ['a subject', '"sub":"one","sub":"two"'],
  ['a subject, spelt otherwise', '"sub":"one","\\u0073ub":"two"'],
  ['something inside', '"sub":"one","a":[{"b":{"c":1,"d":{},"c":2}}]'],
])('an issuer that says %s twice is not believed', async (_, part) => {
  const now_s = Math.floor(Date.now() / 1000);
  const rest = `"iss":"${platforms.spire}","aud":"sallyport","iat":${now_s},"exp":${now_s + 60}`;
  await expect(identities.identify(await signText(`{${part},${rest}}`))).rejects.toMatchObject({ reason: 'malformed' });
  const once = `{"sub":"{\\"sub\\":\\"sub\\":","a":{"sub":[{"sub":1},{"sub":2}]},${rest}}`;
  expect((await identities.identify(await signText(once))).principal.subject).toBe('{"sub":"sub":');
});
