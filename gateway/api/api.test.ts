import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { apiIdentities } from '../../test/support/api.js';
import { FakeApprovers, waitingRequest } from '../../test/support/approvers.js';
import { caller, type Sent } from '../../test/support/https.js';
import { createIdentityProvider, type IdentityProvider, type TokenOptions } from '../../test/support/idp.js';
import { IdentityError } from '../errors.js';
import { openAudit, type Audit } from '../audit/index.js';
import type { Identities } from '../identity/index.js';
import type { RevocationListener, RevokeQuery } from '../live/index.js';
import { PromptsInMemory } from '../prompts/prompts.js';
import type { Effect, Listener } from '../protocol.js';
import type { KillQuery, Sessions } from '../sessions.js';
import { apiGate, healthGate, listenHttps, ownCertificate } from './index.js';

let folder: string;
let idp: IdentityProvider;
let identity: Identities;
let audit: Audit;
let listener: Listener;
let call: (path: string, options?: Parameters<ReturnType<typeof caller>>[1]) => Promise<Sent>;
let ca: string;
let approvers: FakeApprovers;
const revocationListeners = new Set<RevocationListener>();
let killed: KillQuery[];
let revoked: RevokeQuery[];

const sessions: Sessions = {
  list: async () => [],
  kill: async (query) => {
    killed.push(query);
    return { killed: 2 };
  },
};

const dba: TokenOptions = { subject: 'ada@example.com', kind: 'human', groups: ['dba'] };
const bot: TokenOptions = { subject: 'agent:billing-bot', groups: ['agents'] };
const other: TokenOptions = { subject: 'agent:other', groups: ['agents'] };
const auditor: TokenOptions = { subject: 'eve@example.com', groups: ['audit'] };
const administrator: TokenOptions = { subject: 'root@example.com', groups: ['security'] };

const bearer = async (token: TokenOptions) => ({ authorization: `Bearer ${await idp.issueToken(token)}` });
const as = async (token: TokenOptions, path: string, options: { method?: string; body?: unknown } = {}) =>
  call(path, { ...options, headers: await bearer(token) });
