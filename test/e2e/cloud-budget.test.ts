import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../clients/support.js';
import { startWeb, type Web } from '../support/web.js';

/** examples/cloud-budget, as it stands: its cloud, its policy and its agent, with a gateway between. */

const example = join(import.meta.dirname, '../../examples/cloud-budget');
const read = (name: string) => readFileSync(join(example, name), 'utf8');
const prices: Readonly<Record<string, number>> = { small: 5, medium: 12, large: 40 };

let cloud: ChildProcess;
let web: Web;
let origin: string;

beforeAll(async () => {
  cloud = spawn(process.execPath, [join(example, 'cloud.mjs')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = (await once(cloud.stdout!, 'data')) as [Buffer];
  origin = `http://127.0.0.1:${/port (\d+)/.exec(said.toString())?.[1] ?? ''}`;
  const files = ['http.rego', 'http_test.rego', 'data.yaml'];
  web = await startWeb({
    policy: Object.fromEntries(files.map((name) => [name, read(`policy/${name}`)])),
    upstream: () => ({
      url: origin,
      credential: { bearer: 'the-cloud-knows-it' },
      openapi: { file: join(example, 'cloud.openapi.yaml') },
    }),
  });
});
afterAll(async () => {
  await web?.close();
  cloud?.kill();
});

test('an agent that makes machines stops at its budget, and knows why', async () => {
  const { code, stdout, stderr } = await runProgram(process.execPath, [join(example, 'agent.mjs')], {
    env: {
      GATEWAY: `https://127.0.0.1:${String(web.port)}`,
      TOKEN: await web.gateway.token({ subject: 'agent:speed' }),
      NODE_EXTRA_CA_CERTS: join(web.gateway.folder, '.sallyport', 'https.pem'),
    },
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(
    /stopped with \d+ machines: denied by policy: a \w+ machine is \d+ € a day, and \d+ € of 100 €/,
  );

  const response = await fetch(`${origin}/machines`, { headers: { authorization: 'Bearer direct' } });
  const { machines } = (await response.json()) as { machines: { size: string }[] };
  const spent = machines.reduce((sum, { size }) => sum + (prices[size] ?? NaN), 0);
  // What is left is less than what it was refused for.
  expect(spent).toBeLessThanOrEqual(100);
  expect(spent).toBeGreaterThan(100 - 40);

  const headers = await web.bearer({ subject: 'agent:speed' });
  const again = await web.call('/http/cloud/machines', { method: 'POST', headers, body: { size: 'large' } });
  expect(again.json()).toMatchObject({ status: 403, reasons: [{ code: 'cloud_budget' }] });
  const undocumented = await web.call('/http/cloud/machines/', { method: 'POST', headers, body: { size: 'small' } });
  expect(undocumented.status).toBe(403);
  const other = await web.bearer({ subject: 'agent:other' });
  const made = await web.call('/http/cloud/machines', { method: 'POST', headers: other, body: { size: 'small' } });
  expect(made.status).toBe(201);
});
