import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Identity } from '../../protocol.js';
import {
  blobOfJwk,
  parseCertificate,
  signatureOf,
  signedCertificate,
  string,
  unsignedCertificate,
  WireReader,
  type CertificateBody,
} from '../../openssh/index.js';
import {
  createIdentity,
  openCertificates,
  openSigningKeys,
  ownTokens,
  type Certificates,
  type Identities,
  type OwnTokens,
} from '../index.js';

/** What the gateway vouches for with an OpenSSH certificate, and what it takes for one. */

const start_ms = Date.parse('2026-11-27T12:00:00Z');
const holder = generateKeyPairSync('ed25519').privateKey;
const jwkOf = (key: KeyObject) => key.export({ format: 'jwk' });
const lineOf = (key: KeyObject) => `ssh-ed25519 ${(blobOfJwk(jwkOf(key)) as Buffer).toString('base64')} somebody`;

let folder: string;
let now_ms = start_ms;
let own: OwnTokens;
let identities: Identities;
let certificates: Certificates;
let ada: Identity;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-certificates-'));
  const keys = await openSigningKeys({
    directory: folder,
    lifetime_ms_max: 86_400_000,
    now: () => now_ms,
    log: undefined,
  });
  own = ownTokens({ issuer: 'https://gateway.example', targets: ['build', 'other'], keys, now: () => now_ms });
  identities = createIdentity({
    providers: [],
    tokenLifetimeMax_ms: 86_400_000,
    clockSkew_ms: 0,
    now: () => now_ms,
    own,
  });
  certificates = openCertificates({ own, identity: identities, now: () => now_ms });
  ada = {
    principal: {
      ...{ subject: 'ada', issuer: 'https://idp.example', kind: 'human', groups: ['people'], roles: ['readonly'] },
      ...{ attributes: {}, token: { id: 'first', expires: new Date(start_ms + 1_800_000).toISOString() } },
    },
    expires_ms: start_ms + 1_800_000,
  };
});
afterAll(async () => {
  identities?.close();
  own?.close();
  await rm(folder, { recursive: true, force: true });
});

const blobOf = (line: string) => Buffer.from(line.split(' ')[1] ?? '', 'base64');
const at = { user: 'build', address: '192.0.2.7' };
const issue = async (more: object = {}) =>
  blobOf(
    (await certificates.issue({ identity: ada, publicKey: lineOf(holder), target: 'build', ...more })).certificate,
  );

/** The same certificate with some of its fields changed, signed by whoever. */
function forged(blob: Buffer, change: Partial<CertificateBody>, authority: KeyObject): Buffer {
  const body = { ...parseCertificate(blob), ...change };
  const jwk = jwkOf(authority);
  const unsigned = unsignedCertificate(body, randomBytes(32), blobOfJwk(jwk) as Buffer);
  return signedCertificate(
    unsigned,
    signatureOf(jwk, sign('sha256', unsigned, { key: authority, dsaEncoding: 'ieee-p1363' })),
  );
}

/** The gateway's own key: what only somebody who has stolen it could do. */
async function stolen(): Promise<KeyObject> {
  const { createPrivateKey } = await import('node:crypto');
  const { keys } = JSON.parse(await readFile(join(folder, 'tokens.jwks'), 'utf8')) as {
    keys: [Record<string, string>];
  };
  return createPrivateKey({ key: keys[0], format: 'jwk' });
}

