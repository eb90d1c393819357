import { createVerify, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { startWeb, type Web } from '../support/web.js';

/** Credentials that are made anew, whole: a server that hands out tokens, a target that takes the latest alone, a gateway between. */

const policy = {
  'http.rego': `package policy.http

allow contains {"code": "all"} if input.version == 1

deny contains {"code": "ends"} if input.operation.http.cloud.action == "TerminateInstances"

deny contains {"code": "unnamed"} if {
	input.operation.http.cloud.provider == "aws"
	input.operation.opaque
}
`,
};
const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

let tokens: Server;
let web: Web;
let folder: string;
/** The secret that its server takes at /turned; elsewhere any. */
let taken = 'first';
/** What the server of tokens was asked, and how it answers. */
const asked: { url: string; metadata: unknown; body: URLSearchParams }[] = [];
let status = 200;
let seconds = 3_600;

beforeAll(async () => {
  tokens = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = new URLSearchParams(Buffer.concat(chunks).toString());
      asked.push({ url: request.url ?? '', metadata: request.headers['metadata'], body });
      const token = request.url === '/same' ? 'one' : `t-${String(asked.length)}`;
      const known = request.url !== '/turned' || body.get('client_secret') === taken;
      response.writeHead(known ? status : 401, { 'content-type': 'application/json', connection: 'close' });
      response.end(JSON.stringify({ access_token: token, token_type: 'Bearer', expires_in: seconds }));
    });
  });
  await new Promise<void>((resolve) => tokens.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${String((tokens.address() as AddressInfo).port)}`;
  const account = JSON.stringify({
    client_email: 'gateway@project.example',
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    token_uri: `${url}/google`,
  });
  folder = await mkdtemp(join(tmpdir(), 'sallyport-signing-'));
  await writeFile(join(folder, 'secret'), 'first');
  const turned = { command: ['cat', join(folder, 'secret')], refresh: '1h' };
  const credentials = {
    refused: { oauth: { token_url: `${url}/refused`, client_id: 'me', client_secret: 'hush' } },
    failing: { oauth: { token_url: `${url}/failing`, client_id: 'me', client_secret: 'hush' } },
    same: { oauth: { token_url: `${url}/same`, client_id: 'me', client_secret: 'hush' } },
    turned: { oauth: { token_url: `${url}/turned`, client_id: 'me', client_secret: turned } },
    plain: { oauth: { token_url: `${url}/oauth`, client_id: 'me', client_secret: 'hush', scope: 's' } },
    google: { google: { service_account: account } },
    azure: { azure: { tenant_id: 'ten', client_id: 'me', client_secret: 'hush', scope: 'z/.default', authority: url } },
    machine: { azure: { managed_identity: 'https://management.azure.example', endpoint: `${url}/metadata` } },
    aws: { aws: { region: 'eu-west-1', service: 'ec2', access_key_id: 'AKIDREAL', secret_access_key: 'hush' } },
  };
  web = await startWeb({ policy });
  // All of them lead to the one target that keeps what it is asked.
  const upstream = `http://127.0.0.1:${String(web.upstream.port)}`;
  const targets = Object.entries(credentials).map(([name, credential]) => ({
    ...{ name, protocol: 'http', upstream: { url: upstream, credential, ...(name === 'aws' ? { cloud: 'aws' } : {}) } },
  }));
  const other = await startWeb({ policy, config: { targets } });
  const first = web;
  web = {
    ...other,
    upstream: first.upstream,
    close: async () => void (await Promise.all([first.close(), other.close()])),
  };
});
afterAll(async () => {
  await web?.close();
  tokens?.close();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  asked.length = 0;
  web.upstream.heard.length = 0;
  status = 200;
  seconds = 3_600;
  web.upstream.answers((_heard, response) => response.end('{}'));
});

const call = async (target: string, fields: Record<string, string> = {}, query = '') => {
  const headers = { 'x-sallyport-token': await web.gateway.token(), ...fields };
  return web.call(`/http/${target}/${query}`, { headers });
};
const sent = () => web.upstream.heard.map(({ headers }) => headers['authorization']);

test('client credentials: one token for many requests, fetched anew once it is refused, and no more than once', async () => {
  await Promise.all([1, 2, 3].map(() => call('plain')));
  expect(sent()).toEqual(['Bearer t-1', 'Bearer t-1', 'Bearer t-1']);
  expect(Object.fromEntries(asked[0]?.body ?? [])).toEqual({
    ...{ grant_type: 'client_credentials', client_id: 'me', client_secret: 'hush', scope: 's' },
  });
  web.upstream.answers(({ headers }, response) => {
    response.writeHead(headers['authorization'] === 'Bearer t-2' ? 200 : 401).end();
  });
  expect((await call('plain')).status).toBe(200);
  expect(sent().slice(3)).toEqual(['Bearer t-1', 'Bearer t-2']);
  web.upstream.answers((_heard, response) => response.writeHead(401).end());
  expect((await call('plain')).status).toBe(401);
  expect(sent().slice(5)).toEqual(['Bearer t-2', 'Bearer t-3']);
});

