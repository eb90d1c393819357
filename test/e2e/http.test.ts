import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { request } from 'node:https';
import type { Principal } from '../../engine/index.js';
import { startWeb, type Web } from '../support/web.js';

/** The reverse gate, whole: a client over TLS, a policy, a target that keeps what it was asked. */

const policy = {
  'http.rego': `package policy.http

allow contains {"code": "all"} if input.operation.http.method != ""

deny contains {"code": "secrets", "message": "not for agents"} if "secrets" in input.operation.http.segments

deny contains {"code": "large", "message": "too large"} if input.operation.http.body.json.size == "large"

approval contains {"code": "deletes_wait", "groups": ["operators"]} if input.operation.action == "delete"

limit contains {"bytes": 1000} if "small" in input.operation.http.segments
`,
};

let web: Web;

beforeAll(async () => {
  web = await startWeb({ policy, base: '/api', people: true, target: { credential: { bearer: 'the-real-one' } } });
});
afterAll(() => web?.close());
beforeEach(() => {
  web.upstream.heard.length = 0;
  web.upstream.answers((heard, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'set-cookie': 'a=b', 'x-kept': 'yes' });
    response.end(JSON.stringify({ url: heard.url }));
  });
});

/** Who ends a session; nothing is made of it here. */
const nobody = { principal: { subject: 'tests' } as Principal, expires_ms: 0 };

const records = async (kind: string) => (await web.gateway.records()).filter((record) => record['kind'] === kind);

describe('what passes', () => {
  test('a request reaches the target with its credential in place of the token', async () => {
    const headers = {
      ...(await web.bearer()),
      'x-api-key': 'own',
      cookie: 'c=d',
      'x-forwarded-for': '1.1.1.1',
      'x-mine': 'stays',
    };
    const { status, headers: got, text } = await web.call('/http/cloud/v1/users?b=2&a=1', { headers });
    expect({ status, text }).toEqual({ status: 200, text: '{"url":"/api/v1/users?b=2&a=1"}' });
    expect(got).toMatchObject({ 'x-kept': 'yes', 'x-content-type-options': 'nosniff' });
    expect(got['set-cookie']).toBeUndefined();
    const [heard] = web.upstream.heard;
    expect(heard?.headers).toEqual({
      host: `127.0.0.1:${String(web.upstream.port)}`,
      authorization: 'Bearer the-real-one',
      'accept-encoding': 'identity',
      'x-mine': 'stays',
      connection: 'keep-alive',
    });
  });

  test('the record has the intent, the decision and the outcome', async () => {
    const headers = { ...(await web.bearer({ subject: 'agent:recorded' })), 'x-sallyport-prompt': 'p-7' };
    const { headers: got } = await web.call('/http/cloud/v1/recorded', { headers });
    const id = String(got['x-sallyport-decision']);
    const look = async () => (await records('intent')).find((record) => JSON.stringify(record).includes(id));
    let intent = await look();
    // Records of reads are not waited for before the answer.
    for (; intent === undefined; intent = await look()) await new Promise((resolve) => setImmediate(resolve));
    expect(intent).toMatchObject({
      action: 'read',
      personal: { operation: { method: 'GET', path: '/api/v1/recorded' } },
    });
    expect(JSON.stringify(intent)).toContain('"p-7"');
  });

  test('a token in a field of its own leaves Authorization alone, which the credential replaces', async () => {
    const token = await web.gateway.token();
    const headers = { authorization: 'Basic dummy', 'x-sallyport-token': token };
    expect((await web.call('/http/cloud/x', { headers })).status).toBe(200);
    expect(web.upstream.heard[0]?.headers['authorization']).toBe('Bearer the-real-one');
    expect(JSON.stringify(web.upstream.heard[0]?.raw)).not.toContain(token);
  });

  test('a token as the password of Basic is one, too', async () => {
    const basic = Buffer.from(`anybody:${await web.gateway.token()}`).toString('base64');
    expect((await web.call('/http/cloud/x', { headers: { authorization: `Basic ${basic}` } })).status).toBe(200);
  });

  test('a body goes on as it came, and a form in one way of writing it', async () => {
    const headers = await web.bearer();
    await web.call('/http/cloud/things', { method: 'POST', headers, body: '{"n": 1.10, "a": [ ]}' });
    const form = { ...headers, 'content-type': 'application/x-www-form-urlencoded' };
    await web.call('/http/cloud/things', { method: 'POST', headers: form, body: 'a=1+2;&b' });
    expect(web.upstream.heard.map(({ body }) => body.toString())).toEqual(['{"n": 1.10, "a": [ ]}', 'a=1%202%3B&b']);
  });

  test('a place of the target is one of the gateway', async () => {
    web.upstream.answers((_heard, response) => {
      response.writeHead(302, { location: `http://127.0.0.1:${String(web.upstream.port)}/api/other?x=1` });
      response.end();
    });
    const { status, headers } = await web.call('/http/cloud/here', { headers: await web.bearer() });
    expect({ status, location: headers['location'] }).toEqual({ status: 302, location: '/http/cloud/other?x=1' });
  });

  test('an answer flows as its client takes it', async () => {
    const chunk = Buffer.alloc(65_536, 'x');
    const total = 512;
    let written = 0;
    web.upstream.answers((_heard, response) => {
      response.writeHead(200);
      const more = () => {
        while (written < total) if (!(written++, response.write(chunk))) return;
        response.end();
      };
      response.on('drain', more);
      more();
    });
    const call = request({
      host: '127.0.0.1',
      port: web.port,
      ca: web.ca,
      path: '/http/cloud/large',
      headers: await web.bearer(),
    });
    call.end();
    const [answer] = (await once(call, 'response')) as [NodeJS.ReadableStream & { pause(): void }];
    // Nothing is read: the target can write no more than what the buffers on the way hold.
    await new Promise((resolve) => answer.once('readable', resolve));
    expect(written).toBeLessThan(total);
    let bytes = 0;
    for await (const part of answer as unknown as AsyncIterable<Buffer>) bytes += part.length;
    expect(bytes).toBe(total * chunk.length);
  });
});