describe('a certificate', () => {
  test('is its holder, for one target and purpose, as long as the token it was made from at most', async () => {
    const blob = await issue({ purpose: 'month-end' });
    const identity = await certificates.identify(blob, at);
    expect(identity).toMatchObject({ target: 'build', expires_ms: ada.expires_ms });
    expect(identity.principal).toMatchObject({ subject: 'ada', issuer: 'https://idp.example', purpose: 'month-end' });
    expect(identity.principal.token.from).toEqual(['first']);
    const short = await certificates.identify(await issue({ lifetime_ms: 60_000 }), at);
    expect(short.expires_ms).toBe(start_ms + 60_000);
  });

  test('of another authority is refused, whatever it says', async () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    await expect(certificates.identify(forged(await issue(), {}, other), at)).rejects.toMatchObject({
      reason: 'signature',
    });
    const blob = await issue();
    blob[blob.length - 1]! ^= 1;
    await expect(certificates.identify(blob, at)).rejects.toMatchObject({
      reason: expect.stringMatching(/signature|malformed/u) as unknown,
    });
    await expect(certificates.identify(Buffer.from('nothing'), at)).rejects.toMatchObject({ reason: 'malformed' });
  });

  test("with something that is not known, of a host, for another name or key than its token's is refused, even signed", async () => {
    const key = await stolen();
    const blob = await issue();
    const { criticalOptions } = parseCertificate(blob);
    await expect(certificates.identify(forged(blob, {}, key), at)).resolves.toBeDefined();
    const refusals: [Partial<CertificateBody>, string][] = [
      [{ criticalOptions: new Map([...criticalOptions, ['force-command', string('id')]]) }, 'option'],
      [{ criticalOptions: new Map([...criticalOptions, ['verify-required', string('')]]) }, 'option'],
      [{ criticalOptions: new Map() }, 'malformed'],
      [{ criticalOptions: new Map([...criticalOptions, ['source-address', string('')]]) }, 'address'],
      [{ criticalOptions: new Map([...criticalOptions, ['source-address', Buffer.from('x')]]) }, 'malformed'],
      [{ kind: 'host' }, 'kind'],
      [{ principals: ['other'] }, 'target'],
      [{ key: Buffer.alloc(32, 9) }, 'bound'],
    ];
    for (const [change, reason] of refusals)
      await expect(certificates.identify(forged(blob, change, key), at)).rejects.toMatchObject({ reason });
    const elsewhere = forged(blob, { principals: ['build', 'other'] }, key);
    await expect(certificates.identify(elsewhere, { ...at, user: 'other' })).rejects.toMatchObject({
      reason: 'target',
    });
  });

  test('holds no token that serves as a password', async () => {
    const option = parseCertificate(await issue()).criticalOptions.get('token@sallyport') as Buffer;
    const token = new WireReader(option).text();
    await expect(identities.identify(token)).rejects.toMatchObject({ reason: 'bound' });
    await expect(identities.identifyHolder(token, 'another')).rejects.toMatchObject({ reason: 'bound' });
  });

  test('is made for an Ed25519 key alone, and for networks that are some', async () => {
    const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    for (const publicKey of [
      '',
      'ssh-ed25519',
      lineOf(p256),
      'ssh-ed25519 AAAA',
      'ssh-rsa AAAA',
      lineOf(holder).slice(0, 60),
    ])
      await expect(issue({ publicKey })).rejects.toMatchObject({ code: 'protocol' });
    for (const sources of [['10.0.0.0/33'], ['10.0.0'], ['::1/x'], ['10.0.0.1/8/8'], [',']])
      await expect(issue({ sources })).rejects.toMatchObject({ reason: 'address' });
  });

  test('of a key that was taken out of the set is refused at once, without a restart', async () => {
    const blob = await issue();
    const file = join(folder, 'tokens.jwks');
    const before = await readFile(file, 'utf8');
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const kid = createHash('sha256').update(randomBytes(8)).digest('hex');
    const made = Math.floor(now_ms / 1000);
    await writeFile(file, JSON.stringify({ keys: [{ ...jwkOf(privateKey), kid, alg: 'ES256', use: 'sig', made }] }));
    now_ms += 1_001;
    await expect(certificates.identify(blob, at)).rejects.toMatchObject({ reason: 'signature' });
    await expect(certificates.identify(await issue(), at)).resolves.toBeDefined();
    await writeFile(file, before);
    now_ms += 1_001;
    await expect(certificates.identify(blob, at)).resolves.toBeDefined();
    now_ms = start_ms;
  });

  test('is refused for another target, from elsewhere, and when its time is over', async () => {
    const blob = await issue({ sources: ['192.0.2.0/28', '2001:db8::/32'] });
    await expect(certificates.identify(blob, at)).resolves.toBeDefined();
    await expect(certificates.identify(blob, { ...at, address: '2001:db8::5' })).resolves.toBeDefined();
    await expect(certificates.identify(blob, { ...at, user: 'other' })).rejects.toMatchObject({ reason: 'target' });
    for (const address of ['192.0.2.16', '2001:db9::1', '', 'nonsense'])
      await expect(certificates.identify(blob, { ...at, address })).rejects.toMatchObject({ reason: 'address' });
    now_ms = ada.expires_ms;
    await expect(certificates.identify(blob, at)).rejects.toMatchObject({ reason: 'expired' });
    now_ms = start_ms - 61_000;
    await expect(certificates.identify(blob, at)).rejects.toMatchObject({ reason: 'not_yet' });
    now_ms = start_ms;
  });
});
