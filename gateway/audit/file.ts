import { write } from 'node:fs';
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What the log needs of a file; tests put one in its place that fails where they want it to. */
export interface SinkFile {
  /** Appends all of it, or rejects; after a rejection any part of it may be there. */
  append(bytes: Buffer): Promise<void>;
  /** Resolves when what was appended is on disk. */
  datasync(): Promise<void>;
  close(): Promise<void>;
}

export interface OpenedSink {
  readonly file: SinkFile;
  /** True: the file ends in the middle of a line. */
  readonly torn: boolean;
  /** What it holds already, and when the first of it was written; for whoever rotates it. */
  readonly bytes?: number;
  readonly since_ms?: number | undefined;
}

export type OpenSink = (path: string) => Promise<OpenedSink>;

/** Readable by the gateway's own user alone: records hold statements, parameters and names. */
const mode = 0o600;
const newline = 0x0a;

/** Opens a file for appending; makes it, and the folders above it, where they are missing. */
export const openFileSink: OpenSink = async (path) => {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const handle = await open(path, 'a+', mode);
  try {
    const status = await handle.stat();
    // A pipe or a terminal takes bytes and keeps none: nothing could be said to be on disk.
    if (!status.isFile()) throw new Error(`${path} is not a regular file`);
    if (status.size === 0) await syncFolder(dirname(path));
    return {
      file: new AppendedFile(handle),
      torn: status.size > 0 && (await lastByte(handle, status.size)) !== newline,
      bytes: status.size,
      since_ms: await firstRecord_ms(handle),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
};

async function lastByte(handle: FileHandle, size: number): Promise<number | undefined> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
  return bytesRead === 1 ? buffer[0] : undefined;
}

/** What a record says of itself stands near its beginning. */
const head_bytes = 512;
const timestampForm = /"timestamp":"([0-9TZ:.+-]{20,32})"/u;

/** When the first record of the file was written; undefined where it has none, or does not say. */
async function firstRecord_ms(handle: FileHandle): Promise<number | undefined> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(head_bytes), 0, head_bytes, 0);
  const time_ms = Date.parse(timestampForm.exec(buffer.toString('latin1', 0, bytesRead))?.[1] ?? '');
  return Number.isNaN(time_ms) ? undefined : time_ms;
}

/** A new file is only there after a crash when its folder was written, too. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

class AppendedFile implements SinkFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async append(bytes: Buffer): Promise<void> {
    let written = 0;
    while (written < bytes.length) {
      // A full disk shows as a short write first, and as an error with the next.
      const more = await this.#write(bytes, written);
      if (more === 0) throw new Error('nothing more can be written');
      written += more;
    }
  }

  /** As FileHandle.write, which takes twice the time. */
  #write(bytes: Buffer, from: number): Promise<number> {
    return new Promise((resolve, reject) => {
      write(this.#handle.fd, bytes, from, bytes.length - from, null, (error, written) => {
        if (error === null) resolve(written);
        else reject(error);
      });
    });
  }

  datasync(): Promise<void> {
    return this.#handle.datasync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
