import { access, constants, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../config/index.js';
import { fail, type Finding, messageOf, ok, warn } from './finding.js';
import { placeOf, reach } from './reach.js';

const free_bytes_min = 1_073_741_824;

/** Whether records can be written, and whether what follows the files answers. */
export async function auditFindings({ audit }: Config): Promise<Finding[]> {
  return Promise.all([
    ...audit.sinks.map(({ file }) => fileFinding(file)),
    ...audit.remote.map((sink) => remote(sink)),
  ]);
}

async function fileFinding(file: string): Promise<Finding> {
  const check = 'audit file';
  try {
    const there = await stat(file).then((found) => found.isFile(), () => false); // prettier-ignore
    await access(there ? file : path.dirname(file), constants.W_OK);
    const { bavail, bsize } = await statfs(path.dirname(file));
    const free = `${((Number(bavail) * Number(bsize)) / 1_073_741_824).toFixed(1)} GiB free`;
    return Number(bavail) * Number(bsize) < free_bytes_min
      ? warn(check, `${file}: ${free}`, 'Make room: without a record no operation is let through.')
      : ok(check, `${file} can be written, ${free}`);
  } catch (error) {
    return fail(check, messageOf(error), 'Give the user that the gateway runs as this folder; without a record no operation is let through.'); // prettier-ignore
  }
}

async function remote(sink: Config['audit']['remote'][number]): Promise<Finding> {
  const check = `audit ${sink.name}`;
  if (sink.type === 'postgres' && sink.database === 'state') return ok(check, 'in the state');
  const place =
    sink.type === 'postgres' ? (sink.database as { host: string; port: number }) : placeOf(sink.receiver.url);
  try {
    await reach(place.host, place.port);
    return ok(check, `${sink.type} at ${place.host}:${place.port} accepts connections`);
  } catch (error) {
    const message = `${place.host}:${place.port} cannot be reached: ${messageOf(error)}`;
    const mend = `Check it: once it is ${sink.records_max} records behind, ${sink.fail === 'closed' ? 'operations are refused' : 'records are left out'}.`; // prettier-ignore
    return sink.fail === 'closed' ? fail(check, message, mend) : warn(check, message, mend);
  }
}
