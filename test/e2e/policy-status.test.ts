import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StatusDocument } from '../../gateway/status/index.js';
import { startReceiver, type Receiver } from '../support/receiver.js';
import { startWeb, type Web } from '../support/web.js';

/** A gateway with a base, that tells a service how its policy stands. */

const allows = (code: string) => `package policy.http\n\nallow contains {"code": "${code}"} if input.operation.http.method != ""\n`; // prettier-ignore

let receiver: Receiver;
let web: Web;
let folder: string;

beforeAll(async () => {
  receiver = await startReceiver();
  folder = await mkdtemp(join(tmpdir(), 'sallyport-status-'));
  await writeFile(join(folder, 'http.rego'), allows('teams_decide'));
  await writeFile(join(folder, 'ca.pem'), receiver.ca);
  const status = { url: receiver.url, ca: { file: join(folder, 'ca.pem') }, token: 'for-status', partition: 'gateways', labels: { region: 'eu' }, interval: '1h' }; // prettier-ignore
  web = await startWeb({
    policy: { 'http.rego': allows('all') },
    config: {
      policy: { directory: './policy', base: { directory: folder }, status },
      console: { auditors: ['audit'] },
    },
  });
});
afterAll(async () => {
  await web?.close();
  await receiver?.close();
  await rm(folder, { recursive: true, force: true });
});

/** The next that is so. */
async function told(fits: (document: StatusDocument) => boolean): Promise<StatusDocument> {
  for (;;) {
    const { path, headers, body } = await receiver.next();
    expect([path, headers.authorization]).toEqual(['/status/gateways', 'Bearer for-status']);
    const document = JSON.parse(body.toString('utf8')) as StatusDocument;
    if (fits(document)) return document;
  }
}
const auditor = () => web.bearer({ subject: 'ada', groups: ['audit'] });

test('it is told of both layers at the start, and of what is refused with file and line; auditors read the same', async () => {
  const { policy, base } = web.gateway.gateway;
  const first = await told(() => true);
  expect(first).toMatchObject({
    labels: {
      region: 'eu',
      id: expect.any(String) as unknown,
      version: expect.stringMatching(/^\d+\.\d+\.\d+/u) as unknown,
    },
    bundles: {
      policy: { name: 'policy', active_revision: policy.status().revision },
      base: { name: 'base', active_revision: base!.status().revision },
    },
    plugins: { bundle: { state: 'OK' }, status: { state: 'OK' } },
  });

  await web.gateway.changePolicy({ 'http.rego': 'package policy.http\n\nallow contains nobody if true\n' });
  const refused = await told(({ bundles }) => bundles['policy']?.code !== undefined);
  expect(refused.bundles).toMatchObject({
    policy: {
      active_revision: first.bundles['policy']!.active_revision,
      code: 'bundle_error',
      errors: [{ location: { file: 'http.rego', row: 3 } }],
    },
  });
  const shown = await web.call('/v1/status', { headers: await auditor() });
  expect(shown.json<{ result: StatusDocument }>().result.bundles['policy']).toMatchObject({
    code: 'bundle_error',
    errors: refused.bundles['policy']!.errors,
  });

  await web.gateway.changePolicy({ 'http.rego': allows('others') });
  const mended = await told(({ bundles }) => bundles['policy']?.code === undefined);
  expect(mended.bundles['policy']!.active_revision).toBe(policy.status().revision);
  expect(mended.bundles['policy']!.active_revision).not.toBe(first.bundles['policy']!.active_revision);
});

test("it is nobody else's to read", async () => {
  expect((await web.call('/v1/status')).status).toBe(401);
  expect((await web.call('/v1/status', { headers: await web.bearer({ subject: 'agent:a' }) })).status).toBe(403);
});

test('a service that takes nothing stops no policy, and is seen: readyz warns, metrics count', async () => {
  receiver.answers.push(...Array.from({ length: 500 }, () => ({ status: 503 })));
  await web.gateway.changePolicy({ 'http.rego': allows('again') });
  await told(() => true);
  const metrics = async () => (await web.call('/v1/metrics', { headers: await auditor() })).text;
  while (!(await metrics()).includes('sallyport_policy_status_failing 1'))
    await new Promise((resolve) => setTimeout(resolve, 20));
  expect(await metrics()).toMatch(/sallyport_policy_status_sends_total\{result="failed"\} [1-9]/u);
  const ready = await web.call('/readyz');
  expect([ready.status, ready.text]).toEqual([200, expect.stringMatching(/status of the policy has not been taken since .*HTTP 503/u)]); // prettier-ignore
  expect(ready.text).not.toContain('127.0.0.1');
  const { policy } = web.gateway.gateway;
  const { result } = (await web.call('/v1/status', { headers: await auditor() })).json<{ result: StatusDocument }>();
  expect(result.plugins).toMatchObject({ status: { state: 'ERROR' } });
  expect(result.bundles['policy']!.active_revision).toBe(policy.status().revision);
  expect((await web.call('/http/cloud/open', { headers: await web.bearer({ subject: 'agent:a' }) })).status).toBe(200);
});
