import { execFileSync, type ChildProcess } from 'node:child_process';
import { chmod, cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startEmbeddedPostgres, throwawaySettings, type EmbeddedPostgres } from '../../gateway/state/embedded.js';
import { createIdentityProvider, type IdentityProvider } from '../../test/support/idp.js';
import { message, WireClient } from '../../test/support/wire.js';
import { end, freePort, run, said } from '../processes.js';
import { BenchClient } from './client.js';
import { schema } from './workload.js';

/** Something to connect to: the server itself, or a proxy in front of it. */
export interface Subject {
  readonly name: string;
  /** Of the proxy; undefined for the server itself. */
  readonly pid: number | undefined;
  /** The n-th client: clients of a gateway are several principals. */
  open(client: number): Promise<BenchClient>;
}

export interface World {
  readonly direct: Subject;
  /** Undefined where pgbouncer isn't installed. */
  readonly pgbouncer: Subject | undefined;
  readonly relay: Subject;
  /** One more gateway, with this `audit.durability`; of another checkout where one is named, with these policy files. */
  gateway(
    name: string,
    durability: 'disk' | 'memory' | 'by_action',
    checkout?: string,
    policy?: Readonly<Record<string, string>>,
  ): Promise<Subject>;
  readonly versions: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const host = '127.0.0.1';
/** And the target's name. */
export const database = 'shop';
const password = 'bench';
const principals = 4;

export async function makeWorld(connections_max: number): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-bench-'));
  // pgbouncer may have to run as another account.
  await chmod(folder, 0o755);
  const processes: ChildProcess[] = [];
  let server: EmbeddedPostgres | undefined;
  const stop = async () => {
    await Promise.all(processes.map(end));
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    server = await startEmbeddedPostgres({
      password,
      settings: { ...throwawaySettings, max_connections: connections_max, shared_buffers: '256MB', autovacuum: 'off' },
    });
    await fill(server);
    const signIn = { user: server.user, database, password };
    const directAddress = { host, port: server.port };
    const idp = await createIdentityProvider();
    const environment = { folder, server, idp, processes };
    const relay = run(processes, process.execPath, [
      '--import',
      join(root, 'bench/typescript.mjs'),
      join(root, 'bench/postgres/relay.ts'),
      host,
      String(server.port),
    ]);
    const relayPort = Number(await said(relay, /^(\d+)$/m));
    let gateways = 0;
    return {
      direct: { name: 'direct', pid: undefined, open: () => BenchClient.open({ ...directAddress, ...signIn }) },
      pgbouncer: await startPgbouncer(environment, connections_max),
      relay: {
        name: 'frames only',
        pid: relay.pid,
        open: () => BenchClient.open({ host, port: relayPort, ...signIn }),
      },
      gateway: (name, durability, checkout = root, policy = {}) =>
        startGateway(environment, name, durability, checkout, gateways++, policy),
      versions: { node: process.version, postgres: '18 (embedded)', pgbouncer: pgbouncerVersion() ?? 'not installed' },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Environment {
  readonly folder: string;
  readonly server: EmbeddedPostgres;
  readonly idp: IdentityProvider;
  readonly processes: ChildProcess[];
}

async function fill(server: EmbeddedPostgres): Promise<void> {
  const statement = async (name: string, text: string) => {
    const client = await WireClient.open({ host, port: server.port, user: server.user, database: name, password });
    for (const part of text.split(';\n')) {
      client.sendRaw(message.query(part));
      const error = (await client.readUntil('Z')).find(({ type }) => type === 'E');
      if (error !== undefined) throw new Error(`${part}: ${error.body.toString()}`);
    }
    await client.end();
  };
  await statement('postgres', `create database ${database}`);
  await statement(database, schema);
}

// ── pgbouncer ──────────────────────────────────────────────────────────────────────────────────────────────────────

function pgbouncerVersion(): string | undefined {
  try {
    return /PgBouncer (\S+)/.exec(execFileSync('pgbouncer', ['--version'], { encoding: 'utf8' }))?.[1];
  } catch {
    return undefined;
  }
}

async function startPgbouncer(
  { folder, server, processes }: Environment,
  connections_max: number,
): Promise<Subject | undefined> {
  if (pgbouncerVersion() === undefined) return undefined;
  const port = await freePort();
  const file = join(folder, 'pgbouncer.ini');
  await writeFile(
    file,
    `[databases]
${database} = host=${host} port=${String(server.port)} dbname=${database} user=${server.user} password=${password}
[pgbouncer]
listen_addr = ${host}
listen_port = ${String(port)}
unix_socket_dir =
auth_type = any
pool_mode = session
default_pool_size = ${String(connections_max)}
max_client_conn = ${String(connections_max)}
log_connections = 0
log_disconnections = 0
stats_period = 3600
`,
  );
  // It refuses to run as root.
  const account = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  const child = run(processes, 'pgbouncer', [file], account);
  await said(child, /process up/);
  return {
    name: 'pgbouncer',
    pid: child.pid,
    open: () => BenchClient.open({ host, port, user: server.user, database, password }),
  };
}

// ── the gateway ────────────────────────────────────────────────────────────────────────────────────────────────────

async function startGateway(
  { folder, server, idp, processes }: Environment,
  name: string,
  durability: string,
  checkout: string,
  index: number,
  policy: Readonly<Record<string, string>>,
): Promise<Subject> {
  const home = await mkdtemp(join(folder, 'gateway-'));
  await cp(join(checkout, 'rego/policy'), join(home, 'policy'), { recursive: true });
  for (const [file, text] of Object.entries(policy)) await writeFile(join(home, 'policy', file), text);
  await idp.writeJwks(join(home, 'jwks.json'));
  await writeFile(
    join(home, 'sallyport.yaml'),
    `listen: {postgres: "${host}:0"}
identity:
  providers:
    - name: bench
      type: oidc
      issuer: ${idp.issuer}
      audience: ${idp.audience}
      jwks: {file: ./jwks.json}
      algorithms: [ES256]
  token_lifetime_max: 1h
policy: {directory: ./policy}
targets:
  - name: ${database}
    protocol: postgres
    labels: {environment: production}
    upstream: {host: ${host}, port: ${String(server.port)}, database: ${database}, user: ${server.user}, password: "\${BENCH_PASSWORD}", tls: disable}
state: {directory: ./state}
audit:
${durability === 'by_action' ? '' : `  durability: ${durability}\n`}  sinks: [{file: ./audit.jsonl}]
`,
  );
  // For whoever looks for what costs: BENCH_PROFILE=folder has the first gateway leave a V8 profile there.
  const folderOfProfile = index === 0 ? process.env['BENCH_PROFILE'] : undefined;
  const flags = folderOfProfile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${folderOfProfile}`];
  const program = [join(checkout, 'bin/sallyport.js'), 'run', '-c', join(home, 'sallyport.yaml')];
  const child = run(processes, process.execPath, [...flags, ...program], {
    env: { ...process.env, BENCH_PASSWORD: password },
  });
  const port = Number(await said(child, /^sallyport: postgres on .*:(\d+)$/m));
  const tokens = await Promise.all(
    Array.from({ length: principals }, (_, at) =>
      idp.issueToken({
        subject: `agent:${String(at)}`,
        groups: ['agents', `team-${String(at)}`],
        roles: at % 2 === 0 ? ['readonly'] : ['writer'],
        purpose: `purpose ${String(at)}`,
        expiresIn: 3_500,
      }),
    ),
  );
  return {
    name,
    pid: child.pid,
    open: (client) =>
      BenchClient.open({ host, port, user: 'agent', database, password: tokens[client % tokens.length]! }),
  };
}
