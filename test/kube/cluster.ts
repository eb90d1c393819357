import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority } from '../support/certificates.js';
import { clusterBinary } from './build.mjs';

/** A real API server with etcd and one node, on loopback, with data that lasts as long as the test. */
export interface Cluster {
  /** Of an administrator, as JSON. */
  readonly kubeconfig: string;
  readonly url: string;
  readonly ca: string;
  /** What the API server logged of requests of users: method, path, user. */
  audit(): Promise<string>;
  close(): Promise<void>;
}

const start_ms_max = 180_000;
const stop_ms_max = 10_000;

export async function startCluster(): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-kube-'));
  // Containers run as nobody, and have to get to their own folders.
  await chmod(folder, 0o711);
  const [server = 0, etcd = 0, peer = 0, node = 0] = await freePorts(4);
  const file = (name: string) => join(folder, name);
  const put = (name: string, text: string) => writeFile(file(name), text, { mode: 0o600 });
  const token = randomBytes(16).toString('hex');
  const authority = createAuthority();
  const client = 'apiserver-as-client';
  const [own, kubelet] = [authority.issue({ names: ['127.0.0.1'] }), authority.issue({ names: ['127.0.0.1'] })];
  const asClient = authority.issue({ names: [client], client: true });
  const signing = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const kubeconfig = JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'one',
    contexts: [{ name: 'one', context: { cluster: 'one', user: 'one' } }],
    clusters: [
      {
        name: 'one',
        cluster: {
          server: `https://127.0.0.1:${String(server)}`,
          'certificate-authority-data': Buffer.from(authority.certificate).toString('base64'),
        },
      },
    ],
    users: [{ name: 'one', user: { token } }],
  });
  await mkdir(file('pods'), { mode: 0o755 });
  await Promise.all([
    put('ca.pem', authority.certificate),
    put('server.pem', own.certificate),
    put('server.key', own.key),
    put('kubelet.pem', kubelet.certificate),
    put('kubelet.key', kubelet.key),
    put('client.pem', asClient.certificate),
    put('client.key', asClient.key),
    put('sa.key', signing.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()),
    put('sa.pub', signing.publicKey.export({ type: 'spki', format: 'pem' }).toString()),
    put('tokens.csv', `${token},admin,admin,system:masters\n`),
    put('kubeconfig', kubeconfig),
    put(
      'audit.yaml',
      'apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata, users: [admin]}]\n',
    ),
  ]);
  const running: ChildProcess[] = [];
  const start = (name: string, flags: Record<string, string>) => {
    const log = createWriteStream(file(`${name}.log`));
    const child = spawn(clusterBinary(), [name, ...Object.entries(flags).map(([key, value]) => `--${key}=${value}`)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    running.unshift(child);
  };
  const close = async () => {
    for (const child of running) await stop(child);
    await rm(file(''), { recursive: true, force: true });
  };
  const url = `https://127.0.0.1:${String(server)}`;
  const ready = async (path: string, holds: (status: number, body: string) => boolean) => {
    const until = Date.now() + start_ms_max;
    for (;;) {
      const { status, body } = await ask(`${url}${path}`, authority.certificate, token);
      if (holds(status, body)) return;
      const dead = running.find(({ exitCode }) => exitCode !== null);
      if (dead !== undefined || Date.now() > until) {
        const logs = await Promise.all(
          ['etcd', 'apiserver', 'node'].map((name) => readFile(file(`${name}.log`), 'utf8').catch(() => '')),
        );
        throw new Error(
          `the cluster did not start (${path}):\n${logs.map((log) => log.slice(-2_000)).join('\n---\n')}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  try {
    start('etcd', { dir: file('etcd'), 'client-port': String(etcd), 'peer-port': String(peer) });
    start('apiserver', {
      'etcd-servers': `http://127.0.0.1:${String(etcd)}`,
      'bind-address': '127.0.0.1',
      'advertise-address': '127.0.0.1',
      'secure-port': String(server),
      'endpoint-reconciler-type': 'none',
      'service-cluster-ip-range': '10.0.0.0/24',
      'authorization-mode': 'RBAC',
      // Nobody makes service accounts here.
      'disable-admission-plugins': 'ServiceAccount',
      'token-auth-file': file('tokens.csv'),
      'tls-cert-file': file('server.pem'),
      'tls-private-key-file': file('server.key'),
      'service-account-issuer': 'https://kubernetes.default.svc',
      'service-account-key-file': file('sa.pub'),
      'service-account-signing-key-file': file('sa.key'),
      'kubelet-certificate-authority': file('ca.pem'),
      'kubelet-client-certificate': file('client.pem'),
      'kubelet-client-key': file('client.key'),
      'kubelet-preferred-address-types': 'InternalIP',
      'audit-policy-file': file('audit.yaml'),
      'audit-log-path': file('audit.log'),
    });
    await ready('/readyz', (status) => status === 200);
    start('node', {
      kubeconfig: file('kubeconfig'),
      port: String(node),
      dir: file('pods'),
      'tls-cert-file': file('kubelet.pem'),
      'tls-private-key-file': file('kubelet.key'),
      'client-ca-file': file('ca.pem'),
      'client-name': client,
    });
    await ready('/api/v1/nodes/node1', (_status, body) => body.includes('KubeletReady'));
    await ready('/api/v1/namespaces/default', (status) => status === 200);
  } catch (error) {
    await close();
    throw error;
  }
  return { kubeconfig, url, ca: authority.certificate, audit: () => readFile(file('audit.log'), 'utf8'), close };
}

/** Ports that were free a moment ago: the API server cannot be told to choose one. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Status 0: nobody answers. */
function ask(url: string, ca: string, token: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve) => {
    const asking = request(url, { ca, headers: { authorization: `Bearer ${token}` }, agent: false }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
    });
    asking.on('error', () => resolve({ status: 0, body: '' }));
    asking.end();
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const over = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), stop_ms_max);
  await over;
  clearTimeout(timer);
}
