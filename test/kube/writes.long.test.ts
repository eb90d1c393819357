import { afterAll, describe, expect } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { clientTest, runProgram } from '../clients/support.js';
import { until } from '../support/approvals-side.js';
import { startWeb, type Web } from '../support/web.js';
import { startCluster, type Cluster } from './cluster.js';

/** A real API server and what it says of dry runs, versions and Secrets: what policy judges there, and what an agent gets. */

const policy = {
  'kubernetes.rego': `package policy.kubernetes

import data.sallyport.kubernetes

allow contains {"code": "all"} if input.operation.kubernetes.verb != ""

_runs if kubernetes.resource == "deployments.apps"

preview contains {"code": "images"} if {
  _runs
  input.operation.action == "write"
}

deny contains {"code": "registry", "message": "images come from registry.example"} if {
  _runs
  input.operation.action == "write"
  not input.operation.kubernetes.subresource == "scale"
  not kubernetes.images_from({"registry.example/"})
}

deny contains {"code": "many", "message": "no more than five"} if {
  input.operation.kubernetes.result.object.spec.replicas > 5
}

approval contains {"code": "settings", "groups": ["operators"], "preview": "effect"} if {
  kubernetes.resource == "configmaps"
  input.operation.action == "write"
}
`,
};

const image = 'registry.example/web';
const deployment = JSON.stringify({
  ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace: 'default' } },
  spec: {
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image: `${image}:1` }] } },
  },
});
const containers = (name: string, tag: string) =>
  JSON.stringify({ spec: { template: { spec: { containers: [{ name, image: tag }] } } } });

const yes = () => true;
const no = () => false;
const group = 'writes, at a real API server through the gateway,';
const example = join(import.meta.dirname, '../../examples/held-secret');
const main = fileURLToPath(new URL('../../bin/sallyport.js', import.meta.url));

