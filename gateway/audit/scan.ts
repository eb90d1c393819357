import { createReadStream } from 'node:fs';
import { line_bytes_max } from './lines.js';

const chunk_bytes = 1_048_576;
const newline = 0x0a;

export interface ScannedLine {
  /** Without its line end. Valid during the call alone. */
  readonly bytes: Buffer;
  readonly file: string;
  /** Counts from 1. */
  readonly number: number;
  readonly offset: number;
  /** False: the file ends before the line does. */
  readonly whole: boolean;
}

/**
 * All lines of a file, by calls: several times faster than one turn of an asynchronous loop for each.
 *
 * @param onChunk Told how many bytes more were read.
 * @param afterChunk Waited for before more is read.
 */
export async function scan(
  file: string,
  onLine: (line: ScannedLine) => void,
  onChunk?: (bytes: number) => void,
  afterChunk?: () => Promise<void>,
): Promise<void> {
  let number = 1;
  let offset = 0;
  let rest: Buffer[] = [];
  let rest_bytes = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: chunk_bytes }) as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      const piece = chunk.subarray(start, end);
      const bytes = rest_bytes === 0 ? piece : Buffer.concat([...rest, piece]);
      onLine({ bytes, file, number, offset, whole: true });
      offset += bytes.length + 1;
      number += 1;
      start = end + 1;
      rest = [];
      rest_bytes = 0;
    }
    if (start < chunk.length) {
      rest.push(chunk.subarray(start));
      rest_bytes += chunk.length - start;
    }
    if (rest_bytes > line_bytes_max) throw new Error(`${file}:${number} has more than ${line_bytes_max} bytes`);
    onChunk?.(chunk.length);
    await afterChunk?.();
  }
  if (rest_bytes > 0) onLine({ bytes: Buffer.concat(rest), file, number, offset, whole: false });
}
