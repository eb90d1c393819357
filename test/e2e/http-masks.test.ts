import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { startWeb, type Web } from '../support/web.js';

/** Masks of what APIs answer: by field, by what it looks like, in every form in which answers come. */

const policy = {
  'http.rego': `package policy.http

import data.sallyport.http

allow contains {"code": "all"} if input.operation.http.method != ""

mask contains {"code": "email", "resource": "body:**.email", "with": "redact"} if http.below(["fields"])

mask contains {"code": "salary", "resource": "body:**.salary", "with": "null"} if http.below(["fields"])

mask contains {"code": "customer", "resource": "body:users[*].id", "with": "hash"} if http.below(["fields"])

mask contains {"code": "content", "resource": "*", "with": "pattern", "parameters": {"kinds": ["email"]}} if {
  http.below(["text"])
}

mask contains {"code": "wrong", "resource": "users.email", "with": "redact"} if http.below(["wrong"])

limit contains {"bytes": 60} if http.below(["fields", "limited"])
`,
};

const canary = 'ada.canary@example.com';
const user = { id: 'u-1', email: canary, salary: 70_500, n: 1.0 };

let web: Web;
let headers: Record<string, string>;
beforeAll(async () => {
  web = await startWeb({ policy, target: { credential: { bearer: 'own' } } });
  headers = await web.bearer();
});
afterAll(() => web?.close());
beforeEach(() => void (web.upstream.heard.length = 0));

const bytesOf = (body: string | Buffer) => Buffer.from(body as string);

function answers(type: string, body: string | Buffer, more: Record<string, string> = {}, status = 200): void {
  web.upstream.answers((_heard, response) => {
    const fields = { 'content-type': type, 'content-length': String(bytesOf(body).length), etag: '"1"', ...more };
    response.writeHead(status, fields);
    response.end(body);
  });
}

/** In pieces of one byte, so that nothing is found by luck. */
function drips(type: string, body: string): void {
  web.upstream.answers((_heard, response) => {
    response.writeHead(200, { 'content-type': type });
    for (const byte of Buffer.from(body)) response.write(Buffer.of(byte));
    response.end();
  });
}

const get = (path: string, more: Record<string, string> = {}) =>
  web.call(`/http/cloud${path}`, { headers: { ...headers, ...more } });