describe(group, () => {
  let cluster: Cluster | undefined;
  const webs: Web[] = [];
  let web: Web;
  let flags: string[];
  let direct: string[];

  /** Started by the first test: where none can run, nothing is. */
  const begin = async () => {
    if (cluster !== undefined) return;
    cluster = await startCluster();
    const { kubeconfig } = cluster;
    web = await startWeb({ policy, protocol: 'kubernetes', people: true, upstream: () => ({ kubeconfig }) });
    webs.push(web);
    const { folder } = web.gateway;
    const put = async (name: string, text: string) => {
      await writeFile(join(folder, name), text, { mode: 0o600 });
      return ['--kubeconfig', join(folder, name), '--cache-dir', join(folder, `${name}-cache`)];
    };
    direct = await put('direct', kubeconfig);
    const entry = {
      server: `https://127.0.0.1:${String(web.port)}/kubernetes/cloud`,
      'certificate-authority-data': Buffer.from(web.ca).toString('base64'),
    };
    const config = {
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'one' },
      contexts: [{ name: 'one', context: { cluster: 'one', user: 'one' } }],
      clusters: [{ name: 'one', cluster: entry }],
      users: [{ name: 'one', user: { token: await web.gateway.token({ expiresIn: 1_800 }) } }],
    };
    flags = await put('guarded', JSON.stringify(config));
  };
  afterAll(async () => {
    for (const each of webs) await each.close();
    await cluster?.close();
  });

  const kubectl = (...parameters: string[]) => runProgram('kubectl', [...flags, ...parameters]);
  const admin = (...parameters: string[]) => runProgram('kubectl', [...direct, ...parameters]);
  const give = (to: string[], input: string, ...parameters: string[]) =>
    runProgram('kubectl', [...to, ...parameters, '-f', '-'], { input });
  const done = { code: 0 };
  const refused = (words: string) => ({ code: 1, stderr: expect.stringContaining(words) as unknown });
  const images = async () =>
    (await admin('get', 'deployment', 'web', '-o', 'jsonpath={.spec.template.spec.containers[*].image}')).stdout;

  clientTest(
    group,
    'are judged by what they become, in each form that kubectl has',
    async () => {
      await begin();
      expect(await give(flags, deployment.replaceAll(image, 'evil.example/web'), 'apply')).toMatchObject(
        refused('images come from registry.example'),
      );
      expect(await give(flags, deployment, 'apply')).toMatchObject({
        ...done,
        stdout: 'deployment.apps/web created\n',
      });
      const patch = (type: string, text: string) => kubectl('patch', 'deployment', 'web', '--type', type, '-p', text);
      const place = '/spec/template/spec/containers/0/image';
      const step = (tag: string) => JSON.stringify([{ op: 'replace', path: place, value: tag }]);
      const evil = 'evil.example/web:1';
      for (const denied of [
        await patch('strategic', containers('web', evil)),
        await patch('strategic', containers('beside', evil)),
        await patch('merge', containers('web', evil)),
        await patch('json', step(evil)),
        await kubectl('set', 'image', 'deployment/web', `web=${evil}`),
        await give(flags, deployment.replaceAll(`${image}:1`, evil), 'apply', '--server-side', '--force-conflicts'),
        await give(flags, deployment.replaceAll(`${image}:1`, evil), 'replace'),
      ])
        expect(denied).toMatchObject(refused('images come from registry.example'));
      expect(await images()).toBe(`${image}:1`);
      for (const [tag, change] of [
        ['2', (text: string) => patch('strategic', containers('web', text))],
        ['3', (text: string) => patch('merge', containers('web', text))],
        ['4', (text: string) => patch('json', step(text))],
        ['5', (text: string) => kubectl('set', 'image', 'deployment/web', `web=${text}`)],
        [
          '6',
          (text: string) =>
            give(flags, deployment.replaceAll(`${image}:1`, text), 'apply', '--server-side', '--force-conflicts'),
        ],
        ['7', (text: string) => give(flags, deployment.replaceAll(`${image}:1`, text), 'replace')],
        ['8', (text: string) => give(flags, deployment.replaceAll(`${image}:1`, text), 'apply')],
      ] as const) {
        expect(await change(`${image}:${tag}`)).toMatchObject(done);
        expect(await images()).toBe(`${image}:${tag}`);
      }
      expect(await kubectl('label', 'deployment', 'web', 'a=b')).toMatchObject(done);
      expect(await kubectl('scale', 'deployment', 'web', '--replicas=4')).toMatchObject(done);
      expect(await kubectl('scale', 'deployment', 'web', '--replicas=6')).toMatchObject(refused('no more than five'));
      expect(await kubectl('rollout', 'restart', 'deployment/web')).toMatchObject(done);
      expect(await kubectl('patch', 'deployment', 'web', '-p', '{"spec":{"replicas":-1}}')).toMatchObject(
        refused('must be greater than or equal to 0'),
      );
      expect(await kubectl('patch', 'deployment', 'web', '-p', '{"metadata":{"resourceVersion":"1"}}')).toMatchObject(
        refused('the object has been modified'),
      );
      const log = await cluster!.audit();
      expect(/\/deployments\/web\?[^"]*dryRun=All/.test(log)).toBe(true);
    },
    600_000,
  );

  clientTest(
    group,
    'that wait are approved by their effect, and refused where another comes of them',
    async () => {
      await begin();
      const settings = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings', namespace: 'default' } };
      expect(await give(direct, JSON.stringify({ ...settings, data: { a: '1' } }), 'create')).toMatchObject(done);
      const patch = () => kubectl('patch', 'configmap', 'settings', '--type=merge', '-p', '{"data":{"b":"2"}}');
      const approved = patch();
      const first = await web.waiting();
      const headers = await web.bearer({ subject: 'ada@example.com', kind: 'human', groups: ['operators'] });
      expect((await web.call(`/v1/approvals/${first.id}`, { headers })).json()).toMatchObject({
        effect: { basis: 'measured', relations: [{ updated: 1, sample: [{ before: {}, after: { 'data.b': '2' } }] }] },
      });
      await web.answer('approve', first.id);
      expect(await approved).toMatchObject(done);
      const changed = kubectl('patch', 'configmap', 'settings', '--type=merge', '-p', '{"data":{"b":"3"}}');
      const second = await web.waiting();
      expect(await admin('patch', 'configmap', 'settings', '--type=merge', '-p', '{"data":{"a":"9"}}')).toMatchObject(
        done,
      );
      await web.answer('approve', second.id);
      expect(await changed).toMatchObject(refused('is not what was approved'));
      expect((await admin('get', 'configmap', 'settings', '-o', 'jsonpath={.data}')).stdout).toBe('{"a":"9","b":"2"}');
    },
    300_000,
  );

  clientTest(
    group,
    'and what an agent without kubectl gets by sallyport mcp',
    async () => {
      await begin();
      const client = new Client({ name: 'tests', version: '1.0.0' });
      const ca = join(web.gateway.folder, '.sallyport', 'https.pem');
      await client.connect(
        new StdioClientTransport({
          command: process.execPath,
          args: [main, 'mcp', '--gateway', `https://127.0.0.1:${String(web.port)}`, '--ca', ca],
          env: {
            PATH: process.env['PATH'] ?? '',
            HOME: web.gateway.folder,
            SALLYPORT_TOKEN: await web.gateway.token(),
          },
        }),
      );
      try {
        const get = async (path: string) =>
          (await client.callTool({ name: 'get', arguments: { target: 'cloud', path } })) as CallToolResult;
        const found = JSON.stringify(await get('/api/v1/namespaces'));
        expect(found).toContain('kube-system');
        expect(JSON.stringify(await get('/api/v1/nodes/node1'))).toContain('KubeletReady');
        const missing = await get('/api/v1/namespaces/none');
        expect(JSON.stringify(missing)).toContain('not found');
      } finally {
        await client.close();
      }
    },
    300_000,
  );

  clientTest(
    group,
    'and the Secret of the example, which is held',
    async () => {
      await begin();
      const { kubeconfig } = cluster!;
      const read = (name: string) => readFile(join(example, 'policy', name), 'utf8');
      const names = ['kubernetes.rego', 'kubernetes_test.rego', 'data.yaml'];
      const files = await Promise.all(names.map(async (name) => [name, await read(name)] as const));
      const held = await startWeb({
        ...{ policy: Object.fromEntries(files), people: true },
        config: { targets: [{ name: 'cluster', protocol: 'kubernetes', upstream: { kubeconfig, impersonate: true } }] },
      });
      webs.push(held);
      // On a busy machine it takes a while until people can be asked, and the agent asks at once.
      await until(async () => held.gateway.gateway.approvers.list({}).then(yes, no));
      const subject = 'agent:fixer';
      const made = [
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
        {
          ...{ apiVersion: 'v1', kind: 'ConfigMap' },
          metadata: { name: 'settings', namespace: 'shop' },
          data: { DB_USER: 'shop' },
        },
        {
          ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'db', namespace: 'shop' } },
          stringData: { password: 'pw-of-the-shop', 'root-password': 'pw-of-root' },
        },
        {
          ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', namespace: 'shop' } },
          spec: { containers: [{ name: 'web', image: 'web:1' }] },
        },
        {
          ...{
            apiVersion: 'rbac.authorization.k8s.io/v1',
            kind: 'Role',
            metadata: { name: 'fixer', namespace: 'shop' },
          },
          rules: [{ apiGroups: [''], resources: ['configmaps', 'pods', 'secrets'], verbs: ['get', 'list'] }],
        },
        {
          ...{
            apiVersion: 'rbac.authorization.k8s.io/v1',
            kind: 'RoleBinding',
            metadata: { name: 'fixer', namespace: 'shop' },
          },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'fixer' },
          subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: subject }],
        },
      ];
      for (const object of made) expect(await give(direct, JSON.stringify(object), 'apply')).toMatchObject(done);
      const failed = JSON.stringify({ status: { phase: 'Failed', message: 'password authentication failed' } });
      const status = ['--subresource=status', '--type=merge', '-p', failed];
      expect(await admin('patch', 'pod', 'web', '-n', 'shop', ...status)).toMatchObject(done);
      const agent = runProgram(process.execPath, [join(example, 'agent.mjs')], {
        env: {
          GATEWAY: `https://127.0.0.1:${String(held.port)}`,
          TOKEN: await held.gateway.token({ subject, purpose: 'incident-4711' }),
          NODE_EXTRA_CA_CERTS: join(held.gateway.folder, '.sallyport', 'https.pem'),
        },
      });
      const waits = held.waiting();
      // An agent that ends before it has asked says why.
      const first = await Promise.race([waits, agent]);
      expect(first).toHaveProperty('id');
      const { id } = await waits;
      const asked = async () => (await cluster!.audit()).split('\n').filter((line) => line.includes('shop/secrets/db'));
      const guarded = async () => (await asked()).filter((line) => line.includes(subject));
      expect(await guarded()).toEqual([]);
      const headers = await held.bearer({ subject: 'ada@example.com', kind: 'human', groups: ['on-call'] });
      await held.call(`/v1/approvals/${id}/approve`, { method: 'POST', headers, body: {} });
      const { code, stdout } = await agent;
      expect(code).toBe(0);
      expect(stdout).toContain('secret db, password: pw-of-the-shop');
      expect(stdout).toContain('secret db, root-password: ***');
      expect(stdout).toContain('pod web: password authentication failed');
      expect(await guarded()).not.toEqual([]);
      expect(JSON.stringify(await held.gateway.records())).not.toMatch(/pw-of|cHctb2/);
    },
    300_000,
  );
});