test('a target that refuses all that is asked has few tokens fetched, however often a client asks', async () => {
  web.upstream.answers((_heard, response) => response.writeHead(401).end());
  for (let time = 0; time < 12; time += 1) expect((await call('refused')).status).toBe(401);
  expect(asked.length).toBeLessThanOrEqual(7);
  expect(asked.length).toBeGreaterThan(1);
});

test('a token that is the same once more is not tried once more', async () => {
  web.upstream.answers((_heard, response) => response.writeHead(401).end());
  expect((await call('same')).status).toBe(401);
  expect(asked).toHaveLength(2);
  expect(sent()).toEqual(['Bearer one']);
});

test('a secret that was replaced is asked for, where it is no longer taken', async () => {
  expect((await call('turned')).status).toBe(200);
  taken = 'second';
  await writeFile(join(folder, 'secret'), 'second');
  const before = sent()[0];
  web.upstream.answers(({ headers }, response) =>
    response.writeHead(headers['authorization'] === before ? 401 : 200).end(),
  );
  expect((await call('turned')).status).toBe(200);
  expect(asked.map(({ body }) => body.get('client_secret'))).toEqual(['first', 'first', 'second']);
});

test('where none is to be had, few are asked for, however often a client asks', async () => {
  status = 500;
  for (let time = 0; time < 12; time += 1) expect((await call('failing')).status).toBe(502);
  expect(asked.length).toBeLessThanOrEqual(7);
});

test('where no token is to be had, the request is not sent, and nothing of the credential is told', async () => {
  status = 500;
  const { status: answered, text } = await call('azure');
  expect(answered).toBe(502);
  expect(text).not.toMatch(/hush|127\.0\.0\.1/);
  expect(web.upstream.heard).toEqual([]);
});

test('Azure: by a secret, or as the machine that the gateway runs on', async () => {
  await call('azure');
  await call('machine');
  expect(asked.map(({ url, metadata }) => [url, metadata])).toEqual([
    ['/ten/oauth2/v2.0/token', undefined],
    ['/metadata?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.example', 'true'],
  ]);
  expect(sent()).toEqual(['Bearer t-1', 'Bearer t-2']);
});

test('Google: an assertion that the service account signed', async () => {
  await call('google');
  const [head = '', claims = '', signature = ''] = (asked[0]?.body.get('assertion') ?? '').split('.');
  const verified = createVerify('sha256')
    .update(`${head}.${claims}`)
    .verify(publicKey, Buffer.from(signature, 'base64url'));
  expect(verified).toBe(true);
  expect(JSON.parse(Buffer.from(claims, 'base64url').toString())).toMatchObject({ iss: 'gateway@project.example' });
  expect(sent()).toEqual(['Bearer t-1']);
});

test('AWS: the signature of the client gives way to one by the real key, over what is sent', async () => {
  const own =
    'AWS4-HMAC-SHA256 Credential=AKIDNONE/20261127/eu-west-1/ec2/aws4_request, SignedHeaders=host, Signature=00';
  await call(
    'aws',
    { authorization: own, 'x-amz-date': '20200101T000000Z', 'x-amz-meta-a': '1' },
    '?Action=DescribeInstances',
  );
  const [heard] = web.upstream.heard;
  expect(heard?.headers['authorization']).toMatch(
    /^AWS4-HMAC-SHA256 Credential=AKIDREAL\/\d{8}\/eu-west-1\/ec2\/aws4_request, SignedHeaders=host;x-amz-date;x-amz-meta-a, Signature=[0-9a-f]{64}$/,
  );
  expect(heard?.headers['x-amz-date']).not.toBe('20200101T000000Z');
});

test("AWS: a signature by the gateway's own key, a signed URL, and signatures in the body are refused", async () => {
  const by = (id: string) =>
    `AWS4-HMAC-SHA256 Credential=${id}/20261127/eu-west-1/ec2/aws4_request, SignedHeaders=host, Signature=00`;
  const answers = [
    await call('aws', { authorization: by('AKIDREAL') }),
    await call('aws', {}, '?X-Amz-Signature=00'),
    await call('aws', { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' }),
  ];
  expect(answers.map(({ status: code, text }) => [code, (JSON.parse(text) as { code: string }).code])).toEqual([
    [403, 'credential_known'],
    [400, 'signed_url'],
    [400, 'signed_chunks'],
  ]);
  expect(web.upstream.heard).toEqual([]);
});

test('what the gateway signs is judged by the name that AWS has for it', async () => {
  const codes = async (query: string) => {
    const { text } = await call('aws', {}, query);
    return (JSON.parse(text) as { reasons?: { code: string }[] }).reasons?.map(({ code }) => code);
  };
  expect(await codes('?Action=TerminateInstances')).toEqual(['ends']);
  expect(await codes('?Unheard=Of')).toEqual(['unnamed']);
  expect(await codes('?Action=DescribeInstances')).toBeUndefined();
});
