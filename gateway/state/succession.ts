import { randomUUID } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Queries } from './database.js';

/**
 * Who ran here before. A state directory has one gateway at a time, so whoever starts in it knows that the one before is gone, and
 * nobody has to wait until its silence shows it: what it left waiting can no longer be answered.
 */
export interface Succession {
  /** This process, among those that share the state. */
  readonly id: string;
  /** Takes the one before from those that live. Does nothing where there was none. */
  succeed(queries: Queries): Promise<void>;
}

/**
 * @param directory The state directory; it exists.
 * Rejects with the file system's error where it cannot be written: nothing else could be kept there either.
 */
export async function openSuccession(directory: string): Promise<Succession> {
  const file = path.join(directory, 'replica');
  const before = (await readFile(file, 'utf8').catch(() => '')).trim();
  const id = randomUUID();
  // Whole or not at all: half an id would name nobody.
  await writeFile(`${file}.new`, `${id}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  return {
    id,
    async succeed(queries) {
      if (before !== '') await queries.query('delete from sallyport.replicas where id = $1', [before]);
    },
  };
}
