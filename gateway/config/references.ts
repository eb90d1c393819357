import { readFile, stat } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import type { KeyPath } from './document.js';

/**
 * `${NAME}` and `{file: PATH}`: the two ways in which a value stands somewhere else. References are resolved after the
 * YAML was parsed, so what they stand for can never become structure.
 */

/** A file that a value refers to may have at most this many bytes. */
export const reference_bytes_max = 1_048_576;

export interface Substituted {
  readonly value: unknown;
  /** References to variables that are not set, or empty. Their text is left as it is. */
  readonly missing: readonly { readonly path: KeyPath; readonly name: string }[];
  /** `${…}` that is no reference. */
  readonly malformed: readonly KeyPath[];
  /** Where a value came from the environment, in whole or in part; as `pathKey` writes it. */
  readonly substituted: ReadonlySet<string>;
}

export const pathKey = (path: KeyPath): string => JSON.stringify(path);

/** Replaces `${NAME}` in every string; `$${` stands for a literal `${`. An empty variable counts as missing. */
export function substitute(root: unknown, env: NodeJS.ProcessEnv): Substituted {
  const missing: { path: KeyPath; name: string }[] = [];
  const malformed: KeyPath[] = [];
  const substituted = new Set<string>();

  const text = (value: string, path: KeyPath): string => {
    if (!value.includes('${')) return value;
    return value.replace(/\$(\$\{)|\$\{([^}]*)(\}?)/gu, (whole, escaped?: string, name?: string, end?: string) => {
      if (escaped !== undefined) return escaped;
      if (name === undefined || end !== '}' || !/^[A-Za-z_][A-Za-z0-9_]*$/u.test(name)) {
        malformed.push(path);
        return whole;
      }
      substituted.add(pathKey(path));
      const found = env[name];
      if (found === undefined || found === '') {
        missing.push({ path, name });
        return whole;
      }
      return found;
    });
  };
  const visit = (value: unknown, path: KeyPath): unknown => {
    if (typeof value === 'string') return text(value, path);
    if (Array.isArray(value)) return value.map((item, index) => visit(item, [...path, index]));
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, visit(item, [...path, key])]));
    }
    return value;
  };
  return { value: visit(root, []), missing, malformed, substituted };
}

export function absolute(directory: string, path: string): string {
  return isAbsolute(path) ? path : resolve(directory, path);
}

/** The text of a file that the configuration refers to. Throws an Error whose message says which file and why. */
export async function readReference(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > reference_bytes_max) throw new Error(`has more than ${reference_bytes_max} bytes`);
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new Error(`the file ${file} ${whyUnreadable(error)}`, { cause: error });
  }
}

/** The same as a value: without its last line end, and not empty. */
export async function readValue(file: string): Promise<string> {
  const content = (await readReference(file)).replace(/\r?\n$/u, '');
  if (content === '') throw new Error(`the file ${file} is empty`);
  return content;
}

/** "does not exist", … : what stands after the file's name in a sentence. */
export function whyUnreadable(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return 'does not exist';
    case 'ENOTDIR':
      return 'does not exist: a part of its path is no folder';
    case 'EACCES':
    case 'EPERM':
      return 'cannot be read: permission denied';
    case 'EISDIR':
      return 'is a folder';
    default:
      return error instanceof Error && /^has /u.test(error.message) ? error.message : 'cannot be read';
  }
}

/** True for `{file: PATH}` and nothing else. */
export function isFileReference(value: unknown): value is { readonly file: string } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const keys = Object.keys(value);
  return keys.length === 1 && keys[0] === 'file' && typeof (value as { file: unknown }).file === 'string';
}

export interface Resolved {
  readonly value: unknown;
  /** Why what the value refers to cannot be had; undefined where all is there. */
  readonly unavailable: string | undefined;
  /** Paths inside the value that came out of files; as `pathKey` writes them. */
  readonly read: ReadonlySet<string>;
}

/** Puts the content of files in the place of `{file: PATH}`, everywhere below `root`; one last line end is dropped. */
export async function resolveFiles(root: unknown, directory: string): Promise<Resolved> {
  const read = new Set<string>();
  let unavailable: string | undefined;
  const visit = async (value: unknown, path: KeyPath): Promise<unknown> => {
    if (isFileReference(value)) {
      read.add(pathKey(path));
      try {
        return await readValue(absolute(directory, value.file));
      } catch (error) {
        unavailable ??= (error as Error).message;
        return value;
      }
    }
    if (Array.isArray(value)) return Promise.all(value.map((item, index) => visit(item, [...path, index])));
    if (typeof value === 'object' && value !== null) {
      const entries = await Promise.all(
        Object.entries(value).map(async ([key, item]) => [key, await visit(item, [...path, key])] as const),
      );
      return Object.fromEntries(entries);
    }
    return value;
  };
  return { value: await visit(root, []), unavailable, read };
}
