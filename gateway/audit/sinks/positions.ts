import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { writeWhole } from '../heads.js';
import type { Position } from './tail.js';

/** Where a sink remembers how far it has come. */
export interface PositionStore {
  /** Undefined: it is new. `null`: it is known that there was nothing. */
  read(): Promise<Position | null | undefined>;
  write(position: Position | null): Promise<void>;
}

/** A file of the state directory for each sink, by its name. */
export function filePosition(directory: string, name: string): PositionStore {
  const folder = path.join(directory, 'audit-sinks');
  const file = path.join(folder, `${name}.json`);
  return {
    async read() {
      try {
        return asPosition(await readFile(file, 'utf8'));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    async write(position) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeWhole(file, `${JSON.stringify(position)}\n`);
    },
  };
}

/** What is no position has been damaged: all that is left is delivered once more, rather than something never. */
function asPosition(text: string): Position | null {
  try {
    const it = JSON.parse(text) as Partial<Position> | null;
    const sound = typeof it?.first === 'string' && typeof it.last === 'string' && Number.isSafeInteger(it.offset);
    return sound && it.offset! >= 0 ? (it as Position) : null;
  } catch {
    return null;
  }
}
