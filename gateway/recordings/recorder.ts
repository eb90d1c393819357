import { constants } from 'node:fs';
import { chmod, mkdir, open, rm } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { RecordingsConfig } from '../config/index.js';
import { AuditError } from '../errors.js';
import type { Recorded, Recorder, Recording, RecordingAbout, Session } from '../protocol.js';
import { headerLine, type CastHeader } from './cast.js';
import { fileOf, kept, recordingOf, removeBefore } from './folder.js';
import { RecordingFile } from './recording.js';

/** Keeps recordings in a folder, within what the configuration lets them have. */
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

/** Rejects where the folder cannot be made. */
export async function openRecorder({ config, log, now }: RecorderParts): Promise<OpenRecorder> {
  const { folder } = config;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  const open_ = new Set<Promise<Recorded>>();
  let bytes = 0;
  const tidy = async () => {
    try {
      if (config.retention_ms !== undefined) {
        const removed = await removeBefore(folder, now() - config.retention_ms);
        if (removed.length > 0) log.info({ recordings: removed }, 'recordings that were kept long enough are removed');
      }
      bytes = (await kept(folder)).reduce((sum, one) => sum + one.bytes, 0);
    } catch (error) {
      log.error({ err: error }, 'the folder of recordings could not be looked through; it is tried again');
    }
  };
  await tidy();
  const timer = setInterval(() => void tidy(), chore_ms).unref();
  const take = (more: number) => {
    if (bytes + more > config.total_bytes_max) return false;
    bytes += more;
    return true;
  };

  async function begin(session: Session, about: RecordingAbout): Promise<Recording | undefined> {
    const id = recordingOf(about.decision);
    try {
      const path = fileOf(folder, id);
      if (path === undefined) throw new Error(`${about.decision} is no id of a decision`);
      if (bytes >= config.total_bytes_max) throw new Error('the folder of recordings is full');
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      const file = await open(path, flags, 0o600);
      const failed = (error: unknown) => log.error({ err: error, recording: id }, 'a recording is not whole');
      const header = headerLine(headerOf(id, session, about, now()));
      const recording = new RecordingFile(
        {
          ...{ id, file, take, failed, now, fail: config.fail },
          terminal: about.terminal !== undefined,
          bytes_max: config.bytes_max,
          input_bytes_max: config.input_bytes_max,
        },
        header,
      );
      if (!(await recording.begun()) && config.fail === 'closed') {
        await recording.close(undefined);
        await rm(path, { force: true });
        throw new Error('it could not be begun');
      }
      return followed(recording);
    } catch (error) {
      log.error({ err: error, recording: id }, 'a recording could not begin');
      if (config.fail === 'open') return undefined;
      throw new AuditError('the operation could not be recorded', { cause: error });
    }
  }

  /** Known until it is closed. */
  function followed(recording: RecordingFile): Recording {
    let ended: (recorded: Recorded) => void = () => undefined;
    const over = new Promise<Recorded>((resolve) => (ended = resolve));
    open_.add(over);
    void over.then(() => open_.delete(over));
    const close = async (exit: string | undefined) => {
      const recorded = await recording.close(exit);
      ended(recorded);
      return recorded;
    };
    return {
      id: recording.id,
      output: (stream, more) => recording.output(stream, more),
      input: (more) => recording.input(more),
      resize: (columns, rows) => recording.resize(columns, rows),
      note: (text) => recording.note(text),
      onLost: (listener) => recording.onLost(listener),
      close,
    };
  }

  return {
    begin,
    async close() {
      clearInterval(timer);
      while (open_.size > 0) await Promise.race(open_);
      // Who waits for a recording records its digest next.
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

function headerOf(id: string, session: Session, about: RecordingAbout, now_ms: number): CastHeader {
  const { decision, request, command, terminal, masked } = about;
  const { issuer, subject, purpose } = session.principal;
  const { name, protocol } = session.target.input;
  return {
    version: 2,
    width: terminal?.columns || columns_default,
    height: terminal?.rows || rows_default,
    timestamp: Math.floor(now_ms / 1_000),
    title: `${subject} at ${name}`,
    ...(command === undefined ? {} : { command }),
    ...(terminal?.type === undefined ? {} : { env: { TERM: terminal.type } }),
    sallyport: {
      ...{ id, decision, request, masked },
      session: session.id,
      target: name,
      protocol,
      principal: { issuer, subject },
      ...(purpose === undefined ? {} : { purpose }),
      terminal: terminal !== undefined,
    },
  };
}
