import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileHeadStore, openAudit, openSigner } from '../audit/index.js';
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
  let stdout = '';
  let stderr = '';
  const around = {
    env: {},
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

test('verify with another key trusts no signature', async () => {
  const other = mkdtempSync(join(tmpdir(), 'sallyport-cli-audit-'));
  const { public: key } = await openSigner({ directory: other });
  rmSync(other, { recursive: true });
  const { code, stdout } = await sallyport('verify', '--key', key, file);
  expect([code, stdout]).toEqual([1, expect.stringContaining('forged_signature')]);
});