describe('what does not', () => {
  test('nobody without a token, and no target that is not there', async () => {
    const nobody = await web.call('/http/cloud/x');
    expect(nobody).toMatchObject({
      status: 401,
      headers: { 'content-type': 'application/problem+json; charset=utf-8' },
    });
    expect(nobody.json()).toMatchObject({ code: 'no_token' });
    expect((await web.call('/http/nothing/x', { headers: await web.bearer() })).json()).toMatchObject({
      code: 'unknown_target',
    });
    expect(web.upstream.heard).toEqual([]);
  });

  test('a denial says why, by which decision, and what to do', async () => {
    const answer = await web.call('/http/cloud/secrets/1', { headers: await web.bearer() });
    expect(answer.status).toBe(403);
    expect(answer.json()).toMatchObject({
      code: 'denied',
      target: 'cloud',
      reasons: [{ code: 'secrets', message: 'not for agents' }],
      explain: `sallyport explain ${String(answer.headers['x-sallyport-decision'])}`,
    });
    expect(web.upstream.heard).toEqual([]);
  });

  test('policy sees the body', async () => {
    const answer = await web.call('/http/cloud/machines', {
      method: 'POST',
      headers: await web.bearer(),
      body: { size: 'large' },
    });
    expect(answer.json()).toMatchObject({ status: 403, reasons: [{ code: 'large' }] });
  });

  test('an answer beyond its limit is not begun, or cut off', async () => {
    web.upstream.answers((_heard, response) => response.end(Buffer.alloc(2_000)));
    const headers = await web.bearer();
    const answer = await web.call('/http/cloud/small', { headers });
    expect(answer.json()).toMatchObject({ status: 403, code: 'limit_exceeded' });
    web.upstream.answers((_heard, response) => {
      response.write(Buffer.alloc(900));
      response.end(Buffer.alloc(900));
    });
    await expect(web.call('/http/cloud/small', { headers })).rejects.toThrow(/aborted|hang up|reset/);
  });

  test('a token that stands elsewhere in the request, too', async () => {
    const token = await web.gateway.token();
    const headers = { authorization: `Bearer ${token}` };
    expect((await web.call(`/http/cloud/x?t=${token}`, { headers })).json()).toMatchObject({
      code: 'token_in_request',
    });
    const coded = Buffer.from(`agent:${token}`).toString('base64');
    for (const other of [token, `Basic ${coded}`, coded]) {
      expect((await web.call('/http/cloud/x', { headers: { ...headers, 'x-other': other } })).status).toBe(400);
    }
    const body = { auths: { gate: { auth: coded } } };
    expect((await web.call('/http/cloud/x', { method: 'POST', headers, body })).status).toBe(400);
    expect(web.upstream.heard).toEqual([]);
  });

  test('a target that is gone says so', async () => {
    web.upstream.answers((_heard, response) => response.destroy());
    const answer = await web.call('/http/cloud/x', { method: 'POST', headers: await web.bearer(), body: {} });
    expect(answer.json()).toMatchObject({ status: 502, code: 'upstream' });
  });
});

