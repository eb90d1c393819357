import type { Services } from '../../protocol.js';
import { sha256 } from '../../web/index.js';
import type { FirstSeen } from './tools.js';

/**
 * What tools were when they were first seen: a file each in the state directory, which is never written again. A name costs a server
 * nothing, so there are no more than so many for a target; what comes then is as a tool that nobody has looked at.
 */
export class Pins {
  readonly #services: Pick<Services, 'keep' | 'kept'>;
  /** Names of files, by target; those of earlier runs count. */
  readonly #files = new Map<string, Promise<Set<string>>>();
  readonly #files_max: number;

  constructor(services: Pick<Services, 'keep' | 'kept'>, files_max = files_default_max) {
    this.#services = services;
    this.#files_max = files_max;
  }

  of(target: string): FirstSeen {
    const prefix = `mcp-${target}-`;
    return async (tool, digest) => {
      const files = await this.#known(prefix);
      const file = `${prefix}${sha256(tool).slice(0, 32)}.pin`;
      if (!files.has(file) && files.size >= this.#files_max) return undefined;
      files.add(file);
      return this.#services.keep(file, () => digest);
    };
  }

  #known(prefix: string): Promise<Set<string>> {
    let files = this.#files.get(prefix);
    if (files === undefined) {
      files = this.#services.kept(prefix).then((names) => new Set(names.filter((name) => isPin(name, prefix))));
      this.#files.set(prefix, files);
      // A folder that cannot be read now may be the next time.
      files.catch(() => this.#files.delete(prefix));
    }
    return files;
  }
}

/** Of this target, and of none whose name only begins so. */
const isPin = (name: string, prefix: string): boolean => /^[0-9a-f]{32}\.pin$/u.test(name.slice(prefix.length));

const files_default_max = 4_000;
