import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { decodeJwt } from 'jose';
import { IdentityError } from '../../gateway/errors.js';
import { openAssertions, type Assertions } from '../../gateway/identity/index.js';
import { until } from '../support/approvals-side.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { caller, type Sent } from '../support/https.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { acs, createSamlIssuer, encoded } from '../support/saml.js';

const idp = createSamlIssuer();
const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const audience = 'https://gateway.example';
const bearer = 'urn:oasis:names:tc:SAML:2.0:cm:bearer';

let folder: string;
let assertions: Assertions;
let now_ms = () => Date.now();
let rememberedUntil_ms = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-saml-'));
  await writeFile(join(folder, 'idp.pem'), idp.certificate);
  const seen = new Set<string>();
  assertions = openAssertions({
    providers: [
      {
        name: 'company',
        issuer: idp.issuer,
        certificates: { file: join(folder, 'idp.pem') },
        audience,
        claims: {
          groups: 'http://schemas.example/groups',
          roles: 'roles',
          purpose: 'purpose',
          kind: 'kind',
          prompt: 'prompt',
          attributes: ['team'],
        },
        kindDefault: 'human',
        tokenLifetime_ms: 900_000,
      },
    ],
    recipients: [acs, `${audience}/v1/token`],
    tokenLifetimeMax_ms: 3_600_000,
    clockSkew_ms: 30_000,
    spent: {
      take: async (_, id, until_ms) => {
        rememberedUntil_ms = until_ms;
        if (seen.has(id)) throw new IdentityError('replayed', 'it was brought before');
        seen.add(id);
      },
    },
    now: () => now_ms(),
  });
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

const identify = (xml: string) => assertions.identify(encoded(xml));
const reasonOf = (xml: string): Promise<string> =>
  identify(xml).then(
    ({ principal }) => `let in as ${principal.subject}`,
    (error: unknown) => (error instanceof IdentityError ? error.reason : String(error)),
  );

describe('an assertion', () => {
  const attributes = {
    'http://schemas.example/groups': ['Domain Admins'],
    roles: ['a', 'b'],
    team: ['finance'],
    sub: ['root'],
    act: ['root'],
  };

  test.each([
    ['in its response', () => idp.response(idp.assertion({ attributes }))],
    ['in a response that is signed as well', () => idp.response(idp.assertion({ attributes }), { signed: true })],
    ['alone (RFC 7522)', () => `<?xml version="1.0"?>\n${idp.assertion({ attributes })}`],
    [
      'by SHA-512',
      () =>
        idp.response(
          idp.assertion({
            attributes,
            how: {
              signature: 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha512',
              digest: 'http://www.w3.org/2001/04/xmlenc#sha512',
            },
          }),
        ),
    ],
  ])('%s is a principal, by the attributes that the configuration names', async (_, make) => {
    const { principal, expires_ms } = await identify(make());
    expect(principal).toMatchObject({
      subject: 'ada@example.com',
      issuer: idp.issuer,
      kind: 'human',
      groups: ['Domain Admins'],
      roles: ['a', 'b'],
      attributes: { team: 'finance' },
    });
    expect(principal).not.toHaveProperty('actor');
    expect(expires_ms - Date.now()).toBeLessThanOrEqual(900_000);
    expect(expires_ms - Date.now()).toBeGreaterThan(890_000);
  });

  test('gives nothing that outlives the session at its provider', async () => {
    const { expires_ms } = await identify(idp.response(idp.assertion({ sessionIn: 60 })));
    expect(expires_ms - Date.now()).toBeLessThanOrEqual(60_000);
  });

  test('is good once, however it comes', async () => {
    const assertion = idp.assertion();
    expect(await reasonOf(idp.response(assertion))).toBe('let in as ada@example.com');
    expect(await reasonOf(idp.response(assertion))).toBe('replayed');
    expect(await reasonOf(assertion)).toBe('replayed');
    expect(await reasonOf(idp.response(assertion, { signed: true }))).toBe('replayed');
  });

  test('is of the time that the gateway has', async () => {
    const xml = idp.response(idp.assertion());
    now_ms = () => Date.now() + 301_000;
    try {
      expect(await reasonOf(xml)).toBe('expired');
    } finally {
      now_ms = () => Date.now();
    }
    expect(await reasonOf(xml)).toBe('let in as ada@example.com');
  });
});