describe('what waits', () => {
  test('goes on once it is approved, and not before', async () => {
    const answer = web.call('/http/cloud/machines/7', { method: 'DELETE', headers: await web.bearer() });
    const { id } = await web.waiting();
    expect(web.upstream.heard).toEqual([]);
    await web.answer('approve', id);
    expect((await answer).status).toBe(200);
    expect(web.upstream.heard).toMatchObject([{ method: 'DELETE', url: '/api/machines/7' }]);
  });

  test('is answered once it is refused', async () => {
    const answer = web.call('/http/cloud/machines/8', { method: 'DELETE', headers: await web.bearer() });
    const { id } = await web.waiting();
    await web.answer('refuse', id);
    expect((await answer).json()).toMatchObject({ status: 403, code: 'approval_refused', hold: { id } });
    expect(web.upstream.heard).toEqual([]);
  });

  test('is taken back by a client that leaves', async () => {
    const call = request({
      ...{ host: '127.0.0.1', port: web.port, ca: web.ca, path: '/http/cloud/machines/9', method: 'DELETE' },
      headers: await web.bearer(),
    });
    call.on('error', () => undefined);
    call.end();
    const { id } = await web.waiting();
    const { approvers } = web.gateway.gateway;
    const over = new Promise<void>((resolve) => {
      const look = () =>
        void approvers.list({ status: 'waiting' }).then((list) => list.every((one) => one.id !== id) && resolve());
      approvers.subscribe(look);
    });
    call.destroy();
    await over;
    expect(web.upstream.heard).toEqual([]);
  });

  test('ends with its session', async () => {
    const answer = web.call('/http/cloud/machines/10', {
      method: 'DELETE',
      headers: await web.bearer({ subject: 'agent:killed' }),
    });
    await web.waiting();
    await web.gateway.gateway.sessions.kill({ subject: 'agent:killed' }, nobody);
    expect((await answer).json()).toMatchObject({ status: 401, code: 'killed' });
  });
});

describe('several requests on one connection', () => {
  const asks = async (path: string, more = '') => {
    const { authorization = '' } = await web.bearer();
    return `${more === '' ? 'GET' : 'POST'} /http/cloud/${path} HTTP/1.1\r\nHost: g\r\nAuthorization: ${authorization}\r\n${more}\r\n`;
  };

  test('behind an answer that ends the connection none is run: its client would not be told', async () => {
    // Refused before its body is read, so that it is the last.
    const first = await asks('a', 'X_Note: 1\r\nContent-Length: 2\r\n');
    const answer = await web.raw(`${first}{}${await asks('b')}`);
    expect(answer).toContain('"field_name"');
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(web.upstream.heard).toEqual([]);
  });

  test('who asks for more than waits for its answers is cut off', async () => {
    web.upstream.answers(() => undefined);
    const one = await asks('a');
    expect(await web.raw(one.repeat(65))).toBe('');
  });
});
