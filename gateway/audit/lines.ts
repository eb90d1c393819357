import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';

/** A line may have at most this many bytes: as much as the log takes as one record. */
export const line_bytes_max = 67_108_864;
const chunk_bytes = 262_144;
const newline = 0x0a;

export interface FileLine {
  /** Without its line end. Valid until the next line is asked for. */
  readonly bytes: Buffer;
  /** Where it starts in the file. */
  readonly offset: number;
  /** False: the file ends before the line does. A crash cut it off, or it is being written. */
  readonly whole: boolean;
}

export interface NumberedLine extends FileLine {
  /** Counts from 1. */
  readonly number: number;
}

/** The lines of a file from its start, without ever holding more than one of them. Throws for a line beyond `line_bytes_max`. */
export async function* lines(file: string): AsyncGenerator<NumberedLine> {
  let number = 1;
  let offset = 0;
  let pieces: Buffer[] = [];
  let held_bytes = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: chunk_bytes }) as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      const piece = chunk.subarray(start, end);
      const bytes = pieces.length === 0 ? piece : Buffer.concat([...pieces, piece]);
      yield { bytes, number, offset, whole: true };
      offset += bytes.length + 1;
      pieces = [];
      held_bytes = 0;
      number += 1;
      start = end + 1;
    }
    held_bytes += chunk.length - start;
    if (held_bytes > line_bytes_max) throw new Error(`${file}:${number} has more than ${line_bytes_max} bytes`);
    if (start < chunk.length) pieces.push(chunk.subarray(start));
  }
  if (pieces.length > 0) yield { bytes: Buffer.concat(pieces), number, offset, whole: false };
}

/** The same from its end: the last line first. */
export async function* linesBackwards(file: string): AsyncGenerator<FileLine> {
  const handle = await open(file, 'r');
  try {
    let position = (await handle.stat()).size;
    let whole = false;
    // What stands before the first line end seen so far, from `position` on.
    let rest: Buffer[] = [];
    let rest_bytes = 0;
    while (position > 0) {
      const bytes = Math.min(chunk_bytes, position);
      position -= bytes;
      const chunk = await readFully(handle, position, bytes);
      let end = chunk.length;
      for (let at = chunk.lastIndexOf(newline); at !== -1; at = at === 0 ? -1 : chunk.lastIndexOf(newline, at - 1)) {
        const piece = chunk.subarray(at + 1, end);
        const line = rest.length === 0 ? piece : Buffer.concat([piece, ...rest]);
        // The piece behind the last line end is a line only where it is not empty.
        if (whole || line.length > 0) yield { bytes: line, offset: position + at + 1, whole };
        whole = true;
        rest = [];
        rest_bytes = 0;
        end = at;
      }
      rest_bytes += end;
      if (rest_bytes > line_bytes_max) throw new Error(`${file} has a line of more than ${line_bytes_max} bytes`);
      rest = [chunk.subarray(0, end), ...rest];
    }
    const first = Buffer.concat(rest);
    if (whole || first.length > 0) yield { bytes: first, offset: 0, whole };
  } finally {
    await handle.close();
  }
}

async function readFully(handle: Awaited<ReturnType<typeof open>>, position: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(bytes);
  let read = 0;
  while (read < bytes) {
    const { bytesRead } = await handle.read(buffer, read, bytes - read, position + read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return buffer.subarray(0, read);
}
