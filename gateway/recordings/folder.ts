import { createReadStream } from 'node:fs';
import { open, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { readEvent, readHeader, type CastEvent, type CastHeader, type Origin } from './cast.js';
import { endIn, readCopyHeader, type CopyHeader } from './copy.js';

/** The recordings and copies that are kept: one file each, named after its id. */

const suffixes: Readonly<Record<string, string>> = { r: '.cast', c: '.copy' };
const idForm = /^[rc]-[0-9a-z-]{1,80}$/u;
/** A header has a command line in it. */
const header_bytes_max = 1_048_576;
/** Most commands are short. */
const short_header_bytes = 4_096;
const end_bytes = 65_536;
const line_units_max = 16_777_216;

/** The recording of a decision has its number. */
export const recordingOf = (decision: string): string => decision.replace(/^d-/u, 'r-');
/** And so has the copy of what was transferred. */
export const copyOf = (decision: string): string => decision.replace(/^d-/u, 'c-');
export const decisionOf = (id: string): string => id.replace(/^[rc]-/u, 'd-');

export interface Kept {
  readonly id: string;
  readonly file: string;
  readonly bytes: number;
  readonly changed_ms: number;
}

export type Described = (Screen | Transfer) & Kept & Length;
/** What was on a screen. */
export interface Screen {
  readonly kind: 'recording';
  readonly header: CastHeader;
}
/** What was transferred. */
export interface Transfer {
  readonly kind: 'copy';
  readonly header: CopyHeader;
}
interface Length {
  readonly seconds: number;
  /** How it ended; absent while it runs, and where the gateway ended first. */
  readonly exit?: string;
}

/** Undefined for what is no id: a path is never made from it. */
export const fileOf = (folder: string, id: string): string | undefined =>
  idForm.test(id) ? path.join(folder, `${id}${suffixes[id[0]!]!}`) : undefined;

const idOf = (name: string): string => {
  const { name: id, ext } = path.parse(name);
  return idForm.test(id) && suffixes[id[0]!] === ext ? id : '';
};

/** Newest first; nothing where the folder is not there. */
export async function kept(folder: string): Promise<Kept[]> {
  const names = await readdir(folder).catch(() => []);
  const all = await Promise.all(
    names.map(async (name) => {
      const id = idOf(name);
      const file = fileOf(folder, id);
      const found = file === undefined ? undefined : await stat(file).catch(() => undefined);
      return found?.isFile() === true ? [{ id, file: file!, bytes: found.size, changed_ms: found.mtimeMs }] : [];
    }),
  );
  return all.flat().sort((one, other) => other.changed_ms - one.changed_ms || (one.id < other.id ? 1 : -1));
}

/** Undefined where it is not there, or is no recording. */
export async function describe(folder: string, id: string): Promise<Described | undefined> {
  const file = fileOf(folder, id);
  if (file === undefined) return undefined;
  const handle = await open(file).catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    const { size, mtimeMs } = await handle.stat();
    const read = async (length: number, at: number) => {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, at);
      return buffer.toString('utf8', 0, bytesRead);
    };
    const said = (await read(Math.min(size, header_bytes_max), 0)).split('\n', 1)[0]!;
    const tail = Math.min(size, end_bytes);
    const found = { id, file, bytes: size, changed_ms: mtimeMs };
    if (id.startsWith('c')) {
      const header = readCopyHeader(said);
      if (header === undefined) return undefined;
      return { ...found, kind: 'copy', header, seconds: 0, ...endIn(await read(tail, size - tail)) };
    }
    const header = readHeader(said);
    if (header === undefined) return undefined;
    const events = (await read(tail, size - tail))
      .split('\n')
      .map(readEvent)
      .filter((event) => event !== undefined);
    const last = events.at(-1);
    const exit = last?.[1] === 'x' ? { exit: last[2] } : {};
    return { ...found, kind: 'recording', header, seconds: last?.[0] ?? 0, ...exit };
  } finally {
    await handle.close();
  }
}

/** Whose it is; undefined where it is not there, or does not say. */
export async function originOf({ id, file }: Pick<Kept, 'id' | 'file'>): Promise<Origin | undefined> {
  const handle = await open(file).catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    for (const bytes of [short_header_bytes, header_bytes_max]) {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(bytes), 0, bytes, 0);
      const end = buffer.subarray(0, bytesRead).indexOf(10);
      if (end === -1) continue;
      const said = buffer.toString('utf8', 0, end);
      return (id.startsWith('c') ? readCopyHeader(said) : readHeader(said))?.sallyport;
    }
    return undefined;
  } finally {
    await handle.close();
  }
}

/** Its events in their order; what is no event is passed over. */
export async function* eventsOf(file: string): AsyncGenerator<CastEvent> {
  yield* eventsIn(createReadStream(file));
}

/** The same of what comes from elsewhere. */
export async function* eventsIn(input: Readable): AsyncGenerator<CastEvent> {
  try {
    for await (const line of linesIn(input)) {
      const event = readEvent(line);
      if (event !== undefined) yield event;
    }
  } finally {
    input.destroy();
  }
}

/**
 * A line ends with a line feed and with nothing else: readline takes U+2028 for an end, too, and whoever prints one would not be
 * seen. One that is longer than any event is left out.
 */
async function* linesIn(input: Readable): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of input as AsyncIterable<Buffer | string>) {
    const lines = (rest + (typeof chunk === 'string' ? chunk : decoder.write(chunk))).split('\n');
    rest = lines.pop()!;
    yield* lines;
    if (rest.length > line_units_max) rest = '';
  }
  yield rest + decoder.end();
}

/** Removes those that have not changed since. Gives their ids. */
export async function removeBefore(folder: string, before_ms: number): Promise<string[]> {
  const old = (await kept(folder)).filter(({ changed_ms }) => changed_ms < before_ms);
  for (const { file } of old) await rm(file, { force: true });
  return old.map(({ id }) => id);
}
