import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { startWeb, type Web } from '../../support/web.js';

/** Forms of requests, as data: none reaches the target as another one than policy saw. */

interface Form {
  readonly line?: string;
  readonly fields?: readonly string[];
  readonly body?: string;
  readonly raw?: string;
  readonly refused?: string;
  readonly sent?: string;
}

const forms = parse(readFileSync(new URL('forms.yaml', import.meta.url), 'utf8')) as Form[];
const policy = { 'http.rego': 'package policy.http\n\nallow contains {"code": "all"} if input.version == 1\n' };

let web: Web;
let token: string;
beforeAll(async () => {
  web = await startWeb({ policy, base: '/api', target: { credential: { bearer: 'own' } } });
  token = await web.gateway.token();
});
afterAll(() => web?.close());

function bytesOf({ line = '', fields = [], body = '', raw }: Form): Buffer {
  if (raw !== undefined) return Buffer.from(raw.replace('TOKEN', token), 'latin1');
  const length = /^(content-length|transfer-encoding):/i;
  const counted = body === '' || fields.some((field) => length.test(field)) ? [] : [`Content-Length: ${body.length}`];
  const head = [`${line} HTTP/1.1`, 'Host: g', `Authorization: Bearer ${token}`, ...fields, ...counted];
  // Only one Connection may stand there: a form that is about it has its own.
  return Buffer.from(`${[...head, 'Connection: close'].join('\r\n')}\r\n\r\n${body}`, 'latin1');
}

/** The code of a problem; "closed" where the parser itself refused. */
function refusal(answer: string): string {
  const found = /"code":"([a-z_]+)"/.exec(answer)?.[1];
  return found ?? (/^HTTP\/1\.1 400 /.test(answer) || answer === '' ? 'closed' : answer);
}

test('there are enough forms', () => {
  expect(forms.length).toBeGreaterThanOrEqual(80);
});

/** The intent of this decision, once it is written: records of reads are not waited for before the answer. */
async function recorded(id: string): Promise<Record<string, unknown>> {
  for (;;) {
    const records = await web.gateway.records();
    const found = records.find((one) => one['decision_id'] === id && one['kind'] === 'intent');
    if (found !== undefined) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const named = forms.map((form): [string, Form] => [
  form.raw ?? `${form.line ?? ''} ${(form.fields ?? []).join(' ')} ${form.body ?? ''}`,
  form,
]);

test.each(named)('%j', async (_name, form) => {
  const { heard } = web.upstream;
  heard.length = 0;
  const answer = await web.raw(bytesOf(form));
  if (form.refused !== undefined) {
    expect(heard).toEqual([]);
    expect(refusal(answer)).toBe(form.refused);
    return;
  }
  expect(heard.map(({ url }) => url)).toEqual([form.sent]);
  // What policy saw is in the record: method, path and query are what the target got.
  const id = /x-sallyport-decision: (\S+)/i.exec(answer)?.[1] ?? 'none';
  const record = await recorded(id);
  const seen = (record['personal'] as { operation: Seen }).operation;
  const { method, url, headers } = heard[0]!;
  const [path, query] = url.split('?');
  expect({ method: seen.method, path: seen.path }).toEqual({ method, path });
  const said = [...new URLSearchParams(query)].map(([name, value]) => `${name}=${value}`);
  expect(Object.entries(seen.query).flatMap(([name, values]) => values.map((value) => `${name}=${value}`))).toEqual(
    said,
  );
  for (const name of Object.keys(headers)) {
    const ours = ['host', 'connection', 'authorization', 'content-length'].includes(name);
    expect(ours ? headers[name] : seen.headers[name]).toBe(headers[name]);
  }
});

interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, readonly string[]>>;
  readonly headers: Readonly<Record<string, string>>;
}
