import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, type Config } from '../../gateway/config/index.js';
import { PostgresUpstreamSchema } from '../../gateway/protocols/postgres/config.js';
import type { Protocol } from '../../gateway/protocol.js';

/** A row of the registry that has a real upstream and listens for nobody. */
export const postgres: Protocol = {
  name: 'postgres',
  upstreamSchema: PostgresUpstreamSchema,
  operationSchema: {},
  actions: [],
  listen: () => Promise.reject(new Error('nothing listens in these tests')),
};

const builtIn = [postgres];

/** Runs `use` with the path of a scratch folder that is gone afterwards. */
export async function inScratch<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-config-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The least that a file must say, by part, so that a test can replace the part it is about. */
export const parts = {
  listen: 'listen:\n  postgres: 127.0.0.1:0\n',
  identity:
    'identity:\n  providers:\n    - name: company\n      type: oidc\n      issuer: https://idp.example\n      audience: sallyport\n',
  policy: 'policy:\n  directory: .\n',
  targets:
    'targets:\n  - name: orders\n    protocol: postgres\n    upstream: {host: 127.0.0.1, database: shop, user: gateway}\n',
};

export async function load(
  source: string,
  options: { env?: NodeJS.ProcessEnv; protocols?: readonly Protocol[]; files?: Record<string, string> } = {},
): Promise<Config> {
  return inScratch(async (folder) => {
    for (const [name, content] of Object.entries(options.files ?? {})) await writeFile(join(folder, name), content);
    const file = join(folder, 'sallyport.yaml');
    await writeFile(file, source);
    return loadConfig(file, { env: options.env ?? {}, protocols: options.protocols ?? builtIn });
  });
}

/** The problems of a file that must not load, each as "line:column: key: message". */
export async function problems(source: string, options: Parameters<typeof load>[1] = {}): Promise<string[]> {
  const error: unknown = await load(source, options).then(
    () => new Error('the file loaded'),
    (reason: unknown) => reason,
  );
  return (error as Error).message.split('\n').map((line) => line.replace(/^.*sallyport\.yaml:/u, ''));
}