/** The eight ways of "On Breaking SAML: Be Whoever You Want to Be" (USENIX Security 2012), 4. */
const wrapped: [string, () => string][] = (() => {
  const evil = (inside = '', id = '_evil') =>
    idp.assertion({ id, nameId: 'root@example.com', signed: false }).replace('</Issuer>', `</Issuer>${inside}`);
  const parts = () => {
    const assertion = idp.assertion({ id: '_good' });
    const [signature = ''] = /<(?:\w+:)?Signature[ >].*<\/(?:\w+:)?Signature>/su.exec(assertion) ?? [];
    return { assertion, signature, bare: assertion.replace(signature, '') };
  };
  const withObject = (signature: string, content: string) =>
    signature.replace(/<\/((?:\w+:)?)Signature>$/u, `<$1Object>${content}</$1Object></$1Signature>`);
  const responses = () => {
    const signed = idp.response(idp.assertion({ id: '_good' }), { id: '_response', signed: true });
    const [signature = ''] = /<Signature[ >](?:(?!<Signature[ >]).)*?<\/Signature>/su.exec(signed) ?? [];
    return { signed, signature, bare: signed.replace(signature, '') };
  };
  return [
    [
      'XSW1',
      () => {
        const { signature, bare } = responses();
        return idp.response(evil(), { id: '_other', extra: withObject(signature, bare) });
      },
    ],
    [
      'XSW2',
      () => {
        const { signature, bare } = responses();
        return idp.response(evil(), { id: '_other', extra: `${bare}${signature}` });
      },
    ],
    ['XSW3', () => idp.response(`${evil()}${parts().assertion}`)],
    ['XSW4', () => idp.response(evil(parts().assertion))],
    [
      'XSW5',
      () => {
        const { signature, bare } = parts();
        return idp.response(`${evil(signature)}${bare}`);
      },
    ],
    [
      'XSW6',
      () => {
        const { signature, bare } = parts();
        return idp.response(evil(withObject(signature, bare)));
      },
    ],
    [
      'XSW7',
      () => idp.response(parts().assertion, { extra: `<samlp:Extensions>${evil('', '_good')}</samlp:Extensions>` }),
    ],
    [
      'XSW8',
      () => {
        const { signature, bare } = parts();
        return idp.response(evil(withObject(signature, bare), '_good'));
      },
    ],
    ['an assertion after the signed one', () => idp.response(`${parts().assertion}${evil()}`)],
    ['the same ID twice', () => idp.response(`${parts().assertion}`, { id: '_good' })],
  ];
})();

test.each(wrapped)('%s is refused as wrapped, before a signature is looked at', async (_, make) => {
  expect(await reasonOf(make())).toBe('wrapped');
});

const good = idp.assertion();
const sha1 = { signature: 'http://www.w3.org/2000/09/xmldsig#rsa-sha1' };
const confirmation = (data: string) =>
  `<SubjectConfirmation Method="${bearer}"><SubjectConfirmationData ${data}/></SubjectConfirmation>`;
const soon = () => new Date(Date.now() + 60_000).toISOString();

