import { hkdfSync, randomBytes } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError } from '../errors.js';

/** The secret that keyed masks (hash, tokenize) come out of. Other values mean other hashes: it has to outlive the process. */

export interface MaskKeyOptions {
  /** From the configuration; absent: one that is made once, and kept in the state directory. */
  readonly key?: string | undefined;
  /** The state directory; it exists. */
  readonly directory: string;
}

/**
 * Gives each target a key of its own, as 64 hexadecimal digits: hashes of two targets have nothing in common, and who gets to know a
 * target's key knows no other.
 *
 * @throws ConfigError where a kept key cannot be read or made, or is damaged: going on with another would silently change all hashes.
 */
export async function openMaskKey(options: MaskKeyOptions): Promise<(target: string) => string> {
  const master = Buffer.from(options.key ?? (await keptKey(path.join(options.directory, 'mask.key'))));
  const known = new Map<string, string>();
  return (target) => {
    let key = known.get(target);
    if (key === undefined) {
      key = Buffer.from(hkdfSync('sha256', master, '', `sallyport mask key: ${target}`, 32)).toString('hex');
      known.set(target, key);
    }
    return key;
  };
}

async function keptKey(file: string): Promise<string> {
  try {
    return await readKey(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw unusable(file, error);
  }
  try {
    await makeKey(file);
    return await readKey(file);
  } catch (error) {
    throw unusable(file, error);
  }
}

async function readKey(file: string): Promise<string> {
  const text = (await readFile(file, 'utf8')).trim();
  if (!/^[0-9a-f]{64}$/.test(text)) throw new Error('it does not hold 64 hexadecimal digits');
  return text;
}

/** Whole or not at all, and never over one that another process made in between. */
async function makeKey(file: string): Promise<void> {
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  const handle = await open(draft, 'wx', 0o600);
  try {
    await handle.writeFile(`${randomBytes(32).toString('hex')}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  try {
    await link(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

const unusable = (file: string, error: unknown): ConfigError =>
  new ConfigError(
    `the key of masks in ${file} cannot be used: ${error instanceof Error ? error.message : String(error)}; restore it, or give masks.key. Without it, hash and tokenize would give other values than before`,
    { cause: error },
  );
