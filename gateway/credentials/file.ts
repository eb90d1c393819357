import { stat } from 'node:fs/promises';
import { readValue } from '../config/index.js';
import { NotGiven, single, type Place } from './place.js';

/** How often a file is looked at. */
const look_ms = 1_000;

/**
 * A file, read again when it is another: by its path alone, so that it does not matter whether it was written over, moved
 * into place, or stands behind a link that leads elsewhere now (as Kubernetes replaces mounted secrets). It is looked at
 * rather than watched: file systems that come over a network tell nobody of changes.
 */
export function filePlace(file: string): Place {
  let seen: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  return {
    name: `the file ${file}`,
    async read() {
      // Before it is read: what is written meanwhile makes another stamp.
      seen = await stampOf(file);
      try {
        return { values: single(await readValue(file)) };
      } catch (error) {
        throw new NotGiven((error as Error).message, { cause: error });
      }
    },
    watch(changed) {
      const look = async (): Promise<void> => {
        const stamp = await stampOf(file);
        if (closed) return;
        if (stamp !== seen) changed();
        timer = setTimeout(() => void look(), look_ms).unref();
      };
      timer = setTimeout(() => void look(), look_ms).unref();
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** Another for every change; undefined where there is no such file. */
async function stampOf(file: string): Promise<string | undefined> {
  try {
    const { mtimeMs, ctimeMs, size, ino, dev } = await stat(file);
    return [mtimeMs, ctimeMs, size, ino, dev].join(' ');
  } catch {
    return undefined;
  }
}
