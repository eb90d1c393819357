import { constants } from 'node:fs';
import { chmod, mkdir, open, rm, type FileHandle } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { RecordingsConfig } from '../config/index.js';
import { AuditError } from '../errors.js';
import type { Copy, CopyAbout, Recorder, Recording, RecordingAbout, Session } from '../protocol.js';
import { headerLine, type CastHeader, type Origin } from './cast.js';
import { CopyFile, type CopyHeader } from './copy.js';
import { copyOf, fileOf, kept, originOf, recordingOf, removeBefore, type Kept } from './folder.js';
import { RecordingFile } from './recording.js';
import { Room } from './room.js';
import type { WriterParts } from './writer.js';

/** Keeps recordings and copies in a folder, within what the configuration lets them have. */
export interface OpenRecorder extends Recorder {
  /** Waits until what is open is written. */
  close(): Promise<void>;
}

export interface RecorderParts {
  readonly config: RecordingsConfig;
  readonly log: Logger;
  readonly now: () => number;
}

const chore_ms = 3_600_000;
const columns_default = 80;
const rows_default = 24;
/** Files whose first lines are read at a time. */
const looks_atOnce = 32;

/** What is on its way into its file. */
interface Begun {
  begun(): Promise<boolean>;
  close(how: string): Promise<unknown>;
}

