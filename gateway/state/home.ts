import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { Logger } from 'pino';
import { ConfigError } from '../errors.js';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded.js';
import { keptSecret } from './kept.js';

/** Where the state database lives: in a server that the gateway starts for itself, or in one that is given. */
export interface Place {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password?: string | undefined;
  /** Absent: in clear. */
  readonly ssl?: { readonly rejectUnauthorized: boolean; readonly ca?: string | undefined } | undefined;
}

export interface Home {
  /** What messages call it; no secrets. */
  readonly name: string;
  /** Starts the server where it is ours and does not run. May be called again after it was lost. */
  open(): Promise<Place>;
  close(): Promise<void>;
}

export const givenHome = (place: Place): Home => ({
  name: `${place.host}:${String(place.port)}/${place.database}`,
  open: () => Promise.resolve(place),
  close: () => Promise.resolve(),
});

/** A cluster in the state directory; one gateway at a time. It stops with the gateway, however that ends. */
export function embeddedHome(directory: string, log: Logger): Home {
  let running: EmbeddedPostgres | undefined;
  return {
    name: `the embedded Postgres in ${directory}`,
    async open() {
      if (running === undefined) {
        const started = await startEmbeddedPostgres({
          directory: path.join(directory, 'postgres'),
          password: await keptPassword(path.join(directory, 'postgres.password')),
          settings: { max_connections: 40, shared_buffers: '32MB' },
          say: (line) => log.info({}, line),
        });
        running = started;
        void started.exited.then(() => {
          if (running === started) running = undefined;
        });
      }
      const { host, port, user, password } = running;
      return { host, port, user, password, database: 'postgres' };
    },
    async close() {
      await running?.stop();
    },
  };
}

/** Made once; what is there is used. */
async function keptPassword(file: string): Promise<string> {
  const text = (await keptSecret(file, () => `${randomBytes(24).toString('base64url')}\n`)).trim();
  if (text === '') throw new ConfigError(`${file} is empty: restore it, or remove it together with the database`);
  return text;
}
