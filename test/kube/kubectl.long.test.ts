import { afterAll, describe, expect } from '@jest/globals';
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { clientTest, runProgram } from '../clients/support.js';
import { until } from '../support/approvals-side.js';
import { startWeb, type Web } from '../support/web.js';
import { startCluster, type Cluster } from './cluster.js';

/** kubectl through the gateway at a real API server with etcd, and a node: what it may, what it may not, what waits. */

const canary = 'canary-5e1d';
const policy = {
  'kubernetes.rego': `package policy.kubernetes

import data.sallyport.kubernetes

allow contains {"code": "all"} if input.operation.kubernetes.verb != ""

deny contains {"code": "shells", "message": "no shells in containers"} if {
  kubernetes.shell
  not input.operation.kubernetes.name in {"terminal", "asks"}
}

deny contains {"code": "ports", "message": "nobody connects to port 1"} if 1 in input.operation.kubernetes.ports

deny contains {"code": "frozen", "message": "nothing is made in this namespace"} if {
  input.operation.action == "write"
  kubernetes.namespace == "frozen"
}

approval contains {"code": "removals_wait", "groups": ["operators"]} if input.operation.action == "delete"

mask contains {"code": "secret", "resource": "secrets:data", "with": "redact"} if kubernetes.secrets

mask contains {"code": "content", "resource": resource, "with": "pattern"} if some resource in ["pods/log", "pods/exec"]
`,
};

const manifest = (kind: string, name: string, rest: object, namespace = 'default') =>
  JSON.stringify({ apiVersion: 'v1', kind, metadata: { name, namespace }, ...rest });
const line = 'for i in 1 2 3; do echo "$i to ada@example.com"; done; exec sleep 1000';
const pod = manifest('Pod', 'web', {
  spec: { nodeName: 'node1', containers: [{ name: 'web', image: 'any', command: ['sh', '-c', line] }] },
});

const group = 'kubectl, at a real API server through the gateway,';

