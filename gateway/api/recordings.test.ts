import { createHash } from 'node:crypto';
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startTestApi, type TestApi } from '../../test/support/api.js';
import type { TokenOptions } from '../../test/support/idp.js';
import type { Audit } from '../audit/index.js';
import { eventLine, headerLine } from '../recordings/cast.js';
import type { ListedRecording } from './recordings.js';

/** Recordings through the API: who may see them, what is found, and what is written down of whoever looked. */

const auditor: TokenOptions = { subject: 'eve@example.com', groups: ['audit'] };
const administrator: TokenOptions = { subject: 'root@example.com', groups: ['security'] };
const agent: TokenOptions = { subject: 'agent:x', groups: ['agents'] };
const began_s = Math.floor(Date.now() / 1_000);

let api: TestApi;
let audit: Audit;
let folder: string;

beforeAll(async () => {
  api = await startTestApi({
    recordings: true,
    gates: (parts) => {
      audit = parts.audit;
      return [];
    },
  });
  folder = join(api.folder, 'recordings');
  await mkdir(folder);
});
afterAll(() => api?.close());

async function keep(number: string, options: { subject?: string; later_s?: number; words?: string } = {}) {
  const { subject = 'agent:x', later_s = 0, words = 'some words' } = options;
  const header = headerLine({
    ...{ version: 2, width: 80, height: 24, timestamp: began_s + later_s, title: '', command: 'cat notes' },
    sallyport: {
      ...{ id: `r-${number}`, decision: `d-${number}`, session: `s-${number}`, target: 'build', protocol: 'ssh' },
      ...{ principal: { issuer: 'https://idp.example', subject }, request: 'exec', terminal: true, masked: false },
    },
  });
  const content = [header, eventLine(1, 'o', `\u001b[1m${words}\u001b[0m\r\n`), eventLine(2, 'x', '0')].join('');
  await writeFile(join(folder, `r-${number}.cast`), content);
  return content;
}

/** What the gateway records of an operation that was recorded. */
async function recordOutcome(number: string, content: string, complete = true) {
  const decision_id = `d-${number}`;
  await audit.write({ kind: 'intent', fields: { decision_id }, personal: {} }, { durable: true });
  const sha256 = createHash('sha256').update(content).digest('hex');
  const recording = { id: `r-${number}`, bytes: Buffer.byteLength(content), sha256, complete };
  await audit.write(
    { kind: 'outcome', fields: { decision_id, result: { status: 'ok', recording } }, personal: {} },
    { durable: true },
  );
}

const as = async (token: TokenOptions, path: string) =>
  api.call(path, { headers: { authorization: `Bearer ${await api.idp.issueToken(token)}` } });
const list = async (query = '') =>
  (await as(auditor, `/v1/recordings${query}`)).json<{ found: ListedRecording[]; complete: boolean }>();
const ids = async (query: string) => (await list(query)).found.map(({ id }) => id).sort();
const acts = async (act: string) => (await api.records()).filter((one) => one['act'] === act);

