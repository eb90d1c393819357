import { quoted } from '../../shell/index.js';

/** A longer name of a folder is none that a system has (PATH_MAX of Linux). */
const folder_chars_max = 4_096;
const variables_max = 64;
/** With this a line ends that did not run, as its folder could not be entered: one that programs have for nothing. */
export const exitElsewhere = 113;

/**
 * What stays from one line of a supervised shell to the next. Every line is a command of its own on the host, so this is put
 * before each of them: where it runs, what was exported, the mask of new files.
 */
export class Kept {
  /** `~`: the login's own, of which the name is not known. */
  folder = '~';
  previous: string | undefined;
  umask: string | undefined;
  /** Of the last command. */
  status = 0;
  readonly #given: Readonly<Record<string, string>>;
  /** Undefined: taken away. */
  readonly #variables = new Map<string, string | undefined>();

  /** @param given The variables that the client sent before. */
  constructor(given: Readonly<Record<string, string>>) {
    this.#given = given;
  }

  enter(folder: string): void {
    this.previous = this.folder;
    this.folder = folder;
  }

  /** False where there are too many already. */
  set(name: string, value: string | undefined): boolean {
    if (!this.#variables.has(name) && this.#variables.size >= variables_max) return false;
    this.#variables.set(name, value);
    return true;
  }

  /** As policy sees it. */
  get environment(): Record<string, string> {
    const all = new Map<string, string | undefined>([...Object.entries(this.#given), ...this.#variables]);
    return Object.fromEntries([...all].filter((pair): pair is [string, string] => pair[1] !== undefined));
  }

  /** What a line may name of it: `$?`, `$PWD`, `$LANG`. */
  get values(): ReadonlyMap<string, string> {
    const known = new Map(Object.entries(this.environment)).set('?', String(this.status));
    return this.folder === '~' ? known : known.set('PWD', this.folder);
  }

  /** What stands before every line. A line that would run elsewhere does not run. */
  get prefix(): string {
    const parts = [...this.#variables].map(([name, value]) =>
      value === undefined ? `unset ${name}` : `export ${name}=${value === '' ? '' : quoted(value)}`,
    );
    if (this.umask !== undefined) parts.push(`umask ${this.umask}`);
    if (this.folder !== '~') parts.push(`'cd' ${quoted(this.folder)} || exit ${exitElsewhere}`);
    return parts.map((part) => `${part}; `).join('');
  }
}

/**
 * The folder that `pwd -P` told of. Undefined for whatever is not the plain name of one: what else a host says there (a message of
 * its login's files, a name of two lines), and names with characters that nobody sees.
 */
export function folderOf(said: Buffer): string | undefined {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(said);
  } catch {
    return undefined;
  }
  const folder = /^(\/.*)\n$/u.exec(text)?.[1];
  return folder === undefined || folder.length > folder_chars_max || /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(folder)
    ? undefined
    : folder;
}
