import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { baseFolder, readStatus, requestOrder } from '../../bundles/index.js';
import { startWeb, type Web } from '../support/web.js';

/** The organisation's base, and a team's policy upon it: each comes into force by itself, and the base always applies. */

const allows = (code: string) => `package policy.http\n\nallow contains {"code": "${code}"} if input.operation.http.method != ""\n`; // prettier-ignore
const denies = (code: string, segment: string) => `\ndeny contains {"code": "${code}"} if "${segment}" in input.operation.http.segments\n`; // prettier-ignore
const base = `${allows('teams_decide')}${denies('no_secrets', 'secrets')}`;
/** Whatever a team may think of: its own data and masks in the place of the base's, and a package with its rules. */
const team = `${allows('all')}${denies('no_drafts', 'drafts')}`;

let web: Web;
let organisation: string;
let tried: string;

beforeAll(async () => {
  organisation = await mkdtemp(join(tmpdir(), 'sallyport-base-'));
  tried = await mkdtemp(join(tmpdir(), 'sallyport-tried-'));
  await writeFile(join(organisation, 'http.rego'), base);
  await writeFile(join(tried, 'http.rego'), allows('everything'));
  web = await startWeb({
    policy: { 'http.rego': team },
    config: {
      policy: {
        directory: './policy',
        base: { directory: organisation },
        shadow: { directory: tried, canary: { principals: ['agent:canary'] } },
      },
      console: { auditors: ['audit'] },
    },
  });
});
afterAll(async () => {
  await web?.close();
  await Promise.all([organisation, tried].map((folder) => rm(folder, { recursive: true, force: true })));
});

const ask = async (path: string, subject = 'agent:a') =>
  (await web.call(`/http/cloud${path}`, { headers: await web.bearer({ subject }) })).status;
const state = () => join(web.gateway.folder, '.sallyport');

async function until<T>(look: () => Promise<T> | T, fits: (found: T) => boolean): Promise<T> {
  for (let found = await look(); ; found = await look()) {
    if (fits(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
const events = async () => (await web.gateway.records()).filter(({ kind }) => kind === 'policy');

describe('a policy upon a base', () => {
  test('is judged together with it: a deny of either holds, for whoever is a canary too, and records name both', async () => {
    expect([await ask('/secrets'), await ask('/drafts'), await ask('/open')]).toEqual([403, 403, 200]);
    expect([await ask('/secrets', 'agent:canary'), await ask('/drafts', 'agent:canary')]).toEqual([403, 200]);
    const { policy, base: beneath } = web.gateway.gateway;
    const both = `${beneath!.status().revision}+${policy.status().revision}`;
    const operations = (await web.gateway.records()).filter(({ kind }) => kind === 'intent');
    expect(operations.map(({ revision }) => revision)).toContain(both);
    const denied = operations.filter(({ result }) => (result as { outcome: string }).outcome === 'deny');
    expect(denied.map(({ result }) => (result as { reasons: { code: string }[] }).reasons[0]?.code)).toEqual([
      ...['no_secrets', 'no_drafts', 'no_secrets'],
    ]);
    expect(await events()).toMatchObject([
      { type: 'activated', layer: 'base', revision: beneath!.status().revision },
      { type: 'activated', revision: policy.status().revision, together: both },
      { type: 'activated', role: 'shadow' },
    ]);
  });

  test('has a change of the base in force by itself; one that is refused leaves the last good base, and says so', async () => {
    const before = web.gateway.gateway.base!.status().revision;
    const own = web.gateway.gateway.policy.status().revision;
    await writeFile(join(organisation, 'http.rego'), `${base}${denies('no_plans', 'plans')}`);
    await until(() => ask('/plans'), (status) => status === 403); // prettier-ignore
    expect(web.gateway.gateway.policy.status().revision).toBe(own);
    expect(web.gateway.gateway.base!.status().revision).not.toBe(before);

    await writeFile(join(organisation, 'fails_test.rego'), 'package fails_test\n\ntest_it if 1 == 2\n');
    await until(events, (found) => found.some(({ type, layer }) => type === 'refused' && layer === 'base'));
    expect([await ask('/plans'), await ask('/open')]).toEqual([403, 200]);
    const headers = await web.bearer({ subject: 'ada', groups: ['audit'] });
    const shown = (await web.call('/v1/policy', { headers })).json<Record<string, unknown>>();
    expect(shown).toMatchObject({
      in_force: `${web.gateway.gateway.base!.status().revision}+${own}`,
      base: { last: { ok: false, problems: [{ file: 'fails_test.rego' }] } },
      rules: expect.arrayContaining([expect.objectContaining({ code: 'no_plans', layer: 'base' })]) as unknown,
    });
    expect((await web.call('/v1/metrics', { headers })).text).toContain('sallyport_policy_base_refused 1\n');
    await rm(join(organisation, 'fails_test.rego'));
  });

  test('is changed, and the base rolled back, each without the other', async () => {
    const beneath = web.gateway.gateway.base!.status().revision;
    await writeFile(join(web.gateway.folder, 'policy', 'http.rego'), allows('all'));
    await until(() => ask('/drafts'), (status) => status === 200); // prettier-ignore
    expect(web.gateway.gateway.base!.status().revision).toBe(beneath);
    expect(await requestOrder(baseFolder(state()), { action: 'rollback' })).toMatchObject({ ok: true });
    expect([await ask('/plans'), await ask('/secrets')]).toEqual([200, 403]);
    expect((await readStatus(baseFolder(state())))?.pinned).toMatchObject({ how: 'rolled_back' });
  });
});
