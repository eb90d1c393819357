import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { cleanUp, scratch, writeTree } from '../../test/bundles/support.js';
import { runCommandLine } from './index.js';

const policy = {
  'postgres.rego': `package policy.postgres

# METADATA
# title: The month's end is worked on by accountants
allow contains {"code": "month_end"} if {
	"accountants" in input.principal.groups
	input.principal.purpose == "month-end"
	input.operation.action == "read"
}

allow contains {"code": "owners"} if "owners" in input.principal.groups

deny contains {"code": "no_salaries"} if {
	some resource in input.operation.resources
	resource.name == "hr.salaries"
	not "people-team" in input.principal.groups
}
`,
};

let folder: string;
beforeAll(async () => {
  folder = await scratch();
  await writeTree(folder, policy);
});
afterAll(cleanUp);

async function ask(...args: string[]) {
  let out = '';
  let err = '';
  const code = await runCommandLine(['ask', '--policy', folder, '--target', 'orders', ...args], {
    ...{ env: process.env, fallbackFolder: folder },
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
  });
  return { code, out, err };
}

describe('ask', () => {
  test('says that they may, by which rule and where it stands', async () => {
    const { code, out } = await ask('--principal', 'ada', '--group', 'owners', '--sql', 'select id from app.orders');
    expect(code).toBe(0);
    expect(out).toMatch(/answer\s+allow/);
    expect(out).toMatch(/touches\s+read relation app\.orders, read column app\.orders\.id/);
    expect(out).toMatch(/because\s+owners +postgres\.rego:11/);
  });

  test('says what would have to differ, the smallest change first', async () => {
    const { code, out } = await ask('--principal', 'ada', '--sql', 'select 1 from app.orders', '--json');
    expect(code).toBe(1);
    const { decision, search } = JSON.parse(out) as { decision: object; search: { differences: object[] } };
    expect(decision).toMatchObject({ outcome: 'deny', reasons: [{ code: 'not_allowed' }] });
    expect(search.differences[0]).toEqual({ change: { 'groups with': 'owners' }, outcome: 'allow', codes: ['owners'] });
  });

  test('finds two changes where one is not enough', async () => {
    const sql = ['--sql', 'select * from hr.salaries'];
    const { out } = await ask('--principal', 'ada', '--group', 'accountants', '--purpose', 'month-end', ...sql);
    expect(out).toMatch(/because\s+no_salaries/);
    expect(out).toMatch(/otherwise\s+allow with groups with "people-team"/);
  });

  test('takes an input document, and changes who asks', async () => {
    const file = path.join(folder, 'input.json');
    await writeFile(file, JSON.stringify({ version: 1, principal: { subject: 'x', groups: [], roles: [] }, session: {}, target: { name: 'orders', protocol: 'postgres' }, operation: { action: 'read', resources: [{ type: 'relation', name: 'app.orders', access: 'read' }] } })); // prettier-ignore
    expect((await ask('--input', file)).code).toBe(1);
    expect((await ask('--input', file, '--group', 'owners')).code).toBe(0);
  });

  test('of what its text does not say asks for more', async () => {
    const { code, err } = await ask('--principal', 'ada', '--sql', 'drop table app.orders');
    expect(code).toBe(2);
    expect(err).toMatch(/--input, or a recorded decision with --decision/);
  });
});