test.each<[string, () => string, string]>([
  ['nothing', () => '', 'malformed'],
  ['no XML', () => 'eyJhbGciOiJub25lIn0.e30.', 'malformed'],
  ['HTML', () => '<html><body/></html>', 'malformed'],
  ['XML that is not whole', () => good.slice(0, -5), 'malformed'],
  ['two roots', () => `${good}${good}`, 'malformed'],
  ['too much', () => idp.response(good, { extra: `<x>${'a'.repeat(140_000)}</x>` }), 'too_long'],
  ['too deep', () => idp.response(good, { extra: `${'<x>'.repeat(60)}${'</x>'.repeat(60)}` }), 'malformed'],
  ['a DOCTYPE', () => `<!DOCTYPE x [<!ENTITY who "root">]>${good}`, 'malformed'],
  ['an entity of its own', () => good.replace('ada@', '&who;@'), 'malformed'],
  [
    'a comment in the NameID',
    () => good.replace('ada@example.com', 'ada@example.com<!---->.evil.example'),
    'malformed',
  ],
  ['a CDATA section', () => good.replace('ada@example.com', '<![CDATA[root]]>'), 'malformed'],
  ['a processing instruction', () => good.replace('ada@', '<?x y?>ada@'), 'malformed'],
  ['no signature', () => idp.response(idp.assertion({ signed: false })), 'unsigned'],
  [
    'a signature on the response alone',
    () => idp.response(idp.assertion({ signed: false }), { signed: true }),
    'unsigned',
  ],
  ['another subject than was signed', () => good.replace('ada@example.com', 'root@example.com'), 'signature'],
  [
    'another group than was signed',
    () => idp.assertion({ attributes: { roles: ['a'] } }).replace('>a<', '>b<'),
    'signature',
  ],
  [
    'a response that was changed after it was signed',
    () => idp.response(idp.assertion(), { signed: true }).replace('Success"', 'Success" '.trim() + ' x="y"'),
    'signature',
  ],
  ['another key', () => idp.response(idp.assertion({ how: { key: other } })), 'signature'],
  ['RSA with SHA-1', () => idp.response(idp.assertion({ how: sha1 })), 'algorithm'],
  [
    'a digest by SHA-1',
    () => idp.response(idp.assertion({ how: { digest: 'http://www.w3.org/2000/09/xmldsig#sha1' } })),
    'algorithm',
  ],
  ['an HMAC', () => good.replace('2001/04/xmldsig-more#rsa-sha256', '2000/09/xmldsig#hmac-sha1'), 'algorithm'],
  [
    'a transform of its own',
    () =>
      good.replace(
        'http://www.w3.org/2000/09/xmldsig#enveloped-signature',
        'http://www.w3.org/TR/1999/REC-xslt-19991116',
      ),
    'algorithm',
  ],
  [
    'an encrypted assertion',
    () => idp.response('<EncryptedAssertion xmlns="urn:oasis:names:tc:SAML:2.0:assertion"/>'),
    'encrypted',
  ],
  ['an issuer that nobody knows', () => idp.response(idp.assertion({ issuer: 'https://evil.example' })), 'issuer'],
  [
    'an assertion of another issuer in a response of ours',
    () => idp.response(createSamlIssuer('https://evil.example').assertion()),
    'issuer',
  ],
  ['our issuer, signed by another', () => createSamlIssuer().response(createSamlIssuer().assertion()), 'signature'],
  ['another audience', () => idp.response(idp.assertion({ audience: 'https://other.example' })), 'audience'],
  ['no audience', () => idp.response(idp.assertion({ audience: undefined })), 'audience'],
  [
    'a second restriction to somebody else',
    () =>
      idp.response(
        idp.assertion({
          conditions: '<AudienceRestriction><Audience>https://other.example</Audience></AudienceRestriction>',
        }),
      ),
    'audience',
  ],
  [
    'a condition that is not understood',
    () => idp.response(idp.assertion({ conditions: '<Weekdays/>' })),
    'unsupported',
  ],
  ['another recipient', () => idp.response(idp.assertion({ recipient: 'https://other.example/acs' })), 'recipient'],
  ['another recipient, alone', () => idp.assertion({ recipient: 'https://other.example/acs' }), 'recipient'],
  ['another destination', () => idp.response(good, { destination: 'https://other.example/acs' }), 'destination'],
  ['no destination', () => idp.response(good, { destination: undefined }), 'destination'],
  ['an answer to a request', () => idp.response(good, { inResponseTo: '_asked' }), 'unasked'],
  [
    'a confirmation of a request',
    () =>
      idp.response(
        idp.assertion({
          confirmation: confirmation(`Recipient="${acs}" NotOnOrAfter="${soon()}" InResponseTo="_asked"`),
        }),
      ),
    'unasked',
  ],
  [
    'a confirmation without an end',
    () => idp.response(idp.assertion({ confirmation: confirmation(`Recipient="${acs}"`) })),
    'malformed',
  ],
  [
    'a holder of a key',
    () => idp.response(idp.assertion({ method: 'urn:oasis:names:tc:SAML:2.0:cm:holder-of-key' })),
    'bearer',
  ],
  ['no confirmation', () => idp.response(idp.assertion({ confirmation: '' })), 'bearer'],
  [
    'one that has expired',
    () => idp.response(idp.assertion({ issuedIn: -600, notBeforeIn: -600, expiresIn: -1 })),
    'expired',
  ],
  ['one of a session that is over', () => idp.response(idp.assertion({ sessionIn: -1 })), 'expired'],
  ['one that is not valid yet', () => idp.response(idp.assertion({ notBeforeIn: 60 })), 'not_yet'],
  ['one of the future', () => idp.response(idp.assertion({ issuedIn: 60 })), 'not_yet'],
  ['one that lives too long', () => idp.response(idp.assertion({ expiresIn: 7200 })), 'lifetime'],
  ['an empty NameID', () => idp.response(idp.assertion({ nameId: '' })), 'claims'],
  ['a kind that there is not', () => idp.response(idp.assertion({ attributes: { kind: ['god'] } })), 'claims'],
])('%s: refused', async (_, make, reason) => {
  expect(await reasonOf(make())).toBe(reason);
});

