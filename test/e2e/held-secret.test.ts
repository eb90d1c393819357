import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { runProgram, type Outcome } from '../clients/support.js';
import { until } from '../support/approvals-side.js';
import { startWeb, type Web } from '../support/web.js';

/** examples/held-secret, as it stands: its cluster, its policy and its agent, with a gateway and a person between. */

const example = join(import.meta.dirname, '../../examples/held-secret');
const read = (name: string) => readFileSync(join(example, name), 'utf8');
const data = read('policy/data.yaml');
const shop = '/kubernetes/cluster/api/v1/namespaces/shop';
/** How the agent's requests look at the cluster: what it begins with, the Secret, what it ends with. */
const [settings, pods, secret] = ['configmaps', 'pods', 'secrets/db'].map(
  (path) => `GET /api/v1/namespaces/shop/${path}`,
);

let cluster: ChildProcess;
let printed: Interface;
let web: Web;
/** What the cluster printed: each request that reached it. */
const lines: string[] = [];

beforeAll(async () => {
  cluster = spawn(process.execPath, [join(example, 'cluster.mjs')], { stdio: ['ignore', 'pipe', 'inherit'] });
  printed = createInterface({ input: cluster.stdout! });
  const [said] = (await once(printed, 'line')) as [string];
  printed.on('line', (line: string) => lines.push(line));
  const port = /port (\d+)/.exec(said)?.[1] ?? '';
  const kubeconfig = read('kubeconfig.yaml').replace('26443', port);
  const files = ['kubernetes.rego', 'kubernetes_test.rego', 'data.yaml'];
  web = await startWeb({
    policy: Object.fromEntries(files.map((name) => [name, read(`policy/${name}`)])),
    people: true,
    config: {
      targets: [{ name: 'cluster', protocol: 'kubernetes', upstream: { kubeconfig, impersonate: true } }],
    },
  });
  // On a busy machine it takes a while to open, and the agent asks at once.
  const { approvers } = web.gateway.gateway;
  await until(() =>
    approvers.list({}).then(
      () => true,
      () => false,
    ),
  );
});
afterAll(async () => {
  await web?.close();
  cluster?.kill();
});

const agentOf = async (subject: string): Promise<Outcome> =>
  runProgram(process.execPath, [join(example, 'agent.mjs')], {
    env: {
      GATEWAY: `https://127.0.0.1:${String(web.port)}`,
      TOKEN: await web.gateway.token({ subject, purpose: 'incident-4711' }),
      NODE_EXTRA_CA_CERTS: join(web.gateway.folder, '.sallyport', 'https.pem'),
    },
  });

/** What has reached the cluster of what somebody asked. */
async function reached(subject: string): Promise<string[]> {
  const last = `agent:after-${subject}-${String(lines.length)}`;
  await web.call(`${shop}/pods`, { headers: await web.bearer({ subject: last }) });
  // It stands behind everything that came before.
  while (!lines.some((line) => line.endsWith(last))) await once(printed, 'line');
  return lines.filter((line) => line.endsWith(` for ${subject}`)).map((line) => line.replace(/ for .*/, ''));
}

/** A person of those whom the policy asks. */
const person = () => web.bearer({ subject: 'ada@example.com', kind: 'human', groups: ['on-call'] });

test('a Secret waits for a person, who sees who wants it, for what and from which prompt; a yes brings it, masked', async () => {
  const agent = agentOf('agent:fixer');
  const { id } = await web.waiting();
  const headers = await person();
  expect((await web.call(`/v1/approvals/${id}`, { headers })).json()).toMatchObject({
    status: 'waiting',
    principal: { subject: 'agent:fixer', kind: 'agent', purpose: 'incident-4711' },
    prompt: { text: 'The shop has not started since this morning. Find out why, and change nothing.' },
    target: { name: 'cluster' },
    operation: {
      action: 'read',
      resources: expect.arrayContaining([{ type: 'object', name: 'shop/secrets/db', access: 'read' }]) as unknown,
      kubernetes: { verb: 'get', resource: 'secrets', namespace: 'shop', name: 'db' },
    },
    approvals: [{ code: 'secret_read', groups: ['on-call'], reason: 'the Secret db of shop is read' }],
    yours: { own: false, may_answer: true },
  });
  expect(await reached('agent:fixer')).toEqual([settings, pods]);

  const answered = await web.call(`/v1/approvals/${id}/approve`, { method: 'POST', headers, body: {} });
  expect(answered.status).toBe(200);
  const { code, stdout, stderr } = await agent;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout.split('\n')).toEqual([
    'configmap settings: {"DB_HOST":"db.shop.svc","DB_USER":"shop"}',
    'pod web: password authentication failed for user "shop"',
    'asks for the secret db, and waits',
    'secret db, user: shop_v2',
    'secret db, password: pw-of-the-shop',
    'secret db, root-password: ***',
    'goes on with what it may read',
    'configmap settings: {"DB_HOST":"db.shop.svc","DB_USER":"shop"}',
    '',
  ]);
  expect(await reached('agent:fixer')).toEqual([settings, pods, secret, settings]);
  const records = JSON.stringify(await web.gateway.records());
  expect(records).toContain('shop/secrets/db');
  // In clear, or in base64.
  expect(records).not.toMatch(/pw-of|cHctb2/);
});

test.each([
  ['refused', 'approval_refused', /not approved: \S+ refused: ask the owner of the shop/],
  ['left unanswered', 'approval_expired', /not approved: nobody answered in time/],
])('%s, it is a Status that says so, and the cluster never hears of the Secret', async (how, cause, message) => {
  const subject = `agent:${cause}`;
  if (how !== 'refused') await web.gateway.changePolicy({ 'data.yaml': data.replace('15m', '1s') });
  const agent = agentOf(subject);
  if (how === 'refused') {
    const { id } = await web.waiting();
    const body = { comment: 'ask the owner of the shop' };
    await web.call(`/v1/approvals/${id}/refuse`, { method: 'POST', headers: await person(), body });
  }
  const { code, stdout, stderr } = await agent;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(message);
  expect(stdout).toMatch(new RegExp(`^Forbidden: sallyport: not approved.*\\n {2}${cause}: `, 'm'));
  expect(stdout).not.toMatch(/^secret db/m);
  expect(await reached(subject)).toEqual([settings, pods, settings]);
});

test('all Secrets at once are asked of nobody: that is denied', async () => {
  const subject = 'agent:all';
  const { status } = await web.call(`${shop}/secrets`, { headers: await web.bearer({ subject }) });
  expect(status).toBe(403);
  expect(await reached(subject)).toEqual([]);
});
