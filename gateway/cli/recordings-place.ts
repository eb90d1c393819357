import { ConfigError } from '../errors.js';
import { configFile, type Surroundings } from './surroundings.js';

/** Where the recordings are: in a folder, in that of a configuration, or at a running gateway. */
export interface Where {
  readonly config?: string;
  readonly folder?: string;
  readonly gateway?: string;
  readonly ca?: string;
  readonly tokenFile?: string;
}

/** What the gateway found when it compared it with the audit is said where it matters. */
export const standings: Readonly<Record<string, string>> = {
  changed: 'it is not what was recorded: its digest is not the one in the audit',
  incomplete: 'it is not complete: it could not be recorded to its end',
};

export async function folderOf({ folder, config: named }: Where, around: Surroundings): Promise<string> {
  if (folder !== undefined) return folder;
  const { loadConfig } = await import('../config/index.js');
  const { protocols } = await import('../registry.js');
  const { recordings, file } = await loadConfig(configFile(named, around), { env: around.env, protocols });
  if (recordings === undefined)
    throw new ConfigError(`${file} has no "recordings": nothing is recorded; or give --folder.`);
  return recordings.folder;
}
