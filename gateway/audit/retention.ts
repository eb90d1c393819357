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

interface Removal {
  /** Files that were rotated away before that go. */
  readonly before_ms: number;
  /** Resolves when the checkpoint with these cuts is signed, kept and recorded durably. */
  readonly sign: (cuts: readonly Cut[]) => Promise<void>;
  /** Which of the files that were rotated away somebody has to read still. */
  readonly unread: () => Promise<ReadonlySet<string>>;
}

/**
 * Removes files that were rotated away longer ago than that: whole ones, from the oldest on, and each only after a signature on
 * disk says where the chains begin from then on. So what is missing later was removed by the gateway itself, or shows.
 *
 * @returns The files that were removed, and whether one stayed only because it is unread.
 */
export async function removeOutdated(
  current: string,
  { before_ms, sign, unread }: Removal,
): Promise<{ removed: string[]; waits: boolean }> {
  const removed: string[] = [];
  // Listed before it is asked who reads them: what is rotated away after that is in neither.
  const files = await filesOf(current);
  const kept = await unread();
  for (const file of files) {
    const rotated_ms = rotatedAt(file);
    // The current file has no such time; and what is left must be without gaps.
    if (rotated_ms === undefined || rotated_ms >= before_ms) break;
    if (kept.has(file)) return { removed, waits: true };
    const outdated = await outdatedFile(file);
    if (outdated.cuts.length > 0) await sign(outdated.cuts);
    await rm(file);
    await syncFolder(path.dirname(file));
    removed.push(file);
  }
  return { removed, waits: false };
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
