import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { ConfigError } from '../errors.js';
import type { Way } from '../recordings/index.js';
import { exit, type ExitCode } from './exit.js';
import { printable } from './printable.js';
import { folderOf, standings, type Where } from './recordings-place.js';
import type { Surroundings } from './surroundings.js';

export interface SaveFlags extends Where {
  readonly output: string;
  readonly read?: boolean;
  readonly written?: boolean;
}

/** `sallyport recordings save`: what an operation transferred, out of its copy into a file as it was. */
export async function save(id: string, flags: SaveFlags, around: Surroundings): Promise<ExitCode> {
  const { copyOf, describe } = await import('../recordings/index.js');
  if (flags.gateway === undefined) {
    const folder = await folderOf(flags, around);
    const found = await describe(folder, copyOf(id));
    if (found?.kind !== 'copy') {
      around.stderr.write(`sallyport: no copy "${printable(id)}" in ${folder}\n`);
      return exit.no;
    }
    return write(createReadStream(found.file), flags, around);
  }
  const { ask } = await import('./api/ask.js');
  return ask(flags, around, async ({ api }) => {
    const { content, headers } = await api.content(`/v1/recordings/${encodeURIComponent(copyOf(id))}`);
    const standing = standings[String(headers['sallyport-recording'])];
    if (standing !== undefined) around.stderr.write(`sallyport: ${standing}\n`);
    return write(content, flags, around);
  });
}

/** Where it went both ways and nobody said which, what went first is it. */
async function write(content: Readable, flags: SaveFlags, around: Surroundings): Promise<ExitCode> {
  const { CopyError, piecesIn } = await import('../recordings/index.js');
  const { output } = flags;
  let way: Way | undefined = flags.read === true ? 'read' : flags.written === true ? 'written' : undefined;
  const file = await created(output);
  const bytes: Record<Way, number> = { read: 0, written: 0 };
  const digest = createHash('sha256');
  let inOrder = true;
  let broken: string | undefined;
  let next = 0;
  try {
    for await (const piece of piecesIn(content)) {
      way ??= piece.way;
      bytes[piece.way] += piece.bytes.length;
      if (piece.way !== way) continue;
      await writeAt(file, piece.bytes, piece.offset);
      inOrder &&= piece.offset === next;
      next = piece.offset + piece.bytes.length;
      if (inOrder) digest.update(piece.bytes);
    }
  } catch (error) {
    if (!(error instanceof CopyError)) throw error;
    broken = error.message;
  } finally {
    await file.close();
  }
  const [own, other] = way === 'written' ? (['written', 'read'] as const) : (['read', 'written'] as const);
  const known = inOrder ? `, sha256 ${digest.digest('hex')}` : ', in pieces that were not in their order';
  around.stdout.write(`${printable(output)}: ${bytes[own]} bytes ${words[own]} the target${known}\n`);
  if (bytes[other] > 0)
    around.stderr.write(
      `sallyport: ${bytes[other]} bytes ${words[other]} the target as well: --${other} saves those\n`,
    );
  if (broken === undefined) return exit.done;
  around.stderr.write(`sallyport: this is not all: ${broken}\n`);
  return exit.no;
}

const words = { read: 'from', written: 'to' } as const;

async function created(file: string): Promise<FileHandle> {
  try {
    return await open(file, 'wx', 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'EEXIST' ? 'it is there already' : (error as Error).message;
    throw new ConfigError(`${file} cannot be written: ${why}`, { cause: error });
  }
}

async function writeAt(file: FileHandle, bytes: Buffer, offset: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, offset + at);
    at += bytesWritten;
  }
}