test.each([
  ['with characters that base64 has not', 'PHg+!'],
  ['with bits left over', 'PHh='],
])('base64 %s is refused, not read around', async (_, text) => {
  await expect(assertions.identify(text)).rejects.toMatchObject({ reason: 'malformed' });
});

/** Anybody may send these, and all that the gateway guards waits while they are read: a minute, by a pattern that looks twice. */
test.each([
  ['padding in the middle', () => `${'='.repeat(250_000)}x`, 'malformed'],
  [
    "white space in the issuer's name",
    () => encoded(good.replace('>https', `>a${' '.repeat(120_000)}https`)),
    'issuer',
  ],
])('much %s is refused at once', async (_, make, reason) => {
  const text = make();
  const begun_ms = performance.now();
  await expect(assertions.identify(text)).rejects.toMatchObject({ reason });
  expect(performance.now() - begun_ms).toBeLessThan(5_000);
});

test('what may be brought in two ways is remembered until neither is good any more', async () => {
  const at = (ms: number) => new Date(Date.now() + ms).toISOString();
  const both = `${confirmation(`Recipient="${acs}" NotOnOrAfter="${at(20_000)}"`)}${confirmation(`Recipient="${audience}/v1/token" NotOnOrAfter="${at(200_000)}"`)}`;
  await identify(idp.assertion({ confirmation: both }));
  expect(rememberedUntil_ms - Date.now()).toBeGreaterThan(150_000);
});

