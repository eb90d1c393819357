import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { startWeb, type Web } from '../../support/web.js';

/** Forms of requests, as data: none reaches the registry as another one than policy saw. */

interface Form {
  readonly line: string;
  readonly fields?: readonly string[];
  readonly body?: string;
  readonly refused?: string;
  readonly sent?: string;
  readonly seen?: Readonly<Record<string, unknown>>;
}

const hex = '5'.repeat(64);
const forms = parse(
  readFileSync(new URL('forms.yaml', import.meta.url), 'utf8')
    .replaceAll(/\bD\b/g, `sha256:${hex}`)
    .replaceAll(/:X\b/g, `:${hex}`)
    .replaceAll(/%3aX\b/g, `%3a${hex}`),
) as Form[];
const policy = { 'registry.rego': 'package policy.registry\n\nallow contains {"code": "all"} if input.version == 1\n' };

let web: Web;
let token: string;
beforeAll(async () => {
  web = await startWeb({
    policy,
    protocol: 'registry',
    upstream: (port) => ({ url: `http://127.0.0.1:${String(port)}` }),
  });
  token = await web.gateway.token();
  web.upstream.answers((heard, response) => {
    const upload = heard.method === 'POST' ? { location: '/v2/team/app/blobs/uploads/1' } : {};
    response.writeHead(heard.method === 'POST' ? 202 : 404, upload);
    response.end();
  });
});
afterAll(() => web?.close());

function bytesOf({ line, fields = [], body: given = '' }: Form): Buffer {
  const spelled = (text: string) =>
    text.replaceAll('TOKEN', token).replaceAll('CODED', Buffer.from(`agent:${token}`).toString('base64'));
  const body = spelled(given);
  const length = /^(content-length|transfer-encoding):/i;
  const counted = body === '' || fields.some((field) => length.test(field)) ? [] : [`Content-Length: ${body.length}`];
  const head = [`${line} HTTP/1.1`, 'Host: g', `Authorization: Bearer ${token}`, ...fields, ...counted];
  const text = `${[...head, 'Connection: close'].join('\r\n')}\r\n\r\n${body}`;
  return Buffer.from(spelled(text), 'latin1');
}

/** The gateway's own code of a refusal; "closed" where the parser itself refused. */
function refusal(answer: string): string {
  const found = /"detail":\{"code":"([a-z_]+)"/.exec(answer)?.[1];
  return found ?? (/^HTTP\/1\.1 400 /.test(answer) || answer === '' ? 'closed' : answer);
}

/** The intents of these decisions, once they are written: records of reads are not waited for before the answer. */
async function recorded(id: string): Promise<{ readonly operation: Readonly<Record<string, unknown>> }> {
  for (;;) {
    const records = await web.gateway.records();
    const found = records.find((one) => one['decision_id'] === id && one['kind'] === 'intent');
    if (found !== undefined) return found['personal'] as { operation: Record<string, unknown> };
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('there are enough forms', () => {
  expect(forms.length).toBeGreaterThanOrEqual(80);
});

test.each(
  forms.map((form): [string, Form] => [`${form.line} ${(form.fields ?? []).join(' ')} ${form.body ?? ''}`, form]),
)('%j', async (_name, form) => {
  const { heard } = web.upstream;
  heard.length = 0;
  const answer = await web.raw(bytesOf(form));
  if (form.refused !== undefined) {
    expect(heard).toEqual([]);
    expect(refusal(answer)).toBe(form.refused);
    return;
  }
  expect(heard.map(({ method, url }) => `${method} ${decodeURIComponent(url)}`)).toEqual([
    decodeURIComponent(form.sent ?? ''),
  ]);
  expect(JSON.stringify(heard)).not.toContain(token);
  const id = /x-sallyport-decision: (\S+)/i.exec(answer)?.[1] ?? 'none';
  const { operation } = await recorded(id);
  expect(operation).toMatchObject(form.seen ?? {});
  expect(operation['host']).toBe(`127.0.0.1:${String(web.upstream.port)}`);
});
