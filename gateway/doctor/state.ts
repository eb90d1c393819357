import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import type { Config } from '../config/index.js';
import { fail, type Finding, messageOf, ok, warn } from './finding.js';

const connect_ms_max = 5_000;
const skew_ms_max = 5_000;

/** Whether what the gateway keeps can be kept, where nobody else reads it. */
export async function stateFindings({ state }: Config): Promise<Finding[]> {
  const folder = await directory(state.directory);
  return state.postgres === undefined ? [folder] : [folder, ...(await database(state.postgres))];
}

async function directory(folder: string): Promise<Finding> {
  const check = 'state.directory';
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const probe = path.join(folder, `.doctor-${process.pid}`);
    await writeFile(probe, '', { mode: 0o600 });
    await rm(probe);
    const { mode } = await stat(folder);
    if ((mode & 0o077) !== 0)
      return warn(check, `${folder} can be read by others (${(mode & 0o777).toString(8)})`, `chmod 700 ${folder}`);
    return ok(check, `${folder} can be written, and is read by nobody else`);
  } catch (error) {
    return fail(check, messageOf(error), 'Give the user that the gateway runs as this folder.');
  }
}

async function database(given: NonNullable<Config['state']['postgres']>): Promise<Finding[]> {
  const { host, port, database: name, user, password, ssl } = given;
  const client = new pg.Client({
    ...{ host, port, database: name, user, password, connectionTimeoutMillis: connect_ms_max, query_timeout: connect_ms_max }, // prettier-ignore
    ...(ssl === undefined ? {} : { ssl }),
  });
  client.on('error', () => undefined);
  const check = 'state.postgres';
  try {
    await client.connect();
    const { rows } = await client.query<{ now: Date; version: string; may: boolean }>(
      "select now(), current_setting('server_version') as version, has_database_privilege(current_database(), 'create') as may",
    );
    const [row] = rows;
    const skew_s = Math.round(Math.abs(row!.now.getTime() - Date.now()) / 1000);
    return [
      row!.may
        ? ok(check, `Postgres ${row!.version} at ${host}:${port}`)
        : warn(check, `${user} may not create a schema in ${name}`, `grant create on database ${name} to ${user}, unless the schema is there already.`), // prettier-ignore
      skew_s * 1000 > skew_ms_max
        ? warn('clock of state.postgres', `it and ours are ${skew_s} s apart`, 'Let both follow NTP.')
        : ok('clock of state.postgres', 'agrees with ours'),
    ];
  } catch (error) {
    return [fail(check, `${host}:${port}: ${messageOf(error)}`, 'Check address, user, password and TLS.')];
  } finally {
    await client.end().catch(() => undefined);
  }
}
