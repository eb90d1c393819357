import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileHeadStore, openAudit, openSigner } from '../audit/index.js';
import { createIdentityProvider } from '../../test/support/idp.js';
import { runCommandLine } from './index.js';

let folder: string;
let file: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-cli-audit-'));
  file = join(folder, 'audit.jsonl');
  const seal = { signer: await openSigner({ directory: folder }), heads: fileHeadStore(folder) };
  const audit = await openAudit({ sinks: [{ file }], durability: 'disk', seal });
  const fields = { decision_id: 'd-1', target: 'orders', action: 'delete', result: { outcome: 'allow' } };
  const personal = { principal: { subject: 'agent:a' }, operation: { statement: 'DELETE FROM t\u001b[2J' } };
  audit.write({ kind: 'intent', fields, personal });
  audit.write({ kind: 'outcome', fields: { decision_id: 'd-1', result: { status: 'ok', rows: 3 } } });
  await audit.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

async function sallyport(...args: string[]) {
  return as(undefined, ...args);
}

async function as(token: string | undefined, ...args: string[]) {
  let stdout = '';
  let stderr = '';
  const around = {
    env: token === undefined ? {} : { SALLYPORT_TOKEN: token },
    fallbackFolder: folder,
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
  };
  const code = await runCommandLine(['audit', ...args], around);
  return { code, stdout, stderr };
}

test('a search prints one line for each thing, and nothing that moves the cursor', async () => {
  const { code, stdout } = await sallyport('search', '--audit', file, '--principal', 'agent:a', '--since', '1h');
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^\S+Z {2}allow {5}d-1 {2}agent:a {2}orders {2}delete {2}ok 3 rows {2}DELETE FROM t\\u001b\[2J\n$/u,
  );
  expect((await sallyport('search', '--audit', file, '--target', 'other')).code).toBe(1);
  expect((await sallyport('search', '--audit', file, '--since', 'yesterday')).code).toBe(2);
});

test('an export has the names of the decision log', async () => {
  const { stdout } = await sallyport('export', '--audit', file);
  expect(JSON.parse(stdout)).toMatchObject({
    decision_id: 'd-1',
    input: { principal: { subject: 'agent:a' }, action: 'delete' },
    result: { outcome: 'allow' },
    custom: { outcome: { status: 'ok', rows: 3 } },
  });
});

test('verify says whole or what was changed, where, and by its exit code', async () => {
  expect(await sallyport('verify', file)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/4 records of 1 writer: whole, nothing was changed\n$/u),
  });
  const changed = join(folder, 'changed.jsonl');
  writeFileSync(changed, readFileSync(file, 'utf8').replace('"rows":3', '"rows":4'));
  const { code, stdout } = await sallyport('verify', changed);
  expect([code, stdout]).toEqual([1, expect.stringContaining(`${changed}:3: edited:`)]);
  const { findings } = JSON.parse((await sallyport('verify', '--json', changed)).stdout) as { findings: object[] };
  expect(findings).toEqual([expect.objectContaining({ kind: 'edited', file: changed, line: 3, sequence: 3 })]);
});

test("erase takes a person's values out of what was rotated away, records that, and says what is left", async () => {
  const home = mkdtempSync(join(tmpdir(), 'sallyport-cli-erase-'));
  try {
    const config = join(home, 'sallyport.yaml');
    const idp = await createIdentityProvider();
    await idp.writeJwks(join(home, 'jwks.json'));
    const token = await idp.issueToken({ subject: 'root@example.com', groups: ['admins'] });
    writeFileSync(
      config,
      `identity: {providers: [{name: a, type: oidc, issuer: https://idp.example, audience: sallyport, jwks: {file: ./jwks.json}}]}
console: {administrators: [admins]}
policy: {directory: ./policy}
state: {directory: ./state}
audit: {sinks: [{file: ./audit.jsonl}]}
`,
    );
    const [state, current] = [join(home, 'state'), join(home, 'audit.jsonl')];
    mkdirSync(join(home, 'policy'));
    mkdirSync(state, { mode: 0o700 });
    const write = async (subject: string, bytes_max: number) => {
      const seal = { signer: await openSigner({ directory: state }), heads: fileHeadStore(state) };
      const audit = await openAudit({ sinks: [{ file: current }], durability: 'disk', seal, rotation: { bytes_max } });
      for (let count = 0; count < 4; count += 1)
        await audit.write({ kind: 'intent', fields: {}, personal: { principal: { subject } } }, { durable: true });
      await audit.close();
    };
    const erase = (by = token) => as(by, 'erase', '-c', config, '--subject', 'ada', '--reason', 'request 42', '--json');
    const numbers = ({ code, stdout, stderr }: Awaited<ReturnType<typeof erase>>) => {
      expect(stderr).toBe('');
      return [code, JSON.parse(stdout) as { records: number; left: number }] as const;
    };
    await write('ada', 1_000_000);
    expect(numbers(await erase())).toEqual([1, { records: 0, left: 4 }]);
    await write('eve', 1);
    expect(numbers(await erase())).toEqual([0, { records: 4, left: 0 }]);
    expect(await sallyport('verify', '-c', config)).toMatchObject({ code: 0 });
    const files = readdirSync(home).filter((name) => name.startsWith('audit.jsonl'));
    const text = files.map((name) => readFileSync(join(home, name), 'utf8')).join('');
    expect([text.includes('"ada"'), text.match(/"eve"/gu)?.length]).toEqual([false, 4]);
    expect(text.match(/"act":"audit_erase"/gu)).toHaveLength(2);
    expect(
      text.match(/"administrator":\{"issuer":"https:\/\/idp.example","subject":"root@example.com"\}/gu),
    ).toHaveLength(2);

    const others = await Promise.all([
      idp.issueToken({ groups: ['agents'] }),
      idp.issueToken({ groups: ['admins'], expiresIn: -600, issuedIn: -900 }),
      idp.issueToken({ groups: ['admins'], audience: 'another' }),
    ]);
    for (const other of others)
      expect(await erase(other)).toMatchObject({
        code: 1,
        stdout: '',
        stderr: expect.stringContaining('nothing was erased'),
      });
    expect(await erase('')).toMatchObject({ code: 2, stderr: expect.stringContaining('who asks is not known') });
    expect(files.map((name) => readFileSync(join(home, name), 'utf8')).join('')).toBe(text);
  } finally {
    rmSync(home, { recursive: true });
  }
});

test('verify with another key trusts no signature', async () => {
  const other = mkdtempSync(join(tmpdir(), 'sallyport-cli-audit-'));
  const { public: key } = await openSigner({ directory: other });
  rmSync(other, { recursive: true });
  const { code, stdout } = await sallyport('verify', '--key', key, file);
  expect([code, stdout]).toEqual([1, expect.stringContaining('forged_signature')]);
});
