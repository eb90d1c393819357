import { randomBytes } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { syncFolder } from './file.js';
import { asCheckpoint, type Checkpoint, type Cut, type Head } from './checkpoint.js';

/** What is known of all chains of a store, outside of the records themselves: what was cut off from them shows by it. */
export interface Ledger {
  readonly version: 1;
  /** The last one. */
  readonly checkpoint?: Checkpoint;
  /** Every writer that has records left, by its name. */
  readonly heads: Readonly<Record<string, Head>>;
  readonly cuts: Readonly<Record<string, Cut>>;
  /** Public keys that have signed, by their ids. */
  readonly keys: Readonly<Record<string, string>>;
}

export interface HeadStore {
  read(): Promise<Ledger>;
  /** One at a time over all processes that share the store. What `change` returns is kept, durably, when this resolves. */
  update(change: (ledger: Ledger) => Ledger): Promise<Ledger>;
}

export const emptyLedger: Ledger = { version: 1, heads: {}, cuts: {}, keys: {} };

/** Of writers, and of cuts; what is older is left out. */
export const heads_max = 1_000;

/** A lock that is older was left behind by a process that died. */
const lock_stale_ms = 10_000;
const lock_wait_ms = 25;

/** The ledger as a file of the state directory, written whole or not at all. */
export function fileHeadStore(directory: string): HeadStore {
  const file = path.join(directory, 'audit-heads.json');
  let last: Promise<unknown> = Promise.resolve();
  const read = () => readLedger(file);
  return {
    read,
    update(change) {
      const run = last.then(() =>
        locked(`${file}.lock`, async () => {
          const ledger = change(await read());
          await writeWhole(file, `${JSON.stringify(ledger)}\n`);
          return ledger;
        }),
      );
      last = run.catch(() => undefined);
      return run;
    },
  };
}

async function readLedger(file: string): Promise<Ledger> {
  let text;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return emptyLedger;
    throw error;
  }
  const ledger = asLedger(text);
  if (ledger === undefined) {
    throw new Error(
      `${file} is damaged; put a copy back, or move it away: then nothing is known of older records any more`,
    );
  }
  return ledger;
}

/** Undefined for what has not the form of one. */
export function asLedger(text: string): Ledger | undefined {
  try {
    const it = JSON.parse(text) as Partial<Ledger> | null;
    const maps = [it?.heads, it?.cuts, it?.keys].every((map) => typeof map === 'object' && map !== null);
    const sound = it?.checkpoint === undefined || asCheckpoint(it.checkpoint) !== undefined;
    return it?.version === 1 && maps && sound ? (it as Ledger) : undefined;
  } catch {
    return undefined;
  }
}

export async function writeWhole(file: string, text: string): Promise<void> {
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    const handle = await open(draft, 'wx', 0o600);
    try {
      await handle.writeFile(text);
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
}

/** Runs alone among all processes that use the same lock file. */
export async function locked<T>(lock: string, run: () => Promise<T>): Promise<T> {
  const until_ms = Date.now() + 2 * lock_stale_ms;
  for (;;) {
    try {
      const handle = await open(lock, 'wx', 0o600);
      await handle.writeFile(String(process.pid)).finally(() => handle.close());
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (await isLeftBehind(lock)) await rm(lock, { force: true });
      else if (Date.now() > until_ms) throw new Error(`${lock} is held by another process`, { cause: error });
      else await wait(lock_wait_ms);
    }
  }
  try {
    return await run();
  } finally {
    await rm(lock, { force: true });
  }
}

/** By a process that is gone. A lock without a number is being written, or its process died before. */
async function isLeftBehind(lock: string): Promise<boolean> {
  try {
    const handle = await open(lock, 'r');
    try {
      const pid = Number(await handle.readFile('utf8'));
      if (pid > 0) return !isRunning(pid);
      return Date.now() - (await handle.stat()).mtimeMs > lock_stale_ms;
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
