import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { createAuthority } from '../support/certificates.js';
import { ask, connectTo, egressPort, say, secured, startOutside, type Outside } from '../support/egress.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';

/** Tunnels that are looked into through a proxy that speaks TLS itself, to a name and to an address, without a credential of the gateway. */

const policy = {
  'http.rego': `package policy.http

import data.sallyport.http

allow contains {"code": "tunnels"} if http.intercepted

allow contains {"code": "reads"} if http.reads_only
`,
};

const authority = createAuthority('Authority of the proxy');
const own = createAuthority('Authority of the listener');
let outside: Outside;
let gateway: TestGateway;
let folder: string;

beforeAll(async () => {
  outside = await startOutside();
  folder = await mkdtemp(join(tmpdir(), 'sallyport-edges-'));
  const leaf = own.issue();
  const files = {
    'outside.pem': outside.authority.certificate,
    'authority.pem': authority.certificate,
    'authority.key': authority.key,
    'own.pem': leaf.certificate,
    'own.key': leaf.key,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { mode: 0o600 });
  const at = (name: string) => ({ file: join(folder, name) });
  const api = (host: string) => ({
    url: `https://${host}:${String(outside.port)}`,
    tls: { ca: at('outside.pem') },
    egress: { intercept: true },
  });
  gateway = await startTestGateway({
    ...{ protocol: 'egress', policy },
    config: {
      listen: {
        egress: {
          address: '127.0.0.1:0',
          tls: { certificate: at('own.pem'), key: at('own.key') },
          authority: { certificate: at('authority.pem'), key: at('authority.key') },
        },
      },
      targets: [
        { name: 'named', protocol: 'http', upstream: api('localhost') },
        { name: 'numbered', protocol: 'http', upstream: api('127.0.0.1') },
      ],
    },
  });
});
afterAll(async () => {
  await gateway?.close();
  await outside?.close();
  await rm(folder, { recursive: true });
});

async function tunnel(host = 'localhost', token?: string) {
  const place = `${host}:${String(outside.port)}`;
  const said = await say(egressPort(gateway), connectTo(place, token ?? (await gateway.token())), own.certificate);
  expect(said.status).toBe(200);
  return { ...said, place, decision: /x-sallyport-decision: (\S+)/i.exec(said.head)?.[1] };
}

const trusted: ConnectionOptions = { ca: authority.certificate, servername: 'localhost' };
const get = (place: string, path: string, more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: ${place}\r\nConnection: close\r\n${more}\r\n`;

/** What became of a tunnel, once that is recorded. */
async function outcomeOf(decision: string | undefined): Promise<unknown> {
  for (;;) {
    const found = (await gateway.records()).find(
      (record) => record['kind'] === 'outcome' && record['decision_id'] === decision,
    );
    if (found !== undefined) return found['result'];
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('TLS in TLS, and its outcome is that of a tunnel that ended well', async () => {
  const { socket, place, decision } = await tunnel();
  expect(await ask(await secured(socket, trusted), get(place, '/twice'))).toContain('"url":"/twice"');
  expect(await outcomeOf(decision)).toMatchObject({ status: 'ok' });
});

test('an address has a certificate for itself, and no name in its hello', async () => {
  const { socket, place } = await tunnel('127.0.0.1');
  const inner = await secured(socket, { ca: authority.certificate, host: '127.0.0.1' });
  expect(inner.getPeerCertificate().subjectaltname).toBe('IP Address:127.0.0.1');
  expect(await ask(inner, get(place, '/by-address'))).toContain('"url":"/by-address"');
});

test('the token does not leave where it is the password of a field Authorization inside', async () => {
  const token = await gateway.token();
  const basic = Buffer.from(`agent:${token}`).toString('base64');
  const { socket, place } = await tunnel('localhost', token);
  const before = outside.headers.length;
  const answer = await ask(await secured(socket, trusted), get(place, '/basic', `Authorization: Basic ${basic}\r\n`));
  expect(answer).toContain('token_in_request');
  expect(outside.headers.length).toBe(before);
});

test('keys are agreed upon once in a connection', async () => {
  const { socket } = await tunnel();
  const inner = await secured(socket, { ...trusted, maxVersion: 'TLSv1.2' });
  const answered = new Promise((resolve, reject) => {
    inner.once('error', reject);
    inner.renegotiate({}, (error) => (error === null ? resolve('agreed') : reject(error)));
  });
  await expect(answered).rejects.toThrow(/renegotiation/i);
  inner.destroy();
});
