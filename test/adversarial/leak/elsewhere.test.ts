import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { clientTest } from '../../clients/support.js';
import { startTestGateway, type TestGateway } from '../../support/gateway.js';
import { createDatabase, type TestDatabase } from '../../support/postgres.js';
import type { Case } from './corpus.js';
import { makeData, schema } from './data.js';
import { attackElsewhere, type Place } from './elsewhere.js';

const group = 'leakcheck against whatever stands at an address';
/** One family that reads: what is tried here is the way there, not the corpus. */
const plain = (given: Case) => given.family === 'plain reads';

describe(group, () => {
  let a: TestDatabase;
  let b: TestDatabase;
  let bare: Place;

  beforeAll(async () => {
    const empty = await createDatabase({ sql: schema() });
    a = await createDatabase({ copyOf: empty });
    b = await createDatabase({ copyOf: empty });
    await empty.drop();
    await a.sql(makeData('a').sql);
    await b.sql(makeData('b').sql);
    const { host, port, user, password } = a;
    const passwords = { reader: password, writer: password, builder: password };
    bare = { host, port, user, passwords, databases: { a: a.database, b: b.database } };
  });
  afterAll(async () => {
    await a?.drop();
    await b?.drop();
  });

  test('a server without any gateway leaks all of it', async () => {
    const report = await attackElsewhere(bare, plain);
    expect(report.families).toHaveLength(1);
    expect(report.leaked).toBe(1);
  });

  test('this gateway, started by somebody else, leaks nothing', async () => {
    const read = (name: string) => readFile(new URL(`./policy/${name}`, import.meta.url), 'utf8');
    const gateway: TestGateway = await startTestGateway({
      database: a,
      policy: { 'postgres.rego': await read('postgres.rego'), 'data.yaml': await read('data.yaml') },
    });
    try {
      const { host, port, user, database } = await gateway.connection();
      const token = (...roles: string[]) => gateway.token({ roles, expiresIn: 3_000 });
      const passwords = {
        reader: await token('readonly'),
        writer: await token('readonly', 'writer'),
        builder: await token('readonly', 'writer', 'builder'),
      };
      const report = await attackElsewhere(
        { host, port, user, passwords, databases: { a: database, b: undefined } },
        plain,
      );
      expect(report.failures).toEqual([]);
      expect(report.over_refused).toEqual([]);
    } finally {
      await gateway.close();
    }
  });

  clientTest(group, 'a pooler leaks what the server does', async () => {
    const pooler = await startPgbouncer(a, [a.database, b.database]);
    try {
      const report = await attackElsewhere({ ...bare, port: pooler.port }, plain);
      // Not quite all: what a session keeps from one statement to the next may be another session's here.
      expect(report.leaked).toBeGreaterThan(0.9);
    } finally {
      await pooler.stop();
    }
  });

  test('where the fixture is not, or nobody answers, it says so instead of finding nothing', async () => {
    const empty = await createDatabase();
    try {
      const there = { ...bare, databases: { a: empty.database, b: undefined } };
      await expect(attackElsewhere(there, plain)).rejects.toThrow(/fill it with what --fixture prints/);
      const nobody = { ...there, passwords: { ...bare.passwords, reader: 'wrong' } };
      await expect(attackElsewhere(nobody, plain)).rejects.toThrow(/lets nobody in: .*password authentication failed/);
    } finally {
      await empty.drop();
    }
  });
});

/** pgbouncer in transaction mode, over both databases. */
async function startPgbouncer(server: TestDatabase, databases: readonly string[]) {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-pgbouncer-'));
  // It refuses to run as root, and has to read its file.
  await chmod(folder, 0o755);
  const port = await freePort();
  const file = join(folder, 'pgbouncer.ini');
  const line = (name: string) =>
    `${name} = host=${server.host} port=${String(server.port)} dbname=${name} user=${server.user} password=${server.password}`;
  await writeFile(
    file,
    `[databases]
${databases.map(line).join('\n')}
[pgbouncer]
listen_addr = ${server.host}
listen_port = ${String(port)}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 50
`,
  );
  const account = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  const child: ChildProcess = spawn('pgbouncer', [file], { stdio: ['ignore', 'ignore', 'pipe'], ...account });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await rm(folder, { recursive: true, force: true });
  };
  for await (const said of createInterface({ input: child.stderr! })) if (said.includes('process up')) break;
  child.stderr?.resume();
  return { port, stop };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
