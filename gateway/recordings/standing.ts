import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { describe, fileOf, type Described } from './folder.js';

/** A recording beside what the audit knows of it: whether it is what was recorded. */

/** What an outcome in the audit says of its recording. */
export interface RecordedDigest {
  readonly sha256: string;
  readonly bytes: number;
  readonly complete: boolean;
}

/**
 * whole: it is what was recorded. incomplete: it is what could be recorded, and that was not all. changed: it is something
 * else. unknown: nothing is known to compare it with, as while it runs, or there was not the time to.
 */
export type Standing = 'whole' | 'incomplete' | 'changed' | 'unknown';

/** Open for reading, as long as it was when it was opened. Who has it closes it, or reads its `content` to the end. */
export interface OpenRecording {
  readonly recording: Described;
  readonly handle: FileHandle;
  readonly bytes: number;
  /** From its beginning; closes the file when it ends, or is destroyed. */
  content(): Readable;
}

/** Undefined where it is not there, or is no recording. */
export async function openRecording(folder: string, id: string): Promise<OpenRecording | undefined> {
  const recording = await describe(folder, id);
  const file = fileOf(folder, id);
  if (recording === undefined || file === undefined) return undefined;
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => undefined);
  if (handle === undefined) return undefined;
  const { size } = await handle.stat();
  return {
    recording,
    handle,
    bytes: size,
    content: () => handle.createReadStream({ start: 0, end: Math.max(0, size - 1), autoClose: true }),
  };
}

const piece_bytes = 1_048_576;

/** Compares by digest and length. What is read is the open file: it is no other one that is shown afterwards. */
export async function standingOf(
  { handle, bytes }: Pick<OpenRecording, 'handle' | 'bytes'>,
  recorded: RecordedDigest | undefined,
  signal: AbortSignal,
): Promise<Standing> {
  if (recorded === undefined) return 'unknown';
  if (bytes < recorded.bytes || (recorded.complete && bytes > recorded.bytes)) return 'changed';
  const digest = createHash('sha256');
  const piece = Buffer.alloc(Math.min(piece_bytes, Math.max(1, recorded.bytes)));
  for (let at = 0; at < recorded.bytes;) {
    if (signal.aborted) return 'unknown';
    const { bytesRead } = await handle.read(piece, 0, Math.min(piece.length, recorded.bytes - at), at);
    if (bytesRead === 0) return 'changed';
    digest.update(piece.subarray(0, bytesRead));
    at += bytesRead;
  }
  if (digest.digest('hex') !== recorded.sha256) return 'changed';
  return recorded.complete ? 'whole' : 'incomplete';
}
