import { test } from '@jest/globals';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { TestGateway } from '../support/gateway.js';
import type { TestDatabase } from '../support/postgres.js';

/** For tests that need a program which is not on every machine. */

const root = join(import.meta.dirname, '../..');

interface ExpectedSkip {
  readonly test: string;
  readonly needs: string;
  /** A command that succeeds where the test can run. */
  readonly unless: readonly string[];
}

const expected = JSON.parse(readFileSync(join(root, 'test/expected-skips.json'), 'utf8')) as readonly ExpectedSkip[];
const known = new Map<string, boolean>();
/** A probe may have to install its client first; cosign is built in minutes. */
const probe_ms_max = 900_000;

/** Whether the program that the test of this full name needs is here; test/expected-skips.json says how that is found out. */
function here(fullName: string): boolean {
  const entry = expected.find(({ test: name }) => name === fullName);
  if (entry === undefined) throw new Error(`test/expected-skips.json does not know "${fullName}"`);
  const key = JSON.stringify(entry.unless);
  let is = known.get(key);
  if (is === undefined) {
    const [command = '', ...parameters] = entry.unless;
    is = spawnSync(command, parameters, { cwd: root, stdio: 'ignore', timeout: probe_ms_max }).status === 0;
    known.set(key, is);
  }
  return is;
}

/** A test inside describe(`group`) that is skipped, by name, where its client cannot be had. */
export function clientTest(group: string, name: string, run: () => Promise<void>, timeout_ms = 120_000): void {
  // Skipped where the entry's program is not here: an unexpected skip fails CI (scripts/ci-summary.mjs).
  (here(`${group} ${name}`) ? test : test.skip)(name, run, timeout_ms);
}

/** Where a program of this name is; undefined where there is none. */
export function onPath(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
}

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** Called with the process once it runs. */
  readonly started?: (child: { kill(signal: NodeJS.Signals): boolean }) => void;
}

/** Runs a program to its end. */
export function runProgram(command: string, parameters: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return new Promise((settle, fail) => {
    const child = spawn(command, parameters, { cwd: root, env: { ...process.env, ...options.env } });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    child.on('error', fail);
    child.on('close', (code) => settle({ code, stdout, stderr }));
    options.started?.(child);
  });
}

/** What libpq and those that follow it read from the environment. */
export function libpq(place: { host: string; port: number; user: string; password: string; database: string }) {
  return {
    PGHOST: place.host,
    PGPORT: String(place.port),
    PGUSER: place.user,
    PGPASSWORD: place.password,
    PGDATABASE: place.database,
    PGCONNECT_TIMEOUT: '20',
    PGAPPNAME: 'conformance',
    PSQLRC: '/dev/null',
    LC_ALL: 'C.UTF-8',
  };
}

/** Resolves when a session of the database sleeps in pg_sleep: what shall be interrupted has begun. */
export async function sleeperIn(database: TestDatabase): Promise<void> {
  for (;;) {
    const found = await database.sql(
      `select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()`,
    );
    if (found.length > 0) return;
  }
}

export const throughGateway = async (gateway: TestGateway) => libpq(await gateway.connection({ expiresIn: 1_800 }));
