import { expect, test } from '@jest/globals';
import { createAuthority } from '../support/certificates.js';
import { load, parts, problems } from './support.js';

/** Where the audit goes besides its files. */

const rest = parts.identity + parts.policy;
const sinks = (text: string) => `audit:\n  sinks: ${text}\n${rest}`;
const receiver = { headers: {}, timeout_ms: 10_000 };

test('http, otlp and postgres beside a file that is always there', async () => {
  const { audit } = await load(
    sinks(
      `[{http: {url: "https://opa.example/logs", headers: {Authorization: "Bearer \${TOKEN}"}, timeout: 5s}, name: siem, fail: open, buffer: {records: 7, size: 1MiB}}, {otlp: {url: "http://127.0.0.1:4318/v1/logs", ca: {file: ca.pem}}}, {postgres: state}, {postgres: "postgres://u:p@127.0.0.1/logs", name: copy}]`,
    ),
    { env: { TOKEN: 'T0KEN' }, files: { 'ca.pem': createAuthority().certificate } },
  );
  expect(audit.sinks).toEqual([{ file: expect.stringMatching(/\.sallyport\/audit\.jsonl$/u) }]);
  const usual = { fail: 'closed', records_max: 10_000, bytes_max: 67_108_864 };
  expect(audit.remote).toEqual([
    {
      ...{ type: 'http', name: 'siem', fail: 'open', records_max: 7, bytes_max: 1_048_576 },
      receiver: { url: 'https://opa.example/logs', headers: { Authorization: 'Bearer T0KEN' }, timeout_ms: 5_000 },
    },
    {
      ...{ type: 'otlp', name: 'otlp', ...usual },
      receiver: { ...receiver, url: 'http://127.0.0.1:4318/v1/logs', ca: expect.stringContaining('CERTIFICATE') },
    },
    { type: 'postgres', name: 'postgres', ...usual, database: 'state' },
    {
      ...{ type: 'postgres', name: 'copy', ...usual },
      database: { host: '127.0.0.1', port: 5432, database: 'logs', user: 'u', password: 'p' },
    },
  ]);
});

test('what is printed has neither headers nor paths, passwords or the signing key', async () => {
  const config = await load(
    `audit:\n  signing_key: S3CRET-KEY\n  sinks: [{http: {url: "https://opa.example/S3CRET", headers: {X-Key: S3CRET}}}, {postgres: "postgres://u:S3CRET@127.0.0.1/logs"}]\n${rest}`,
  );
  expect(JSON.stringify(config)).toContain('https://opa.example');
  expect(JSON.stringify(config)).not.toContain('S3CRET');
});

test.each([
  [
    'in clear to another machine',
    '[{http: {url: "http://opa.example/"}}]',
    'audit.sinks[0].http.url: must be https://',
  ],
  [
    'a password in the URL',
    '[{otlp: {url: "https://u:p@otlp.example/"}}]',
    'audit.sinks[0].otlp.url: must be https://',
  ],
  [
    'a header of our own',
    '[{http: {url: "https://a.example", headers: {Host: b}}}]',
    'has a name that is none of a header',
  ],
  [
    'a header with a line end',
    '[{http: {url: "https://a.example", headers: {A: "b\\nC: d"}}}]',
    'characters that no header',
  ],
  ['two of one name', '[{postgres: state}, {postgres: state}]', 'another sink is called "postgres"'],
  ['a database in clear', '[{postgres: "postgres://u:p@db.example/x?sslmode=disable"}]', 'in clear to another machine'],
  ['a file that is missing', '[{http: {url: "https://a.example", ca: {file: no.pem}}}]', 'no.pem does not exist'],
  ['no bound', '[{postgres: state, buffer: {records: 0}}]', 'audit.sinks[0].buffer.records'],
  ['another way to fail', '[{postgres: state, fail: never}]', '"never" is not one of closed, open'],
])('%s is refused', async (_, text, message) => {
  expect((await problems(sinks(text))).join('\n')).toContain(message);
});
