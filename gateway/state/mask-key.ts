import { hkdfSync, randomBytes } from 'node:crypto';
import path from 'node:path';
import { ConfigError } from '../errors.js';
import { keptSecret } from './kept.js';

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
    const text = (await keptSecret(file, () => `${randomBytes(32).toString('hex')}\n`)).trim();
    if (!/^[0-9a-f]{64}$/.test(text)) throw new Error('it does not hold 64 hexadecimal digits');
    return text;
  } catch (error) {
    throw unusable(file, error);
  }
}

const unusable = (file: string, error: unknown): ConfigError =>
  new ConfigError(
    `the key of masks in ${file} cannot be used: ${error instanceof Error ? error.message : String(error)}; restore it, or give masks.key. Without it, hash and tokenize would give other values than before`,
    { cause: error },
  );