describe('recordings', () => {
  test('are for auditors and administrators; nobody else sees any, not even of themselves', async () => {
    await keep('a-1');
    for (const path of ['/v1/recordings', '/v1/recordings/r-a-1', '/v1/recordings/r-none']) {
      expect((await as(agent, path)).json()).toMatchObject({ status: 403, code: 'not_auditor' });
      expect((await api.call(path)).json()).toMatchObject({ status: 401, code: 'no_token' });
    }
    expect(await acts('recording_play')).toEqual([]);
    for (const who of [auditor, administrator]) expect((await as(who, '/v1/recordings/r-a-1')).status).toBe(200);
  });

  test('are listed with what they are of, and not with where they are kept', async () => {
    await keep('b-1', { subject: 'agent:listed' });
    const { found, complete } = await list('?principal=agent:listed');
    expect(complete).toBe(true);
    expect(found).toEqual([
      {
        ...{
          id: 'r-b-1',
          kind: 'recording',
          decision: 'd-b-1',
          session: 's-b-1',
          target: 'build',
          protocol: 'ssh',
          request: 'exec',
        },
        ...{ terminal: true, masked: false, seconds: 2, exit: '0', command: 'cat notes', matches: [] },
        principal: { issuer: 'https://idp.example', subject: 'agent:listed' },
        bytes: expect.any(Number),
        started: new Date(began_s * 1_000).toISOString(),
      },
    ]);
  });

  test('are found by whose, where, when and by words; who looks for words is recorded', async () => {
    await keep('c-1', { subject: 'agent:c', later_s: 1_000, words: 'first needle' });
    await keep('c-2', { subject: 'agent:c', later_s: 2_000, words: 'other straw' });
    const at = (later_s: number) => new Date((began_s + later_s) * 1_000).toISOString();
    expect(await ids('?principal=agent:c')).toEqual(['r-c-1', 'r-c-2']);
    expect(await ids('?principal=agent:c&target=elsewhere')).toEqual([]);
    expect(await ids('?session=s-c-2')).toEqual(['r-c-2']);
    expect(await ids(`?principal=agent:c&since=${at(1_500)}`)).toEqual(['r-c-2']);
    expect(await ids(`?principal=agent:c&until=${at(1_500)}`)).toEqual(['r-c-1']);
    expect(await acts('recording_search')).toEqual([]);
    const { found } = await list('?principal=agent:c&text=FIRST%20needle');
    expect(found).toMatchObject([{ id: 'r-c-1', matches: [{ seconds: 1, line: 'first needle' }] }]);
    expect(await acts('recording_search')).toMatchObject([
      {
        kind: 'administrator',
        personal: { administrator: { subject: 'eve@example.com' }, query: { text: 'FIRST needle' } },
      },
    ]);
    expect((await as(auditor, '/v1/recordings?text=')).status).toBe(400);
    expect((await as(auditor, '/v1/recordings?folder=/etc')).status).toBe(400);
  });

  test('come as they are kept, and each playing is recorded before', async () => {
    const content = await keep('d-1', { subject: 'agent:played' });
    await recordOutcome('d-1', content);
    const played = await as(auditor, '/v1/recordings/r-d-1');
    expect(played.text).toBe(content);
    expect(played.headers).toMatchObject({
      'content-type': 'application/x-asciicast',
      'sallyport-recording': 'whole',
      'content-security-policy': expect.stringContaining("default-src 'none'"),
    });
    // By the id of its decision, too.
    expect((await as(administrator, '/v1/recordings/d-d-1')).text).toBe(content);
    const records = (await acts('recording_play')).filter(({ recording }) => recording === 'r-d-1');
    expect(records).toMatchObject([
      {
        ...{ kind: 'administrator', through: 'api', target: 'build', standing: 'whole' },
        personal: { administrator: { subject: 'eve@example.com' }, principal: { subject: 'agent:played' } },
      },
      { personal: { administrator: { subject: 'root@example.com' } } },
    ]);
  });

  test.each<[string, string, (number: string, content: string) => Promise<void>]>([
    ['that the audit knows nothing of', 'unknown', async () => undefined],
    [
      'of which a word was changed',
      'changed',
      async (number, content) => {
        await recordOutcome(number, content);
        await writeFile(join(folder, `r-${number}.cast`), content.replace('some', 'same'));
      },
    ],
    [
      'to which something was added',
      'changed',
      async (number, content) => {
        await recordOutcome(number, content);
        await appendFile(join(folder, `r-${number}.cast`), eventLine(3, 'o', 'more'));
      },
    ],
    [
      'that was cut',
      'changed',
      async (number, content) => {
        await recordOutcome(number, content);
        await writeFile(join(folder, `r-${number}.cast`), content.slice(0, -2));
      },
    ],
    [
      'for whose end there was no room',
      'incomplete',
      async (number, content) => {
        await recordOutcome(number, content, false);
        await appendFile(join(folder, `r-${number}.cast`), '[2.5,"o');
      },
    ],
  ])('one %s is %s', async (name, standing, change) => {
    const number = `e-${createHash('sha256').update(name).digest('hex').slice(0, 8)}`;
    await change(number, await keep(number));
    expect((await as(auditor, `/v1/recordings/r-${number}`)).headers['sallyport-recording']).toBe(standing);
  });

  test('copies are listed with what they are of, come as they are kept, and each reading is recorded before', async () => {
    const origin = {
      ...{ id: 'c-e-9', decision: 'd-e-9', session: 's-e-9', target: 'build', protocol: 'ssh', request: 'sftp' },
      ...{ principal: { issuer: 'https://idp.example', subject: 'agent:copied' }, terminal: false, masked: false },
    };
    const header = { version: 1, form: 'sallyport-copy', timestamp: began_s, title: '', path: '/srv/notes' };
    const content = `${JSON.stringify({ ...header, sallyport: origin })}\n[0.1,"w",0,5]\nnotes\n[0.5,"x","ok"]\n`;
    await writeFile(join(folder, 'c-e-9.copy'), content);
    await audit.write({ kind: 'intent', fields: { decision_id: 'd-e-9' }, personal: {} }, { durable: true });
    const sha256 = createHash('sha256').update(content).digest('hex');
    const copy = { id: 'c-e-9', bytes: content.length, sha256, complete: true, masked: false };
    const result = { status: 'ok', copy };
    await audit.write({ kind: 'outcome', fields: { decision_id: 'd-e-9', result }, personal: {} }, { durable: true });
    const { found } = await list('?principal=agent:copied');
    expect(found).toMatchObject([{ id: 'c-e-9', kind: 'copy', path: '/srv/notes', seconds: 0.5, exit: 'ok' }]);
    const read = await as(auditor, '/v1/recordings/c-e-9');
    expect(read).toMatchObject({ status: 200, text: content });
    expect(read.headers).toMatchObject({ 'content-type': 'application/octet-stream', 'sallyport-recording': 'whole' });
    expect(await acts('copy_read')).toMatchObject([{ recording: 'c-e-9', target: 'build', standing: 'whole' }]);
  });

  test.each(['r-none', '..%2Faudit', 'r-a-1.cast', '%2Fetc%2Fpasswd'])('there is none at %s', async (id) => {
    expect((await as(auditor, `/v1/recordings/${id}`)).json()).toMatchObject({ status: 404, code: 'unknown' });
  });
});

test('a gateway that records nothing says so', async () => {
  const bare = await startTestApi({ idp: api.idp });
  try {
    const authorization = `Bearer ${await api.idp.issueToken(auditor)}`;
    const sent = await bare.call('/v1/recordings', { headers: { authorization } });
    expect(sent.json()).toMatchObject({ status: 404, detail: expect.stringContaining('nothing is recorded here') });
  } finally {
    await bare.close();
  }
});