describe(group, () => {
  let cluster: Cluster | undefined;
  let web: Web;
  let config: string;

  /** Started by the first test: where none can run, nothing is. */
  const begin = async () => {
    if (cluster !== undefined) return;
    cluster = await startCluster();
    const { kubeconfig } = cluster;
    web = await startWeb({ policy, protocol: 'kubernetes', people: true, upstream: () => ({ kubeconfig }) });
    config = join(web.gateway.folder, 'kubeconfig');
    const server = `https://127.0.0.1:${String(web.port)}/kubernetes/cloud`;
    const entry = { server, 'certificate-authority-data': Buffer.from(web.ca).toString('base64') };
    await writeFile(
      config,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'one',
        contexts: [{ name: 'one', context: { cluster: 'one', user: 'one' } }],
        clusters: [{ name: 'one', cluster: entry }],
        users: [{ name: 'one', user: { token: await web.gateway.token({ expiresIn: 1_800 }) } }],
      }),
      { mode: 0o600 },
    );
  };
  afterAll(async () => {
    await web?.close();
    await cluster?.close();
  });

  const flags = () => ['--kubeconfig', config, '--cache-dir', join(web.gateway.folder, 'cache')];
  const kubectl = (...parameters: string[]) => runProgram('kubectl', [...flags(), ...parameters]);
  const give = async (input: string, ...parameters: string[]) =>
    runProgram('kubectl', [...flags(), ...parameters, '-f', '-'], { input });

  clientTest(
    group,
    'applies, reads, patches and watches, and is told what it may not',
    async () => {
      await begin();
      const secret = { data: { password: Buffer.from(canary).toString('base64') } };
      expect(await give(manifest('Secret', 'db', secret), 'apply')).toMatchObject({
        code: 0,
        stdout: 'secret/db created\n',
      });
      const shown = [
        await kubectl('get', 'secret', 'db', '-o', 'json', '--show-managed-fields'),
        await kubectl('get', 'secrets', '-A', '-o', 'yaml'),
        await kubectl('describe', 'secret', 'db'),
        await kubectl('get', 'secret', 'db', '-o', 'jsonpath={.data.password}'),
        await kubectl(
          'get',
          '--raw',
          '/kubernetes/cloud/api/v1/secrets?watch=1&timeoutSeconds=1&sendInitialEvents=false',
        ),
      ];
      const text = shown.map(({ stdout, stderr }) => stdout + stderr).join('\n');
      expect(text).toContain('Kioq');
      expect(text.includes(canary) || text.includes(secret.data.password)).toBe(false);
      const labelled = await kubectl('label', 'secret', 'db', 'a=b');
      expect(labelled).toMatchObject({ code: 0 });
      expect((await kubectl('get', 'secret', '-l', 'a=b', '-o', 'name')).stdout).toBe('secret/db\n');
      const namespace = JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'frozen' } });
      expect(await give(namespace, 'apply')).toMatchObject({ code: 0, stderr: '' });
      const denied = await give(manifest('ConfigMap', 'c', { data: {} }, 'frozen'), 'create');
      expect(denied).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('nothing is made in this namespace') as unknown,
      });
      const log = await cluster!.audit();
      expect(log).toContain('/api/v1/namespaces/default/secrets');
      expect(log).not.toContain('/namespaces/frozen/configmaps');
    },
    400_000,
  );

  clientTest(
    group,
    'runs commands, follows logs, copies files and is masked on the way',
    async () => {
      await begin();
      expect(await give(pod, 'apply')).toMatchObject({ code: 0 });
      const waited = await kubectl('wait', '--for=condition=Ready', 'pod/web', '--timeout=60s');
      expect(waited).toMatchObject({ code: 0 });
      const ran = await kubectl(
        'exec',
        'web',
        '--',
        'sh',
        '-c',
        'echo out to ada@example.com; echo err >&2; ls /nowhere',
      );
      expect(ran).toMatchObject({
        code: 2,
        stdout: 'out to ***\n',
        stderr: expect.stringMatching(/^err\n/) as unknown,
      });
      expect((await give2('hello', 'exec', '-i', 'web', '--', 'cat')).stdout).toBe('hello');
      const shell = await kubectl('exec', '-i', 'web', '--', 'sh');
      expect(shell).toMatchObject({ code: 1, stderr: expect.stringContaining('no shells in containers') as unknown });
      expect((await kubectl('exec', 'web', '-c', 'other', '--', 'ls')).stderr).toContain('other');
      expect(await follow()).toEqual(['1 to ***', '2 to ***', '3 to ***']);
      const back = join(web.gateway.folder, 'back');
      expect(await kubectl('cp', 'web:/etc/hostname', back)).toMatchObject({ code: 0 });
      expect(await readFile(back, 'utf8')).toBe(await readFile('/etc/hostname', 'utf8'));
    },
    400_000,
  );

  clientTest(
    group,
    'waits for removals, which people approve or refuse',
    async () => {
      await begin();
      await give(manifest('ConfigMap', 'kept', { data: { a: 'b' } }), 'create');
      const refused = kubectl('delete', 'configmap', 'kept');
      await web.answer('refuse', (await web.waiting()).id);
      expect(await refused).toMatchObject({ code: 1, stderr: expect.stringContaining('not approved') as unknown });
      expect((await kubectl('get', 'configmap', 'kept', '-o', 'name')).stdout).toBe('configmap/kept\n');
      const removed = kubectl('delete', 'configmap', 'kept', '--wait=false');
      await web.answer('approve', (await web.waiting()).id);
      expect(await removed).toMatchObject({ code: 0 });
      expect((await kubectl('get', 'configmap', 'kept')).stderr).toContain('not found');
    },
    400_000,
  );

  clientTest(
    group,
    'forwards ports, and no others than policy lets through',
    async () => {
      await begin();
      const server = createServer((socket) => socket.on('error', () => undefined).end('from the pod'));
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
      const { port } = server.address() as AddressInfo;
      const forwarding = forward(await ready(podOf('ports')), port, 1);
      const [open = 0, closed = 0] = await forwarding.ports;
      expect(await read(open)).toBe('from the pod');
      expect(await read(open)).toBe('from the pod');
      expect(await read(closed)).toBe('');
      expect(await forwarding.stderr).toContain('sallyport: denied by policy: nobody connects to port 1');
      server.close();
      const bytes = String('from the pod'.length);
      await until(async () => JSON.stringify(await web.gateway.records()).split(`"bytes":${bytes}`).length === 3);
      expect(await cluster!.audit()).toContain('/pods/ports/portforward');
    },
    400_000,
  );

  clientTest(
    group,
    'has terminals in containers that know their size, and attaches to what runs there',
    async () => {
      await begin();
      const name = await ready(podOf('terminal'));
      const steps = [
        { expect: '$ ' },
        { send: 'stty size\n', until: '24 80' },
        { size: [40, 120] },
        { send: 'stty size\n', until: '40 120' },
        { send: 'exit 3\n' },
      ];
      const script = join(import.meta.dirname, 'terminal.py');
      const terminal = ['exec', '-it', name, '--', 'sh'];
      const ran = await runProgram('python3', [script, JSON.stringify(steps), 'kubectl', ...flags(), ...terminal]);
      expect(ran).toMatchObject({ code: 3, stdout: expect.stringContaining('exit code 3') as unknown });
      const asks = await ready(podOf('asks', ['sh', '-c', 'read line; echo "got $line"'], { stdin: true }));
      const attached = await give2('a word\n', 'attach', '-i', asks);
      expect(attached).toMatchObject({ code: 0, stdout: expect.stringContaining('got a word\n') as unknown });
      const other = await ready(podOf('other', ['cat'], { stdin: true }));
      const denied = await give2('a word\n', 'attach', '-i', other);
      expect(denied).toMatchObject({ code: 1, stderr: expect.stringContaining('no shells in containers') as unknown });
    },
    900_000,
  );

  const podOf = (name: string, command = ['sleep', '1000'], more: object = {}) =>
    manifest('Pod', name, { spec: { nodeName: 'node1', containers: [{ name, image: 'any', command, ...more }] } });

  /** Makes the pod, and gives its name once it runs. */
  const ready = async (text: string): Promise<string> => {
    const { name } = (JSON.parse(text) as { metadata: { name: string } }).metadata;
    expect(await give(text, 'apply')).toMatchObject({ code: 0 });
    expect(await kubectl('wait', '--for=condition=Ready', `pod/${name}`, '--timeout=180s')).toMatchObject({ code: 0 });
    return name;
  };

  /** Ports of this machine, each for one of the pod; kubectl ends when one of them is refused. */
  function forward(name: string, ...ports: number[]): { ports: Promise<number[]>; stderr: Promise<string> } {
    const child = spawn('kubectl', [...flags(), 'port-forward', `pod/${name}`, ...ports.map((port) => `:${port}`)]);
    const found = new Map<number, number>();
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
    const ended = new Promise<string>((resolve) => child.once('close', () => resolve(stderr)));
    const known = new Promise<number[]>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const [, own, there] = /^Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)/.exec(line) ?? [];
        if (own !== undefined) found.set(Number(there), Number(own));
        if (found.size === ports.length) resolve(ports.map((port) => found.get(port)!));
      });
      void ended.then(() => reject(new Error(`kubectl ended: ${stderr}`)));
    });
    return { ports: known, stderr: ended };
  }

  const give2 = (input: string, ...parameters: string[]) =>
    runProgram('kubectl', [...flags(), ...parameters], { input });

  /** The first lines of a log that goes on. */
  function follow(): Promise<string[]> {
    return new Promise((resolve, reject) => {
      const child = spawn('kubectl', [...flags(), 'logs', '-f', 'web'], { stdio: ['ignore', 'pipe', 'inherit'] });
      let text = '';
      child.on('error', reject);
      child.on('close', () => resolve(text.split('\n').slice(0, 3)));
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        if (text.split('\n').length > 3) child.kill('SIGTERM');
      });
    });
  }
});

/** What comes from a port until the other side ends it. */
function read(port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    // The node ends its side once it has heard the end of this one.
    socket.end();
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });
}
