import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/**
 * How files are called. The current one has the name that the configuration gives; when it is rotated away it gets the time
 * behind it: audit.jsonl.20261122T090000123Z. Such names sort by age.
 */
const rotated = /^(.*)\.([0-9]{8}T[0-9]{9}Z)$/u;

/** The name for a file that is rotated away now. */
export function rotatedName(path: string, now_ms: number): string {
  return `${path}.${new Date(now_ms).toISOString().replace(/[-:.]/gu, '')}`;
}

/** When a file was rotated away, in milliseconds since the epoch; undefined for a current one. */
export function rotatedAt(path: string): number | undefined {
  const stamp = rotated.exec(basename(path))?.[2];
  if (stamp === undefined) return undefined;
  const [, year, month, day, hour, minute, second, ms] =
    /^(....)(..)(..)T(..)(..)(..)(...)Z$/u.exec(stamp) ?? ([] as string[]);
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`);
}

/** The name that the file had while it was written. */
export function currentName(path: string): string {
  return rotated.test(basename(path)) ? path.slice(0, path.lastIndexOf('.')) : path;
}

/** All files of one log, oldest first; the current one is the last, whether it exists or not. */
export async function filesOf(path: string): Promise<string[]> {
  const folder = dirname(path);
  const name = basename(path);
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const older = names.filter((other) => rotated.exec(other)?.[1] === name).sort();
  return [...older.map((other) => join(folder, other)), path];
}

/** Files put into logs: what was rotated away stands before what it was rotated away from. */
export function byLog(files: readonly string[]): string[][] {
  const logs = new Map<string, string[]>();
  for (const file of new Set(files)) {
    const name = currentName(file);
    const log = logs.get(name);
    if (log === undefined) logs.set(name, [file]);
    else log.push(file);
  }
  // Stamps sort by age; the current file has none and is the last.
  const stamp = (file: string) => (currentName(file) === file ? '~' : file);
  return [...logs.values()].map((log) => log.sort((a, b) => (stamp(a) < stamp(b) ? -1 : 1)));
}
