// Loaded before a gateway that a test measures: says over its IPC channel what it holds. Needs --expose-gc.
import { readdirSync } from 'node:fs';

process.on('message', () => {
  globalThis.gc();
  const { heapUsed, external, rss } = process.memoryUsage();
  const handles = {};
  for (const kind of process.getActiveResourcesInfo()) handles[kind] = (handles[kind] ?? 0) + 1;
  process.send({
    memory_bytes: heapUsed + external,
    resident_bytes: rss,
    descriptors: readdirSync('/proc/self/fd').length,
    handles,
  });
});
// Whoever measures does not keep it alive.
process.channel.unref();