describe('a field', () => {
  test('is masked wherever its path leads, and all else stays as it was', async () => {
    answers('application/json; charset=utf-8', `{"users": [${JSON.stringify(user)}], "n": 1.10}`);
    const { text, status } = await get('/fields/users');
    expect(status).toBe(200);
    expect(text).toMatch(
      /^\{"users": \[\{"id":"hash:[0-9a-f]{32}","email":"\*\*\*","salary":null,"n":1\}\], "n": 1\.10\}$/,
    );
  });

  test('takes length, version and digest of the real answer along', async () => {
    answers('application/json', JSON.stringify(user), {
      'content-md5': 'x',
      'repr-digest': 'y',
      'x-amz-checksum-crc32': 'z',
    });
    const answer = await get('/fields/1');
    expect(answer.headers['content-length']).toBe(String(answer.text.length));
    for (const name of ['etag', 'content-md5', 'repr-digest', 'x-amz-checksum-crc32']) {
      expect(answer.headers[name]).toBeUndefined();
    }
    const head = await web.call('/http/cloud/fields/1', { method: 'HEAD', headers });
    expect({ status: head.status, length: head.headers['content-length'], etag: head.headers['etag'] }).toEqual({
      status: 200,
      length: undefined,
      etag: undefined,
    });
  });

  test('is asked for whole, now and not packed', async () => {
    answers('application/json', JSON.stringify(user));
    const conditions = {
      range: 'bytes=0-9',
      'if-none-match': '"1"',
      'if-modified-since': 'x',
      'accept-encoding': 'gzip',
    };
    await get('/fields/1', conditions);
    const heard = web.upstream.heard[0]!.headers;
    expect(Object.keys(conditions).map((name) => heard[name])).toEqual([undefined, undefined, undefined, 'identity']);
    const conditional = await get('/fields/1', { 'if-match': '"1"' });
    expect({ status: conditional.status, heard: web.upstream.heard.length }).toEqual({ status: 403, heard: 1 });
    expect(conditional.text).toContain('mask_unenforceable');
  });

  test('is found in answers that are packed all the same', async () => {
    answers('application/json', gzipSync(JSON.stringify(user)), { 'content-encoding': 'gzip' });
    const answer = await get('/fields/1');
    expect(answer.json()).toMatchObject({ email: '***' });
    expect(answer.headers['content-encoding']).toBeUndefined();
  });

  test.each([
    ['application/x-ndjson', `${JSON.stringify(user)}\n${JSON.stringify(user)}\n`],
    ['text/event-stream', `: hello\nevent: user\nid: 1\ndata: ${JSON.stringify(user)}\n\ndata: [DONE]\n\n`],
    ['text/event-stream', `data: ${JSON.stringify(user, null, 1).replaceAll('\n', '\r\ndata: ')}\r\n\r\n`],
    ['text/event-stream', `data: not JSON, ${canary}\n\n`],
  ])('is masked in %s, however it is cut', async (type, body) => {
    drips(type, body);
    const { status, text } = await get('/fields/stream');
    expect(status).toBe(200);
    expect(text).not.toContain('canary');
    expect(text).not.toContain('70500');
    expect(text).toContain('***');
    expect(text.includes('[DONE]')).toBe(body.includes('[DONE]'));
  });

  test('of an event goes on before the next one comes', async () => {
    let more: () => void = () => undefined;
    web.upstream.answers((_heard, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`data: ${JSON.stringify(user)}\n\n`);
      more = () => response.end('data: {"last": true}\n\n');
    });
    const { request } = await import('node:https');
    const text = await new Promise<string>((resolve, reject) => {
      const place = { host: '127.0.0.1', port: web.port, ca: web.ca, path: '/http/cloud/fields/stream', headers };
      const call = request(place, (answer) => {
        let all = '';
        answer.setEncoding('utf8').on('data', (part: string) => {
          all += part;
          // Only what has arrived makes the target go on.
          if (all.endsWith('\n\n')) more();
        });
        answer.on('end', () => resolve(all));
      });
      call.on('error', reject);
      call.end();
    });
    expect(text).toContain('"last": true');
  });

  test.each([
    ['text/html', `<p>${canary}</p>`],
    ['application/octet-stream', canary],
    ['application/javascript', `callback({"email": "${canary}"})`],
    ['application/json; charset=utf-16le', Buffer.from(JSON.stringify(user), 'utf16le')],
    ['application/json', `${JSON.stringify(user)} {`],
    ['application/json', Buffer.from(`\ufeff${JSON.stringify(user)}`)],
    ['application/json', Buffer.from([0x7b, 0xff, 0x7d])],
  ])('is withheld with all of an answer that is %s, and cannot be looked into', async (type, body) => {
    answers(type, body);
    const { status, text } = await get('/fields/other');
    expect({ status, shown: text.includes('canary') }).toEqual({ status: 502, shown: false });
  });

  test('is not written back as it was masked', async () => {
    answers('application/json', '{}');
    const put = (body: object) => web.call('/http/cloud/fields/1', { method: 'PUT', headers, body });
    expect((await put({ email: '***' })).status).toBe(403);
    expect((await put({ a: [{ id: `hash:${'0'.repeat(32)}` }] })).status).toBe(403);
    expect(web.upstream.heard).toEqual([]);
    expect((await put({ email: 'new@example.com' })).status).toBe(200);
  });

  test('has no other name by GraphQL', async () => {
    answers('application/json', '{}');
    const query = '{ user { e: email } }';
    const posted = await web.call('/http/cloud/fields/x', { method: 'POST', headers, body: { query } });
    const asked = await get(`/fields/x?query=${encodeURIComponent(query)}`);
    expect([posted.status, asked.status, web.upstream.heard.length]).toEqual([403, 403, 0]);
  });

  test.each([
    ['/fields/graphql/', 'application/x-www-form-urlencoded', 'query=%7B+user+%7B+e%3A+email+%7D+%7D'],
    ['/fields/x', 'application/x-www-form-urlencoded', 'query=%7B+user+%7B+e%3A+email+%7D+%7D'],
    ['/fields/graphql/', 'application/json', '{"extensions":{"persistedQuery":{"version":1}}}'],
    ['/fields/x', 'text/plain', '{"query":"{ user { e: email } }"}'],
    ['/fields/x', 'application/octet-stream', '[{"\\u0071uery":"\\u007b user { e: email } }"}]'],
  ])('has none at %s by %s either', async (path, type, body) => {
    const answer = await web.call(`/http/cloud${path}`, {
      method: 'POST',
      headers: { ...headers, 'content-type': type },
      body,
    });
    expect({ status: answer.status, heard: web.upstream.heard.length }).toEqual({ status: 403, heard: 0 });
    expect(answer.text).toContain('GraphQL');
  });

  test('does not take the condition away under which something is written', async () => {
    answers('application/json', '{}');
    const put = (condition: string) =>
      web.call('/http/cloud/fields/1', {
        method: 'PUT',
        headers: { ...headers, 'if-none-match': condition },
        body: {},
      });
    expect((await put('*')).status).toBe(200);
    expect(web.upstream.heard.map((heard) => heard.headers['if-none-match'])).toEqual(['*']);
    expect((await put('"1"')).status).toBe(403);
    expect(web.upstream.heard).toHaveLength(1);
  });

  test('stays out of the record of what was asked', async () => {
    answers('application/json', '{}');
    await web.call('/http/cloud/fields/1?email=ada.canary', { method: 'PUT', headers, body: { email: canary } });
    const records = await web.gateway.records();
    const asked = records.filter((record) => JSON.stringify(record).includes('"PUT"')).at(-1);
    expect(asked).toMatchObject({ personal: { operation: { path: '/fields/1', body: { kind: 'json', bytes: 34 } } } });
    expect(records.filter((record) => JSON.stringify(record).includes('canary'))).toEqual([]);
  });

  test('counts as masked for a limit', async () => {
    answers('application/json', JSON.stringify({ email: 'x'.repeat(40) }));
    expect((await get('/fields/limited')).json()).toEqual({ email: '***' });
    answers('application/json', JSON.stringify({ other: 'x'.repeat(60) }));
    expect((await get('/fields/limited')).json()).toMatchObject({ code: 'limit_exceeded' });
  });

  test('that a mask names in no form that is known is a denial', async () => {
    expect((await get('/wrong')).text).toContain('write body:FIELD');
    expect(web.upstream.heard).toEqual([]);
  });
});

