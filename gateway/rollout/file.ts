import { readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { shadowFolder } from '../../bundles/index.js';
import type { ShadowReport } from './differences.js';

/** Where the gateway writes the differences, so that the command line can show them without a connection to it. */
export const differencesFile = (stateDirectory: string): string =>
  path.join(shadowFolder(stateDirectory), 'differences.json');

/** What a gateway wrote last; undefined where none has tried a revision. */
export async function readDifferences(stateDirectory: string): Promise<ShadowReport | undefined> {
  try {
    return JSON.parse(await readFile(differencesFile(stateDirectory), 'utf8')) as ShadowReport;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const write_ms_min = 1_000;

/** Writes what `report` gives a moment after it has changed, at most once a second. */
export class DifferencesWriter {
  readonly #file: string;
  readonly #report: () => ShadowReport;
  readonly #failed: (error: unknown) => void;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(stateDirectory: string, report: () => ShadowReport, failed: (error: unknown) => void) {
    this.#file = differencesFile(stateDirectory);
    this.#report = report;
    this.#failed = failed;
  }

  changed(): void {
    this.#timer ??= setTimeout(() => this.#write(), write_ms_min).unref();
  }

  async close(): Promise<void> {
    if (this.#timer !== undefined) this.#write();
    await this.#writing;
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const scratch = `${this.#file}.new`;
    this.#writing = this.#writing
      .then(() => writeFile(scratch, JSON.stringify(this.#report()), { mode: 0o600 }))
      .then(() => rename(scratch, this.#file))
      .catch(this.#failed);
  }
}
