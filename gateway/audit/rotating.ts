import { access, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder, type OpenSink, type OpenedSink, type SinkFile } from './file.js';
import { rotatedName } from './files.js';

/** When a file has grown so large, or its first record is so old, the next record begins another file. */
export interface Rotation {
  readonly bytes_max?: number | undefined;
  readonly age_ms_max?: number | undefined;
}

/**
 * Files that are rotated as they are written: the full one gets the time behind its name (files.ts), and stays.
 *
 * @param onRotated Told when a file was rotated away.
 */
export function rotatingSink(
  openSink: OpenSink,
  rotation: Rotation,
  now: () => number,
  onRotated: () => void = () => undefined,
): OpenSink {
  return async (path) => {
    const opened = await openSink(path);
    return { ...opened, file: new RotatingFile(path, opened, { openSink, rotation, now, onRotated }) };
  };
}

interface Parts {
  readonly openSink: OpenSink;
  readonly rotation: Rotation;
  readonly now: () => number;
  readonly onRotated: () => void;
}

class RotatingFile implements SinkFile {
  readonly #path: string;
  readonly #parts: Parts;
  #file: SinkFile;
  #bytes: number;
  /** When its first record was written; undefined before there is one, or where it does not say. */
  #since_ms: number | undefined;
  /**
   * Something was written since it was opened. What a failed write left stands in the same file as what is written again after
   * it, so that whoever removes old files never parts the two.
   */
  #sound = false;

  constructor(path: string, { file, bytes, since_ms }: OpenedSink, parts: Parts) {
    this.#path = path;
    this.#parts = parts;
    this.#file = file;
    this.#bytes = bytes ?? 0;
    this.#since_ms = since_ms;
  }

  async append(bytes: Buffer): Promise<void> {
    if (this.#sound && this.#isDue()) await this.#rotate();
    await this.#file.append(bytes);
    this.#sound = true;
    this.#since_ms ??= this.#parts.now();
    this.#bytes += bytes.length;
  }

  #isDue(): boolean {
    const { bytes_max = Infinity, age_ms_max = Infinity } = this.#parts.rotation;
    return this.#bytes >= bytes_max || this.#parts.now() - (this.#since_ms ?? Infinity) >= age_ms_max;
  }

  /** What goes wrong is a failed write: the log opens the file again, whatever its name is by then. */
  async #rotate(): Promise<void> {
    await this.#file.datasync();
    await this.#file.close();
    await rename(this.#path, await freeName(this.#path, this.#parts.now()));
    await syncFolder(dirname(this.#path));
    const { file } = await this.#parts.openSink(this.#path);
    this.#file = file;
    this.#bytes = 0;
    this.#since_ms = undefined;
    this.#parts.onRotated();
  }

  datasync(): Promise<void> {
    return this.#file.datasync();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

async function freeName(path: string, now_ms: number): Promise<string> {
  for (let at_ms = now_ms; ; at_ms += 1) {
    const name = rotatedName(path, at_ms);
    try {
      await access(name);
    } catch {
      return name;
    }
  }
}