describe('what looks like an address', () => {
  test.each([
    ['text/plain', `write to ${canary} or not`],
    ['text/html', `<a href="mailto:${canary}">x</a>`],
    ['application/xml', `<mail>${canary}</mail>`],
    ['application/json', JSON.stringify({ notes: [`call ${canary}`] })],
    ['application/json', '{"notes":"ada.canary\\u0040example.com"}'],
    ['text/event-stream', `event: note\ndata: ${canary}\n\n`],
  ])('is masked in %s, however it is cut', async (type, body) => {
    drips(type, body);
    const { status, text } = await get('/text/notes');
    expect({ status, shown: text.includes('ada.canary') }).toEqual({ status: 200, shown: false });
    expect(text).toContain('***');
  });

  test('is masked in errors and in fields of the head', async () => {
    answers('text/plain', `no such user: ${canary}`, { link: `</users?email=${canary}>; rel="self"` }, 404);
    const { status, text, headers: got } = await get('/text/users');
    expect({ status, text }).toEqual({ status: 404, text: 'no such user: ***' });
    expect(JSON.stringify(got)).not.toContain('canary');
  });

  test.each([
    ['application/pdf', canary],
    ['text/plain; charset=utf-16', Buffer.from(canary, 'utf16le')],
  ])('keeps answers back that are %s', async (type, body) => {
    answers(type, body);
    expect((await get('/text/file')).status).toBe(502);
  });

  test('ends an answer that is wide, whatever it says', async () => {
    answers('text/plain', Buffer.from(canary, 'utf16le'));
    await expect(get('/text/file')).rejects.toThrow(/aborted|hang up|reset/);
  });
});