const records = async () =>
  (await readFile(join(folder, 'audit.jsonl'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-api-'));
  idp = await createIdentityProvider();
  await idp.writeJwks(join(folder, 'jwks.json'));
  identity = apiIdentities(idp, folder);
  audit = await openAudit({ durability: 'by_action', sinks: [{ file: join(folder, 'audit.jsonl') }], now: Date.now });
  const own = await ownCertificate(folder, ['127.0.0.1'], Date.now());
  ca = own.certificate;
  const relay = new FakeApprovers();
  approvers = relay;
  listener = await listenHttps({
    address: { host: '127.0.0.1', port: 0, tls: own },
    gates: [
      healthGate(() => ({ reasons: [], warnings: [] })),
      apiGate({
        identify: (token) => identity.identify(token),
        roles: { administrators: ['security'], auditors: ['audit'] },
        approvers: relay,
        sessions,
        revocations: {
          check: ({ principal }) => {
            if (principal.subject === 'agent:revoked') throw new IdentityError('revoked', 'the token was revoked');
          },
          revoke: async (query) => {
            revoked.push(query);
            for (const tell of revocationListeners) tell(({ subject }) => subject === query.subject);
            return { kept: true, expires_ms: 0 };
          },
          subscribe: (listener) => {
            revocationListeners.add(listener);
            return () => revocationListeners.delete(listener);
          },
        },
        prompts: new PromptsInMemory(),
        audit,
        auditFiles: async () => [join(folder, 'audit.jsonl')],
        policy: {
          status: () => ({ format: 1, source: 'tests', pid: 1, restored: false, history: [] }),
          inForce: () => undefined,
          rules: () => [],
          asOpa: () => ({ labels: { id: 'tests' }, bundles: {}, plugins: {} }),
        },
        log: pino({ level: 'silent' }),
        now: Date.now,
      }),
    ],
    log: pino({ level: 'silent' }),
    now: Date.now,
    strictTransport: false,
  });
  call = caller({ ...listener.address, ca });
});

beforeEach(() => {
  approvers.requests.clear();
  approvers.answers.length = 0;
  approvers.given.length = 0;
  killed = [];
  revoked = [];
});

afterAll(async () => {
  await listener.close();
  identity.close();
  await audit.close();
  await rm(folder, { recursive: true, force: true });
});

describe('the certificate that is made here', () => {
  test('is kept with a key that only its owner reads, and used again', async () => {
    expect((await stat(join(folder, 'https.key'))).mode & 0o777).toBe(0o600);
    const again = await ownCertificate(folder, ['127.0.0.1'], Date.now());
    expect(again.certificate).toBe(ca);
  });

  test('is made anew before it expires, and for a name that it was not good for', async () => {
    const elsewhere = await mkdtemp(join(tmpdir(), 'sallyport-certificate-'));
    try {
      const first = await ownCertificate(elsewhere, [], Date.now());
      const named = await ownCertificate(elsewhere, ['gateway.example'], Date.now());
      expect(named.fingerprint).not.toBe(first.fingerprint);
      const later = await ownCertificate(elsewhere, ['gateway.example'], Date.now() + 380 * 86_400_000);
      expect(later.fingerprint).not.toBe(named.fingerprint);
    } finally {
      await rm(elsewhere, { recursive: true, force: true });
    }
  });
});

describe('who is let in', () => {
  const secretless: [string, () => Promise<Record<string, string>>, string][] = [
    ['no token', async () => ({}), 'no_token'],
    ['another scheme', async () => ({ authorization: 'Basic YTpi' }), 'scheme'],
    ['a token for another audience', () => bearer({ ...dba, audience: 'elsewhere' }), 'audience'],
    ['an expired token', () => bearer({ ...dba, issuedIn: -600, expiresIn: -60 }), 'expired'],
    ['a token of an unknown issuer', () => bearer({ ...dba, issuer: 'https://evil.example' }), 'issuer'],
    [
      'a forged token',
      async () => {
        const forger = await createIdentityProvider();
        return { authorization: `Bearer ${await forger.issueToken(dba)}` };
      },
      'key',
    ],
    ['a cookie that nobody was given', async () => ({ cookie: '__Host-sallyport=made-up' }), 'no_token'],
  ];
  test.each(secretless)('not with %s', async (_name, headers, code) => {
    approvers.add(waitingRequest());
    for (const [path, method] of [
      ['/v1/approvals', 'GET'],
      ['/v1/approvals/h-1/approve', 'POST'],
      ['/v1/sessions/kill', 'POST'],
      ['/v1/audit', 'GET'],
      ['/v1/events', 'GET'],
    ] as const) {
      const answer = await call(path, { method, headers: await headers(), ...(method === 'POST' ? { body: {} } : {}) });
      expect([path, answer.status, answer.json().code]).toEqual([path, 401, code]);
      expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8');
    }
    expect(approvers.answers).toEqual([]);
  });

  test('not with a token that was revoked', async () => {
    const answer = await as({ subject: 'agent:revoked' }, '/v1/whoami');
    expect([answer.status, answer.json().code]).toEqual([401, 'revoked']);
  });

  test('with a token, and told what the token says', async () => {
    const answer = await as(administrator, '/v1/whoami');
    expect(answer.json()).toMatchObject({
      subject: 'root@example.com',
      roles: ['administrator', 'auditor', 'publisher'],
    });
  });

  test('health is for everybody', async () => {
    expect((await call('/healthz')).json()).toEqual({ status: 'ok' });
    expect((await call('/readyz')).json()).toEqual({ status: 'ready' });
  });
});

describe('requests', () => {
  test('are seen by who is asked, by whose they are, and by auditors; by nobody else', async () => {
    approvers.add(waitingRequest());
    const seen = async (token: TokenOptions) =>
      (await as(token, '/v1/approvals')).json<{ approvals: { id: string }[] }>().approvals.map(({ id }) => id);
    expect(await seen(dba)).toEqual(['h-1']);
    expect(await seen(bot)).toEqual(['h-1']);
    expect(await seen(auditor)).toEqual(['h-1']);
    expect(await seen(other)).toEqual([]);
    expect((await as(other, '/v1/approvals/h-1')).status).toBe(404);
    expect((await as(other, '/v1/approvals/h-1/approve', { method: 'POST', body: {} })).status).toBe(404);
  });

  test('show what the operation does to who is asked and to auditors, and not to who waits for the answer', async () => {
    const effect: Effect = {
      basis: 'measured',
      relations: [{ relation: 'app.orders', inserted: 0, updated: 0, deleted: 3 }],
      notes: [],
    };
    approvers.add(waitingRequest({ effect }));
    const seen = async (token: TokenOptions) => (await as(token, '/v1/approvals/h-1')).json<{ effect?: Effect }>();
    expect((await seen(dba)).effect).toEqual(effect);
    expect((await seen(auditor)).effect).toEqual(effect);
    expect(await seen(bot)).not.toHaveProperty('effect');
    expect(JSON.stringify((await as(bot, '/v1/approvals?mine=true')).json())).not.toContain('measured');
  });

  test('are answered by who is asked, with how it came', async () => {
    approvers.add(waitingRequest());
    const body = { comment: 'fine', grant: { same: 'fingerprint', uses: 3, for_ms: 60_000, session: true } };
    const answer = await as(dba, '/v1/approvals/h-1/approve', { method: 'POST', body });
    expect([answer.status, answer.json().status]).toEqual([200, 'approved']);
    expect(approvers.answers).toMatchObject([{ id: 'h-1', answer: { kind: 'approve', through: 'api', ...body } }]);
    const late = await as(dba, '/v1/approvals/h-1/refuse', { method: 'POST', body: {} });
    expect([late.status, late.json().code]).toEqual([409, 'ended']);
  });

  test('are not answered by whose they are, nor by an auditor who is not asked', async () => {
    approvers.add(waitingRequest());
    const own = await as(bot, '/v1/approvals/h-1/approve', { method: 'POST', body: {} });
    expect([own.status, own.json().code]).toEqual([403, 'own_request']);
    const stranger = await as(auditor, '/v1/approvals/h-1/approve', { method: 'POST', body: {} });
    expect([stranger.status, stranger.json().code]).toEqual([403, 'not_in_group']);
    expect(approvers.answers).toEqual([]);
  });

  test('of the same subject at another issuer are somebody else', async () => {
    const request = waitingRequest();
    const { principal } = request;
    if (principal === undefined) throw new Error('the request has no principal');
    approvers.add({ ...request, principal: { ...principal, issuer: 'https://other.example' } });
    expect((await as(bot, '/v1/approvals/h-1')).status).toBe(404);
  });

  test.each([
    ['an unknown key', { coment: 'x' }],
    ['a number as comment', { comment: 7 }],
    ['a comment that is too long', { comment: 'x'.repeat(2_001) }],
    ['terms that are none', { grant: { same: 'everything' } }],
  ])('are not answered with %s', async (_name, body) => {
    approvers.add(waitingRequest());
    const answer = await as(dba, '/v1/approvals/h-1/approve', { method: 'POST', body });
    expect([answer.status, answer.json().code]).toEqual([400, 'invalid']);
    expect(approvers.answers).toEqual([]);
  });

  test('are not answered by a body that is too large, or not JSON', async () => {
    approvers.add(waitingRequest());
    const large = await as(dba, '/v1/approvals/h-1/approve', {
      method: 'POST',
      body: { comment: 'x'.repeat(300_000) },
    });
    expect([large.status, large.json().code]).toEqual([413, 'too_large']);
    const headers = { ...(await bearer(dba)), 'content-type': 'text/plain' };
    const plain = await call('/v1/approvals/h-1/approve', { method: 'POST', body: '{}', headers });
    expect(plain.status).toBe(415);
    expect(approvers.answers).toEqual([]);
  });
});

describe('what only some may do', () => {
  test.each<[string, string, TokenOptions, number]>([
    ['GET', '/v1/audit', dba, 403],
    ['GET', '/v1/audit', auditor, 200],
    ['GET', '/v1/policy', bot, 403],
    ['GET', '/v1/policy', administrator, 200],
    ['GET', '/v1/counts', dba, 403],
    ['GET', '/v1/counts', auditor, 200],
  ])('%s %s', async (method, path, token, status) => {
    expect((await as(token, path, { method })).status).toBe(status);
  });

  test('sessions are killed by administrators alone, and it is recorded before', async () => {
    const kill = { method: 'POST', body: { subject: 'agent:billing-bot', why: 'runs wild' } };
    expect((await as(auditor, '/v1/sessions/kill', kill)).json().code).toBe('not_administrator');
    expect(killed).toEqual([]);
    expect((await as(administrator, '/v1/sessions/kill', kill)).json()).toEqual({ killed: 2 });
    expect(killed).toEqual([{ subject: 'agent:billing-bot' }]);
    const acts = (await records()).filter(({ act }) => act === 'session_kill');
    expect(acts).toMatchObject([
      { kind: 'administrator', personal: { administrator: { subject: 'root@example.com' } } },
    ]);
  });

  test('tokens are revoked by administrators alone, one or those of a subject, and it is recorded before', async () => {
    const revoke = (token: TokenOptions, body: unknown) => as(token, '/v1/tokens/revoke', { method: 'POST', body });
    expect((await revoke(auditor, { jti: 't-1' })).json().code).toBe('not_administrator');
    for (const body of [
      {},
      { jti: 'a', subject: 'b' },
      { issuer: 'a' },
      { jti: 'a', issued_before: '2026-01-01T00:00:00Z' },
    ]) {
      expect((await revoke(administrator, body)).json().code).toBe('invalid');
    }
    expect((await revoke(administrator, { subject: 'a', issued_before: 'soon' })).json().code).toBe('invalid');
    expect(revoked).toEqual([]);
    const body = { subject: 'agent:billing-bot', issued_before: '2026-01-01T00:00:00Z', why: 'lost' };
    expect((await revoke(administrator, body)).json()).toMatchObject({ kept: true });
    expect(revoked).toEqual([{ subject: 'agent:billing-bot', issuedBefore_ms: Date.parse('2026-01-01T00:00:00Z') }]);
    const acts = (await records()).filter(({ act }) => act === 'token_revoke');
    expect(acts).toMatchObject([{ personal: { query: { subject: 'agent:billing-bot' }, why: 'lost' } }]);
  });

  test('nothing is killed by a request that names nothing', async () => {
    const all = await as(administrator, '/v1/sessions/kill', { method: 'POST', body: { why: 'all of them' } });
    expect(all.json().code).toBe('invalid');
  });
});

describe('prompts', () => {
  test('are registered, recorded, and shown to whose they are', async () => {
    const made = await as(bot, '/v1/prompts', { method: 'POST', body: { text: 'Tidy <b>up</b>' } });
    expect(made.status).toBe(201);
    const { id } = made.json<{ id: string }>();
    expect((await as(bot, `/v1/prompts/${id}`)).json().text).toBe('Tidy <b>up</b>');
    expect((await as(other, `/v1/prompts/${id}`)).status).toBe(404);
    expect((await records()).find(({ prompt_id }) => prompt_id === id)).toMatchObject({ kind: 'prompt' });
  });
});

describe('events', () => {
  test('come to who may see them, and to nobody else', async () => {
    const listen = async (token: TokenOptions, wanted: string) => {
      const headers = await bearer(token);
      return new Promise<{ seen: Promise<string>; close: () => void }>((resolve, reject) => {
        const stream = get({ ...listener.address, ca, path: '/v1/events', headers }, (response) => {
          let text = '';
          const seen = new Promise<string>((done) => {
            response.on('data', (chunk: Buffer) => {
              text += chunk.toString();
              if (text.includes(wanted)) done(text);
            });
          });
          resolve({ seen, close: () => stream.destroy() });
        });
        stream.on('error', reject);
      });
    };
    const [asked, stranger] = await Promise.all([listen(dba, '"h-2"'), listen(other, '"h-3"')]);
    approvers.add(waitingRequest({ id: 'h-2' }));
    approvers.add(waitingRequest({ id: 'h-3', subject: 'agent:other' }));
    expect(await asked.seen).toContain('event: requested\ndata: {"id":"h-2"}');
    expect(await stranger.seen).not.toContain('h-2');
    asked.close();
    stranger.close();
  });

  test('end with the token that opened them, where it is revoked', async () => {
    const revoked = { subject: 'agent:soon-revoked' };
    const headers = await bearer(revoked);
    const ended = new Promise<void>((resolve, reject) => {
      const stream = get({ ...listener.address, ca, path: '/v1/events', headers }, (response) => {
        response.resume();
        response.on('end', resolve);
        as(administrator, '/v1/tokens/revoke', { method: 'POST', body: revoked }).catch(reject);
      });
      stream.on('error', reject);
    });
    await ended;
  });
});

describe('every answer', () => {
  test('forbids what a browser could be made to do with it, and lets no other origin read it', async () => {
    const headers = { ...(await bearer(dba)), origin: 'https://evil.example' };
    for (const path of ['/healthz', '/v1/whoami', '/nowhere']) {
      const answer = await call(path, { headers });
      expect(answer.headers).toMatchObject({
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
        'x-content-type-options': 'nosniff',
      });
      expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    }
  });
});
