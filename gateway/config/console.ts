import type { ConsoleConfig } from './config.js';
import type { ConfigFile } from './schema.js';

/** Reads the part about people: their roles, and what they call the gateway. */
export function readConsole(input: ConfigFile['console']): ConsoleConfig {
  const url = input?.url?.replace(/\/$/u, '');
  return {
    administrators: input?.administrators ?? [],
    auditors: input?.auditors ?? [],
    ...(url === undefined ? {} : { url }),
  };
}