/** Rejects where the folder cannot be made. */
export async function openRecorder({ config, log, now }: RecorderParts): Promise<OpenRecorder> {
  const { folder } = config;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  const open_ = new Set<Promise<unknown>>();
  const room = new Room(config);
  let owners = new Map<string, string>();
  const tidy = async () => {
    try {
      if (config.retention_ms !== undefined) {
        const removed = await removeBefore(folder, now() - config.retention_ms);
        if (removed.length > 0) log.info({ recordings: removed }, 'recordings that were kept long enough are removed');
      }
      const found = await kept(folder);
      owners = await ownersOf(found, owners);
      room.reset(found.map(({ id, bytes }) => ({ owner: owners.get(id), bytes })));
    } catch (error) {
      log.error({ err: error }, 'the folder of recordings could not be looked through; it is tried again');
    }
  };
  await tidy();
  const timer = setInterval(() => void tidy(), chore_ms).unref();

  /** Undefined: it goes on without. */
  async function begin<T extends Begun>(
    id: string,
    session: Session,
    make: (parts: WriterParts) => T,
  ): Promise<T | undefined> {
    try {
      const path = fileOf(folder, id);
      if (path === undefined) throw new Error(`${id} is no id of a recording`);
      const owner = ownerOf(session.principal);
      const full = room.whyFull(owner, 1);
      if (full !== undefined) throw new Error(full);
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      const file: FileHandle = await open(path, flags, 0o600);
      owners.set(id, owner);
      const failed = (error: unknown) => log.error({ err: error, recording: id }, 'a recording is not whole');
      const take = (bytes: number) => room.take(owner, bytes);
      const { fail, bytes_max } = config;
      const made = make({ id, file, take, failed, now, fail, bytes_max });
      if (!(await made.begun()) && fail === 'closed') {
        await made.close('failed');
        await rm(path, { force: true });
        throw new Error('it could not be begun');
      }
      return made;
    } catch (error) {
      log.error({ err: error, recording: id }, 'a recording could not begin');
      if (config.fail === 'open') return undefined;
      throw new AuditError('the operation could not be recorded', { cause: error });
    }
  }

  /** Known until it is closed. */
  function followed<R>(close: () => Promise<R>, ended: () => void): Promise<R> {
    const closed = close();
    void closed.then(ended);
    return closed;
  }
  function follow(): () => void {
    let ended: () => void = () => undefined;
    const over = new Promise<void>((resolve) => (ended = resolve));
    open_.add(over);
    void over.then(() => open_.delete(over));
    return ended;
  }

  return {
    async begin(session, about): Promise<Recording | undefined> {
      const id = recordingOf(about.decision);
      const header = headerLine(headerOf(id, session, about, now()));
      const terminal = about.terminal !== undefined;
      const { input_bytes_max } = config;
      const recording = await begin(
        id,
        session,
        (parts) => new RecordingFile({ ...parts, terminal, input_bytes_max }, header),
      );
      if (recording === undefined) return undefined;
      const ended = follow();
      return {
        id,
        output: (stream, more) => recording.output(stream, more),
        input: (more) => recording.input(more),
        resize: (columns, rows) => recording.resize(columns, rows),
        note: (text) => recording.note(text),
        onLost: (listener) => recording.onLost(listener),
        close: (exit) => followed(() => recording.close(exit), ended),
      };
    },
    async copy(session, about): Promise<Copy | undefined> {
      const id = copyOf(about.decision);
      const header = copyHeaderOf(id, session, about, now());
      const { masked } = about;
      const copy = await begin(id, session, (parts) => new CopyFile({ ...parts, masked }, header));
      if (copy === undefined) return undefined;
      const ended = follow();
      const close = async (how: string) => {
        const copied = await copy.close(how);
        // A copy of nothing is none.
        if (copied === undefined) await rm(fileOf(folder, id)!, { force: true });
        return copied;
      };
      return {
        id,
        piece: (way, bytes, offset) => copy.piece(way, bytes, offset),
        onLost: (listener) => copy.onLost(listener),
        close: (how) => followed(() => close(how), ended),
      };
    },
    async close() {
      clearInterval(timer);
      while (open_.size > 0) await Promise.race(open_);
      // Who waits for a recording records its digest next.
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

const ownerOf = ({ issuer, subject }: { readonly issuer: string; readonly subject: string }): string =>
  JSON.stringify([issuer, subject]);

/** Of those that are known already, and of the others by what they say. */
async function ownersOf(found: readonly Kept[], known: ReadonlyMap<string, string>): Promise<Map<string, string>> {
  const owners = new Map<string, string>();
  const unknown: Kept[] = [];
  for (const one of found) {
    const owner = known.get(one.id);
    if (owner === undefined) unknown.push(one);
    else owners.set(one.id, owner);
  }
  for (let at = 0; at < unknown.length; at += looks_atOnce) {
    const looks = unknown.slice(at, at + looks_atOnce).map(async (one) => {
      const origin = await originOf(one);
      if (origin !== undefined) owners.set(one.id, ownerOf(origin.principal));
    });
    await Promise.all(looks);
  }
  return owners;
}

function originOfSession(
  id: string,
  session: Session,
  { decision, request, masked }: CopyAbout,
  terminal: boolean,
): Origin {
  const { issuer, subject, purpose } = session.principal;
  const { name, protocol } = session.target.input;
  return {
    ...{ id, decision, request, masked },
    session: session.id,
    target: name,
    protocol,
    principal: { issuer, subject },
    ...(purpose === undefined ? {} : { purpose }),
    terminal,
  };
}

const titleOf = ({ principal, target }: Session): string => `${principal.subject} at ${target.input.name}`;

function headerOf(id: string, session: Session, about: RecordingAbout, now_ms: number): CastHeader {
  const { command, terminal } = about;
  return {
    version: 2,
    width: terminal?.columns || columns_default,
    height: terminal?.rows || rows_default,
    timestamp: Math.floor(now_ms / 1_000),
    title: titleOf(session),
    ...(command === undefined ? {} : { command }),
    ...(terminal?.type === undefined ? {} : { env: { TERM: terminal.type } }),
    sallyport: originOfSession(id, session, about, terminal !== undefined),
  };
}

function copyHeaderOf(id: string, session: Session, about: CopyAbout, now_ms: number): CopyHeader {
  const { command, path } = about;
  return {
    version: 1,
    form: 'sallyport-copy',
    timestamp: Math.floor(now_ms / 1_000),
    title: titleOf(session),
    ...(command === undefined ? {} : { command }),
    ...(path === undefined ? {} : { path }),
    sallyport: originOfSession(id, session, about, false),
  };
}
