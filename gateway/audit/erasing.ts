import { open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { erase, unseal } from './chain.js';
import { syncFolder } from './file.js';
import { subjects } from './query.js';
import { parseRecord } from './read.js';
import { scan } from './scan.js';

export interface ErasingOptions {
  /** Whose personal values go: whoever acts, for whom they act, or who answered. */
  readonly subject: string;
  /** Milliseconds since the epoch: only records from before. */
  readonly until_ms?: number | undefined;
}

export interface Erased {
  /** Records whose personal values are gone now. */
  readonly records: number;
}

const written_bytes = 1_048_576;

/**
 * Takes the personal values out of the records that name a person, whole records' worth of them: who, from where, which
 * statement, which prompt. Their commitments stay, so the chain is what it was. The file is written anew beside the old one and
 * takes its place at once; nobody may be appending to it.
 */
export async function eraseIn(file: string, options: ErasingOptions): Promise<Erased> {
  if ((await countIn(file, options)) === 0) return { records: 0 };
  const draft = `${file}.erasing`;
  const { mode } = await stat(file);
  let records = 0;
  try {
    const handle = await open(draft, 'w', mode & 0o777);
    try {
      let pieces: Buffer[] = [];
      let bytes_waiting = 0;
      const flush = async () => {
        const content = Buffer.concat(pieces);
        pieces = [];
        bytes_waiting = 0;
        await handle.writeFile(content);
      };
      const lines: Buffer[] = [];
      const drain = async () => {
        for (const bytes of lines.splice(0)) {
          pieces.push(bytes);
          bytes_waiting += bytes.length;
        }
        if (bytes_waiting >= written_bytes) await flush();
      };
      await scan(
        file,
        ({ bytes, whole }) => {
          const without = names(bytes, options) ? eraseLine(bytes) : undefined;
          if (without !== undefined) records += 1;
          lines.push(Buffer.from(without ?? bytes), ...(whole ? [newline] : []));
        },
        undefined,
        drain,
      );
      await drain();
      await flush();
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  await syncFolder(path.dirname(file));
  return { records };
}

/** How many records of the file there are to erase values of. */
export async function countIn(file: string, options: ErasingOptions): Promise<number> {
  let records = 0;
  await scan(file, ({ bytes }) => {
    if (names(bytes, options)) records += 1;
  });
  return records;
}

const newline = Buffer.from('\n');

function eraseLine(bytes: Buffer): Buffer | undefined {
  const line = unseal(bytes);
  return line && erase(line, () => true);
}

function names(bytes: Buffer, { subject, until_ms }: ErasingOptions): boolean {
  // Most lines are about somebody else, and looking for bytes is far cheaper than parsing.
  if (!bytes.includes(JSON.stringify(subject))) return false;
  const record = parseRecord(bytes);
  const personal = record?.['personal'];
  if (record === undefined || typeof personal !== 'object' || personal === null) return false;
  if (until_ms !== undefined && Date.parse(record.timestamp) >= until_ms) return false;
  return subjects(personal as Readonly<Record<string, unknown>>).includes(subject);
}
