import { watch } from 'chokidar';

/** Files that are written one after another are one change. */
const debounce_default_ms = 40;
/** Events can be lost (network file systems, swapped folder links, a full queue): so it is looked at now and then anyway. */
const rescan_ms = 5_000;

/**
 * Calls back once for a burst of events beneath `paths`, and every few seconds besides. A path that does not exist yet
 * is waited for. Resolves when the watch is in place; what it gives ends it.
 */
export async function watchPaths(
  paths: readonly string[],
  changed: () => void,
  options: { depth?: number; ignored?: (path: string) => boolean; rescan_ms?: number; debounce_ms?: number } = {},
): Promise<() => Promise<void>> {
  let pending: NodeJS.Timeout | undefined;
  const soon = () => {
    clearTimeout(pending);
    pending = setTimeout(changed, options.debounce_ms ?? debounce_default_ms);
  };
  const watcher = watch([...paths], {
    ignoreInitial: true,
    followSymlinks: true,
    ...(options.depth === undefined ? {} : { depth: options.depth }),
    ...(options.ignored === undefined ? {} : { ignored: options.ignored }),
  });
  watcher.on('all', soon);
  // A watch that breaks (too many files, a folder that went) leaves the rescan.
  watcher.on('error', soon);
  await new Promise<void>((resolve) => watcher.once('ready', () => resolve()));
  const rescan = setInterval(changed, options.rescan_ms ?? rescan_ms);
  rescan.unref();
  return async () => {
    clearTimeout(pending);
    clearInterval(rescan);
    await watcher.close();
  };
}
