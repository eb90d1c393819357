import { rm } from 'node:fs/promises';
import { unseal } from './chain.js';
import type { Cut } from './checkpoint.js';
import { syncFolder } from './file.js';
import { filesOf, rotatedAt } from './files.js';
import { parseRecord } from './read.js';
import { scan } from './scan.js';
import path from 'node:path';

/** A file that is to go, and where the chains that it has the end of begin then. */
interface Outdated {
  readonly file: string;
  readonly cuts: readonly Cut[];
}

/**
 * Removes files that were rotated away longer ago than that: whole ones, from the oldest on, and each only after a signature on
 * disk says where the chains begin from then on. So what is missing later was removed by the gateway itself, or shows.
 *
 * @param sign Resolves when the checkpoint with these cuts is signed, kept and recorded durably.
 * @returns The files that were removed.
 */
export async function removeOutdated(
  current: string,
  before_ms: number,
  sign: (cuts: readonly Cut[]) => Promise<void>,
): Promise<string[]> {
  const removed: string[] = [];
  for (const file of await filesOf(current)) {
    const rotated_ms = rotatedAt(file);
    // The current file has no such time; and what is left must be without gaps.
    if (rotated_ms === undefined || rotated_ms >= before_ms) break;
    const outdated = await outdatedFile(file);
    if (outdated.cuts.length > 0) await sign(outdated.cuts);
    await rm(file);
    await syncFolder(path.dirname(file));
    removed.push(file);
  }
  return removed;
}

async function outdatedFile(file: string): Promise<Outdated> {
  const cuts = new Map<string, Cut>();
  await scan(file, ({ bytes }) => {
    const line = unseal(bytes);
    const record = line && parseRecord(bytes);
    if (line === undefined || record === undefined) return;
    const { writer, sequence } = record;
    // What was refused and what was written again after it have equal numbers: the last is the one that the chain goes on from.
    if (sequence >= (cuts.get(writer)?.sequence ?? 0)) cuts.set(writer, { writer, sequence, hash: line.hash });
  });
  return { file, cuts: [...cuts.values()] };
}
