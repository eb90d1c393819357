import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { kubeconfig } from '../../test/support/api-server.js';
import { createAuthority } from '../../test/support/certificates.js';
import { createIdentityProvider, type IdentityProvider } from '../../test/support/idp.js';
import { end, run, said } from '../processes.js';
import { policy, protocols, targets, type Ask } from './asked.js';
import { startOthers, type Between } from './others.js';
import { BenchClient, type Place } from './client.js';

/** A way to the servers: straight, or through a proxy. All have TLS towards the client. */
export interface Subject {
  readonly name: string;
  /** Of the proxy; of the servers where there is none between. */
  readonly pid: number | undefined;
  /** The n-th client: a connection, and the bytes of a request on it. Clients of a gateway are principals of their own. */
  readonly open: (ask: Ask, client: number) => Promise<Client>;
}

export interface Client {
  readonly client: BenchClient;
  readonly bytes: (n: number) => Buffer;
}

export interface World {
  readonly subjects: readonly Subject[];
  stop(): Promise<void>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const host = '127.0.0.1';
const translated = (file: string) => ['--import', join(root, 'bench/typescript.mjs'), join(root, 'bench/gates', file)];

/** @param against Another checkout (built) whose gateway takes part. */
export async function makeWorld(against?: string): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-bench-'));
  const processes: ChildProcess[] = [];
  const stop = async () => {
    await Promise.all(processes.map(end));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const authority = createAuthority('bench');
    const leaf = authority.issue();
    const files = {
      certificate: join(folder, 'cert.pem'),
      key: join(folder, 'key.pem'),
      both: join(folder, 'both.pem'),
    };
    await writeFile(files.certificate, leaf.certificate);
    await writeFile(files.key, leaf.key);
    await writeFile(files.both, `${leaf.certificate}\n${leaf.key}`);
    const keys = [files.certificate, files.key];
    const server = run(processes, process.execPath, [...translated('upstream.ts'), ...keys]);
    const [clear = '', secure = ''] = (await said(server, /^(\d+ \d+)$/m)).split(' ');
    const between: Between = { folder, processes, ...files, upstream: Number(clear) };
    const proxy = run(processes, process.execPath, [...translated('proxy.ts'), ...keys, clear]);
    const proxyPort = Number(await said(proxy, /^(\d+)$/m));
    const place = (port: number): Place => ({ port, ca: authority.certificate });
    const idp = await createIdentityProvider();
    const gateways = [['gateway', root], ...(against === undefined ? [] : [[`gateway of ${against}`, against]])];
    const subjects: Subject[] = [
      plain('direct', server.pid, place(Number(secure))),
      plain('plain proxy', proxy.pid, place(proxyPort)),
      ...(await startOthers(between)).map(({ name, pid, port }) => plain(name, pid, place(port))),
    ];
    for (const [index, [name = '', checkout = '']] of gateways.entries())
      subjects.push(await startGateway({ between, idp, place }, name, checkout, index));
    return { subjects, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

type Fields = Readonly<Record<string, string>>;

function written({ method, body = '' }: Ask, path: string, fields: Fields): Buffer {
  const carried = method === 'POST' ? { 'Content-Length': String(Buffer.byteLength(body)) } : {};
  const typed = body === '' ? {} : { 'Content-Type': 'application/json' };
  const lines = Object.entries({
    Host: 'localhost',
    'User-Agent': 'bench',
    Accept: accepted,
    ...fields,
    ...typed,
    ...carried,
  });
  return Buffer.from(
    `${method} ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`,
  );
}

/** What MCP wants, and nobody else minds. */
const accepted = 'application/json, text/event-stream';

function plain(name: string, pid: number | undefined, place: Place): Subject {
  return {
    name,
    pid,
    open: async (ask) => ({
      client: await BenchClient.open(place),
      bytes: (n) => written(ask, ask.path(n), {}),
    }),
  };
}

interface Around {
  readonly between: Between;
  readonly idp: IdentityProvider;
  readonly place: (port: number) => Place;
}

/** As it ships, with the audit on. */
async function startGateway(
  { between, idp, place }: Around,
  name: string,
  checkout: string,
  index: number,
): Promise<Subject> {
  const home = join(between.folder, `gateway-${String(index)}`);
  await mkdir(join(home, 'policy'), { recursive: true });
  for (const protocol of protocols) await writeFile(join(home, 'policy', `${protocol}.rego`), policy[protocol]);
  await idp.writeJwks(join(home, 'jwks.json'));
  await writeFile(join(home, 'sallyport.yaml'), JSON.stringify(configuration(between, idp)));
  // For whoever looks for what costs: BENCH_PROFILE=folder has the first gateway leave a V8 profile there.
  const profile = index === 0 ? process.env['BENCH_PROFILE'] : undefined;
  const flags = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  const program = [join(checkout, 'bin/sallyport.js'), 'run', '-c', join(home, 'sallyport.yaml')];
  const child = run(between.processes, process.execPath, [...flags, ...program]);
  const port = Number(await said(child, /^sallyport: https on \S*:(\d+)/m));
  const open: Subject['open'] = async (ask, at) => {
    const token = await idp.issueToken({ subject: `agent:${String(at)}`, groups: ['agents'], expiresIn: 3_500 });
    const client = await BenchClient.open(place(port));
    const fields: Fields = { Authorization: `Bearer ${token}` };
    const more = ask.protocol === 'mcp' ? await beginMcp(client, ask, fields) : {};
    return { client, bytes: (n) => written(ask, prefixed(ask, n), { ...fields, ...more }) };
  };
  return { name, pid: child.pid, open };
}

/** The gateway's name of a path. */
function prefixed({ protocol, path }: Ask, n: number): string {
  const target = targets[protocol];
  switch (protocol) {
    case 'registry':
      return path(n).replace('/v2/', `/v2/${target}/`);
    case 'mcp':
      return `/mcp/${target}`;
    default:
      return `/${protocol}/${target}${path(n)}`;
  }
}

/** A session of MCP: the field that its requests have. */
async function beginMcp(client: BenchClient, ask: Ask, fields: Fields): Promise<Fields> {
  const say = (message: object, more: Fields = {}) =>
    client.ask(written({ ...ask, body: JSON.stringify(message) }, prefixed(ask, 0), { ...fields, ...more }));
  const clientInfo = { name: 'bench', version: '1' };
  const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo };
  const { head, body } = await say({ jsonrpc: '2.0', id: 1, method: 'initialize', params });
  const session = /\r\nmcp-session-id: *([^\r]+)/i.exec(head)?.[1];
  if (session === undefined) throw new Error(`no session of MCP: ${head}\n${body.toString()}`);
  const more = { 'Mcp-Session-Id': session };
  await say({ jsonrpc: '2.0', method: 'notifications/initialized' }, more);
  return more;
}

function configuration({ certificate, key, upstream }: Between, idp: IdentityProvider) {
  const url = `http://${host}:${String(upstream)}`;
  // As long as tokens are: answers are searched for it.
  const credential = { bearer: randomBytes(600).toString('base64url') };
  const servers = {
    http: { url, credential },
    kubernetes: { kubeconfig: kubeconfig(upstream) },
    registry: { url, credential },
    mcp: { url: `${url}/mcp`, credential },
  };
  return {
    listen: { https: { address: `${host}:0`, tls: { certificate: { file: certificate }, key: { file: key } } } },
    identity: {
      providers: [
        {
          ...{ name: 'bench', type: 'oidc', issuer: idp.issuer, audience: idp.audience },
          ...{ jwks: { file: './jwks.json' }, algorithms: ['ES256'] },
        },
      ],
      token_lifetime_max: '1h',
    },
    policy: { directory: './policy' },
    targets: protocols.map((protocol) => ({ name: targets[protocol], protocol, upstream: servers[protocol] })),
    state: { directory: './state' },
    audit: { sinks: [{ file: './audit.jsonl' }] },
  };
}
