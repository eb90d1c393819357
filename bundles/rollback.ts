import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { refusal } from './error.js';
import { type Pin, pinFile, readJson, readStatus, requestFile, type RollbackAnswer } from './status.js';
import { writeAtomically } from './store.js';
import { watchPaths } from './watch.js';

/**
 * Where a rollback is asked for and kept: `rollback.request.json` is written by the command line and taken away by the
 * gateway that keeps the policy; `pin.json` holds the rollback until the source has something newer. Whoever may write
 * into the folder may ask.
 */
export class RollbackDesk {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The id of a request, which is thereby taken. */
  async takeRequest(): Promise<string | undefined> {
    const file = requestFile(this.#directory);
    const request = await readJson<{ id?: unknown }>(file).catch(() => ({ id: undefined }));
    if (request === undefined) return undefined;
    await rm(file, { force: true });
    return typeof request.id === 'string' ? request.id : undefined;
  }

  pin(): Promise<Pin | undefined> {
    return readJson<Pin>(pinFile(this.#directory));
  }

  writePin(pin: Pin): Promise<void> {
    return writeAtomically(pinFile(this.#directory), `${JSON.stringify(pin, undefined, 2)}\n`);
  }

  unpin(): Promise<void> {
    return rm(pinFile(this.#directory), { force: true });
  }

  watch(changed: () => void): Promise<() => Promise<void>> {
    const file = requestFile(this.#directory);
    return watchPaths([this.#directory], changed, {
      depth: 0,
      ignored: (path) => path !== this.#directory && path !== file,
    });
  }
}

const poll_ms = 50;

/** Asks the gateway that keeps its policy in `directory` to roll back, and waits for its answer. */
export async function requestRollback(directory: string, timeout_ms = 10_000): Promise<RollbackAnswer> {
  const id = randomBytes(8).toString('hex');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeAtomically(requestFile(directory), JSON.stringify({ id, at: new Date().toISOString(), pid: process.pid }));
  for (const end = Date.now() + timeout_ms; Date.now() < end; await wait(poll_ms)) {
    const answer = (await readStatus(directory))?.rollback;
    if (answer?.id === id) return answer;
  }
  await rm(requestFile(directory), { force: true });
  throw refusal(
    'no_gateway',
    `no gateway that keeps its policy in ${directory} answered within ${timeout_ms / 1000} s`,
    {
      help: 'Is it running? The folder is the "policy" folder below state.directory.',
    },
  );
}
