import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { access, chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import pg from 'pg';
import { startEmbeddedPostgres, throwawaySettings, type EmbeddedPostgres } from './embedded.js';
import { launch } from './launch.js';

const password = 'correct horse';
let folder: string;
let running: EmbeddedPostgres[];

beforeEach(async () => {
  running = [];
  folder = await mkdtemp(join(tmpdir(), 'sallyport-embedded-'));
  await chmod(folder, 0o755);
});
afterEach(async () => {
  await Promise.all(running.map((server) => server.stop()));
  await rm(folder, { recursive: true, force: true });
});

async function start(options: Partial<Parameters<typeof startEmbeddedPostgres>[0]> = {}): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ password, settings: throwawaySettings, ...options });
  running.push(server);
  return server;
}

async function ask(server: EmbeddedPostgres, sql: string, as: string = server.password): Promise<unknown[][]> {
  const client = new pg.Client({
    host: server.host,
    port: server.port,
    user: server.user,
    password: as,
    database: 'postgres',
  });
  await client.connect();
  try {
    const result = await client.query<unknown[]>({ text: sql, rowMode: 'array' });
    return result.rows;
  } finally {
    await client.end();
  }
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );
const lives = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};

/** Waits for something outside this process that sends no event. */
async function until(what: () => Promise<boolean> | boolean, ms_max = 20_000): Promise<void> {
  const deadline = Date.now() + ms_max;
  while (!(await what())) {
    if (Date.now() > deadline) throw new Error(`still not: ${what.toString()}`);
    await new Promise((next) => setTimeout(next, 50));
  }
}

describe('an embedded Postgres', () => {
  test('answers, asks for its password with SCRAM, listens on loopback only, and is gone when stopped', async () => {
    const server = await start();
    expect(
      await ask(server, "select current_setting('listen_addresses'), current_setting('unix_socket_directories')"),
    ).toEqual([['127.0.0.1', '']]);
    expect(
      await ask(
        server,
        "select datlocprovider, datlocale, pg_encoding_to_char(encoding) from pg_database where datname = 'postgres'",
      ),
    ).toEqual([['b', 'C.UTF-8', 'UTF8']]);
    expect(
      await ask(server, "select rolpassword like 'SCRAM-SHA-256$%' from pg_authid where rolname = current_user"),
    ).toEqual([[true]]);
    await expect(ask(server, 'select 1', 'wrong')).rejects.toMatchObject({ code: '28P01' });
    await server.stop();
    await server.exited;
    expect(lives(server.pid)).toBe(false);
    expect(await exists(server.directory)).toBe(false);
  });

  test('keeps its data in a directory, across stops', async () => {
    const directory = join(folder, 'cluster');
    const first = await start({ directory });
    await ask(first, 'create table kept as select 42 as answer');
    await first.stop();
    const second = await start({ directory });
    expect(await ask(second, 'select answer from kept')).toEqual([[42]]);
  });

  test('takes the port that was asked for, and another one when that is taken', async () => {
    const blocker = createServer().listen(0, '127.0.0.1');
    await once(blocker, 'listening');
    const taken = (blocker.address() as { port: number }).port;
    const server = await start({ port: taken });
    expect(server.port).not.toBe(taken);
    blocker.close();
    await once(blocker, 'close');
    await server.stop();
    const again = await start({ port: taken });
    expect(again.port).toBe(taken);
  });

  test('starts over a postmaster.pid that names a process that is no Postgres', async () => {
    const directory = join(folder, 'cluster');
    await (await start({ directory })).stop();
    const running = await start({ directory });
    const pidfile = await readFile(join(directory, 'postmaster.pid'), 'utf8');
    await running.stop();
    await writeFile(join(directory, 'postmaster.pid'), pidfile.replace(/^\d+/, String(process.pid)));
    expect(await ask(await start({ directory }), 'select 1')).toEqual([[1]]);
  });

  test('makes the cluster anew when the first time was cut off in the middle', async () => {
    const directory = join(folder, 'cluster');
    await mkdir(`${directory}.partial`);
    await writeFile(join(`${directory}.partial`, 'PG_VERSION'), '18\n');
    expect(await ask(await start({ directory }), 'select 1')).toEqual([[1]]);
    expect(await exists(`${directory}.partial`)).toBe(false);
  });

  test('refuses a cluster of another version, and a directory that is something else', async () => {
    const other = join(folder, 'old');
    await mkdir(other);
    await writeFile(join(other, 'PG_VERSION'), '12\n');
    await expect(start({ directory: other })).rejects.toThrow(/made by Postgres 12, and this is Postgres 18/);
    const photos = join(folder, 'photos');
    await mkdir(photos);
    await writeFile(join(photos, 'cat.jpg'), 'meow');
    await expect(start({ directory: photos })).rejects.toThrow(/is not empty and holds no Postgres cluster/);
    expect(await exists(join(photos, 'cat.jpg'))).toBe(true);
    expect(await exists(`${photos}.secret`)).toBe(false);
  });

  test('says why it does not start', async () => {
    await expect(start({ settings: { shared_buffers: 'many' } })).rejects.toThrow(/did not start[^]*shared_buffers/);
  });

  test('ends, and takes its temporary directory along, when the process that started it is gone', async () => {
    const directory = join(folder, 'goes');
    await mkdir(directory);
    const launched = await launch({
      binary: process.execPath,
      arguments: [
        '-e',
        "process.on('SIGINT', () => process.exit(0)); console.error('database system is ready to accept connections'); setInterval(() => {}, 1000)",
      ],
      directory,
      removeAfterwards: true,
      account: undefined,
      start_ms_max: 10_000,
    });
    if (!launched.ready) throw new Error(launched.why);
    // What the kernel does to the pipe of a process that dies, however it dies.
    (launched.process.stdio[3] as Writable).destroy();
    await until(async () => !lives(launched.process.pid) && !(await exists(directory)));
  });
});
