import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import type { Client } from 'pg';
import { packageRoot } from '../../bundles/index.js';
import { StateError } from '../errors.js';

/**
 * Numbered SQL files bring the schema `sallyport` to where this version expects it. Each runs once, in a transaction of
 * its own, under one lock: of replicas that start together one migrates and the others wait.
 */
export interface Migration {
  /** From 1, without gaps. */
  readonly number: number;
  /** "approvals" */
  readonly name: string;
  readonly sql: string;
}

/** Shipped as they are, beside the compiled files. */
const folder = path.join(packageRoot, 'gateway/state/migrations');

/** Any number will do, so long as nobody else takes it. Never change it: two versions with different ones could migrate at once. */
const lock = '8313460498033471090';

/** @throws Error for files that are not numbered from 1 without gaps: a mistake of ours. */
export async function shippedMigrations(from = folder): Promise<Migration[]> {
  const files = (await readdir(from)).filter((file) => file.endsWith('.sql')).sort();
  return Promise.all(
    files.map(async (file, index) => {
      const [, digits, name] = /^(\d{4})-([a-z-]+)\.sql$/u.exec(file) ?? [];
      if (Number(digits) !== index + 1 || name === undefined) {
        throw new Error(`the migration ${file} is not named NNNN-name.sql with the number ${String(index + 1)}`);
      }
      return { number: index + 1, name, sql: await readFile(path.join(from, file), 'utf8') };
    }),
  );
}

/**
 * Applies what is missing. Rejects with StateError where the database was migrated by a newer version, or where a
 * migration that was applied is not the one that is shipped; with the database's own error where it refuses.
 */
export async function migrate(client: Client, migrations: readonly Migration[]): Promise<readonly Migration[]> {
  await client.query('select pg_advisory_lock($1::bigint)', [lock]);
  try {
    await client.query('create schema if not exists sallyport');
    await client.query(
      `create table if not exists sallyport.migrations (
         number integer primary key, name text not null, sha256 text not null, applied timestamptz not null default now())`,
    );
    const { rows } = await client.query<{ number: number; sha256: string }>(
      'select number, sha256 from sallyport.migrations order by number',
    );
    refuseOthers(rows, migrations);
    const missing = migrations.filter(({ number }) => !rows.some((row) => row.number === number));
    for (const migration of missing) await apply(client, migration);
    return missing;
  } finally {
    // The lock is the session's: where this fails, the session is gone, and the lock with it.
    await client.query('select pg_advisory_unlock($1::bigint)', [lock]).catch(() => undefined);
  }
}

function refuseOthers(applied: readonly { number: number; sha256: string }[], known: readonly Migration[]): void {
  for (const { number, sha256 } of applied) {
    const migration = known.find((one) => one.number === number);
    if (migration === undefined) {
      throw new StateError(
        `the state database was migrated to version ${String(number)}, and this gateway knows none after ${String(known.length)}: run the newer version, or restore the database from before it`,
      );
    }
    if (sha256 !== digest(migration)) {
      throw new StateError(
        `migration ${String(number)} of the state database is not the one that this gateway ships: it was changed after it was applied`,
      );
    }
  }
}

async function apply(client: Client, migration: Migration): Promise<void> {
  await client.query('begin');
  try {
    await client.query(migration.sql);
    await client.query('insert into sallyport.migrations (number, name, sha256) values ($1, $2, $3)', [
      migration.number,
      migration.name,
      digest(migration),
    ]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

const digest = ({ sql }: Migration) => createHash('sha256').update(sql).digest('hex');