describe('at a gateway', () => {
  let gateway: TestGateway;
  let state: TestDatabase;
  let call: ReturnType<typeof caller>;

  beforeAll(async () => {
    state = await createDatabase();
    await writeFile(join(folder, 'groups.yaml'), 'groups: [{displayName: oncall, members: [ada@example.com]}]');
    gateway = await startTestGateway({
      protocol: 'https',
      config: {
        listen: { https: '127.0.0.1:0' },
        state: { directory: './.sallyport', postgres: state.url },
        console: { url: audience, administrators: ['security'] },
        identity: {
          providers: [
            {
              name: 'tokens',
              type: 'oidc',
              issuer: 'https://idp.example',
              audience: 'x',
              jwks: { file: './jwks.json' },
              single_use: true,
            },
          ],
          saml: [
            {
              name: 'company',
              issuer: idp.issuer,
              certificates: { file: join(folder, 'idp.pem') },
              directory: { file: join(folder, 'groups.yaml') },
            },
          ],
        },
        targets: [{ name: 'orders', protocol: 'http', upstream: { url: 'http://127.0.0.1:1' } }],
      },
    });
    await gateway.gateway.database.ready(20_000);
    const ca = await readFile(join(gateway.folder, '.sallyport', 'https.pem'), 'utf8');
    call = caller({ host: gateway.host, port: gateway.port, ca });
  }, 60_000);
  afterAll(async () => {
    await gateway?.close();
    await state?.drop();
  });
  /** Sent again while the state is out of reach, as it is for a moment on a busy machine: nothing is spent then. */
  const post = async (path: string, form: Record<string, string>): Promise<Sent> => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const body = new URLSearchParams(form).toString();
    for (;;) {
      await until(() => gateway.gateway.database.healthy);
      const sent = await call(path, { method: 'POST', headers, body });
      if (!sent.text.includes('cannot be looked up')) return sent;
    }
  };

  test('an assertion that is posted is changed into a token, once, and whoever tries again is in the audit', async () => {
    const SAMLResponse = encoded(idp.response(idp.assertion({ id: '_posted', attributes: { groups: ['dba'] } })));
    const first = await post('/v1/saml/acs', { SAMLResponse, RelayState: 'https://evil.example' });
    expect([first.status, first.text]).toEqual([200, expect.stringContaining('access_token')]);
    expect(first.headers['cache-control']).toBe('no-store');
    const { access_token: token } = first.json<{ access_token: string }>();
    expect(decodeJwt(token)).toMatchObject({ iss: audience, aud: audience, sub: 'ada@example.com' });
    // Of the assertion, and of the directory.
    expect(decodeJwt(token)['groups']).toEqual(['dba', 'oncall']);
    const who = await call('/v1/whoami', { headers: { authorization: `Bearer ${token}` } });
    expect(who.json()).toMatchObject({ subject: 'ada@example.com', issuer: idp.issuer, kind: 'human' });
    const again = await post('/v1/saml/acs', { SAMLResponse });
    expect([again.status, again.json()]).toEqual([400, expect.objectContaining({ error: 'replayed' })]);
    await until(async () => JSON.stringify(await gateway.records()).includes('"reason":"replayed"'));
  });

  test('a token that is good once is exchanged once, for one that is good for more', async () => {
    const subject_token = await gateway.token({ audience: 'x', groups: ['security'] });
    const form = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token,
    };
    const sent = await post('/v1/token', form);
    expect([sent.status, sent.text]).toEqual([200, expect.stringContaining('access_token')]);
    expect((await post('/v1/token', form)).json()).toMatchObject({
      error: 'invalid_grant',
      error_description: expect.stringContaining('good once'),
    });
    const headers = { authorization: `Bearer ${subject_token}` };
    expect((await call('/v1/whoami', { headers })).status).toBe(401);
    const { access_token } = sent.json<{ access_token: string }>();
    const own = { headers: { authorization: `Bearer ${access_token}` } };
    expect((await call('/v1/whoami', own)).status).toBe(200);
    expect((await call('/v1/whoami', own)).status).toBe(200);
  });

  test('an assertion is exchanged for a token for one target (RFC 8693)', async () => {
    const exchange = (assertion: string) =>
      post('/v1/token', {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token_type: 'urn:ietf:params:oauth:token-type:saml2',
        subject_token: Buffer.from(assertion).toString('base64url'),
        audience: 'orders',
        purpose: 'a look',
      });
    const assertion = idp.assertion({ recipient: `${audience}/v1/token` });
    const sent = await exchange(assertion);
    expect([sent.status, sent.text]).toEqual([200, expect.stringContaining('access_token')]);
    expect(decodeJwt(sent.json<{ access_token: string }>().access_token)).toMatchObject({
      aud: `${audience}/targets/orders`,
      sub: 'ada@example.com',
      purpose: 'a look',
    });
    expect((await exchange(assertion)).json()).toMatchObject({ error: 'invalid_grant' });
    expect((await exchange(idp.assertion({ signed: false }))).json()).toMatchObject({ error: 'invalid_grant' });
  });
});
