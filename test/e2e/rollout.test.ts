import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requestOrder } from '../../bundles/index.js';
import { readDifferences, type ShadowReport } from '../../gateway/rollout/index.js';
import { startWeb, type Web } from '../support/web.js';

/** A revision that is tried beside the one in force: without effect on all, enforced for a few, and promoted. */

const all = 'package policy.http\n\nallow contains {"code": "all"} if input.operation.http.method != ""\n';
const stricter = `${all}\ndeny contains {"code": "no_secrets"} if "secrets" in input.operation.http.segments\n`;

let web: Web;
let tried: string;

beforeAll(async () => {
  tried = await mkdtemp(join(tmpdir(), 'sallyport-tried-'));
  await writeFile(join(tried, 'http.rego'), stricter);
  web = await startWeb({
    policy: { 'http.rego': all },
    config: {
      policy: { directory: './policy', shadow: { directory: tried, canary: { principals: ['agent:canary'] } } },
      console: { auditors: ['audit'] },
    },
  });
});
afterAll(async () => {
  await web?.close();
  await rm(tried, { recursive: true, force: true });
});

const ask = async (path: string, subject: string) =>
  (await web.call(`/http/cloud${path}`, { headers: await web.bearer({ subject }) })).status;
const state = () => join(web.gateway.folder, '.sallyport');

/** Looks until it fits: the shadow judges when it has time. */
async function until<T>(look: () => Promise<T>, fits: (found: T) => boolean): Promise<T> {
  for (let found = await look(); ; found = await look()) {
    if (fits(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
const report = async (): Promise<ShadowReport> => web.gateway.gateway.rollout!.report();

describe('what is tried', () => {
  test('has no effect, and says what it would have decided otherwise, by rule, principal and target', async () => {
    expect(await ask('/secrets/1', 'agent:a')).toBe(200);
    expect(await ask('/secrets/2', 'agent:a')).toBe(200);
    expect(await ask('/open', 'agent:a')).toBe(200);
    const found = await until(report, ({ differences }) => differences[0]?.count === 2);
    expect(found.differences).toMatchObject([
      { kind: 'newly_denied', rule: 'no_secrets', principal: 'agent:a', target: 'cloud', count: 2 },
    ]);
    // The connection itself is judged as well.
    expect(found.operations).toBeGreaterThanOrEqual(3);
    expect(found).toMatchObject({ changed: 2, dropped: 0 });
  });

  test('is shown by the API and its metrics to auditors, and in a file to the command line', async () => {
    const headers = await web.bearer({ subject: 'ada', groups: ['audit'] });
    const shown = (await web.call('/v1/policy/shadow', { headers })).json<{ revision: string; report: ShadowReport }>();
    expect(shown).toMatchObject({ report: { shadow: shown.revision, differences: [{ rule: 'no_secrets' }] } });
    expect((await web.call('/v1/policy/shadow', { headers: await web.bearer({ subject: 'agent:a' }) })).status).toBe(
      403,
    );
    const { text } = await web.call('/v1/metrics', { headers });
    expect(text).toContain(
      'sallyport_policy_shadow_differences_total{kind="newly_denied",rule="no_secrets",principal="agent:a",target="cloud"} 2',
    );
    const written = await until(
      () => readDifferences(state()),
      (found) => found?.changed === 2,
    );
    expect(written).toMatchObject({ enforcing: shown.report.enforcing, shadow: shown.revision });
  });

  test('is enforced for the canary, and the record says which revision judged', async () => {
    expect(await ask('/secrets/3', 'agent:canary')).toBe(403);
    expect(await ask('/open', 'agent:canary')).toBe(200);
    const { candidate } = web.gateway.gateway.rollout!;
    const denied = async () =>
      (await web.gateway.records()).find(
        ({ kind, result }) => kind === 'intent' && (result as { outcome: string }).outcome === 'deny',
      );
    expect(await until(denied, (found) => found !== undefined)).toMatchObject({ revision: candidate!.id });
    expect((await report()).canary).toBeGreaterThan(0);
  });

  test('comes into force by promotion, and goes by pinning the one before; both are recorded', async () => {
    const before = web.gateway.gateway.policy.status().revision!;
    const { candidate } = web.gateway.gateway.rollout!;
    expect(await requestOrder(join(state(), 'policy'), { action: 'promote' })).toMatchObject({ ok: true });
    expect(await ask('/secrets/4', 'agent:a')).toBe(403);
    expect(await requestOrder(join(state(), 'policy'), { action: 'pin', revision: before })).toMatchObject({
      ok: true,
    });
    expect(await ask('/secrets/5', 'agent:a')).toBe(200);
    const events = async () => (await web.gateway.records()).filter(({ kind }) => kind === 'policy');
    const told = await until(events, (found) => found.some(({ type }) => type === 'pinned'));
    expect(told).toMatchObject([
      { type: 'activated', revision: before },
      { type: 'activated', revision: candidate!.id, role: 'shadow' },
      { type: 'promoted', revision: candidate!.id, from: before },
      { type: 'pinned', revision: before },
    ]);
  });
});
