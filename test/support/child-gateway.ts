import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parse, stringify } from 'yaml';
import { packageRoot } from '../../bundles/index.js';
import type { TestGateway } from './gateway.js';
import { caller } from './https.js';
import type { TestDatabase } from './postgres.js';

/** A gateway in a process of its own, which can be killed as a machine kills it. */
export interface ChildGateway {
  readonly host: string;
  readonly port: number;
  /** Its API. */
  readonly call: ReturnType<typeof caller>;
  /** SIGKILL: it says good-bye to nobody. Resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGTERM, as a service manager ends it. Resolves when it is gone. */
  stop(): Promise<void>;
}

/**
 * Beside this one: same policy, issuer and targets, with a state directory and an audit of its own in the folder `name`; started
 * again under the same name, it finds what it left.
 *
 * @param options.state Default: the state of this one, whose replica it is. `own`: the Postgres that it starts for itself.
 */
export async function startChildGateway(
  like: TestGateway,
  database: TestDatabase,
  { name = 'child', state = 'shared' }: { readonly name?: string; readonly state?: 'shared' | 'own' } = {},
): Promise<ChildGateway> {
  const folder = join(like.folder, name);
  await mkdir(folder, { recursive: true });
  const config = parse(await readFile(join(like.folder, 'sallyport.yaml'), 'utf8')) as {
    state: Record<string, unknown>;
    listen: Record<string, unknown>;
    audit: unknown;
  };
  config.state['directory'] = `./${name}/state`;
  if (state === 'own') delete config.state['postgres'];
  config.listen['https'] = '127.0.0.1:0';
  config.audit = { sinks: [{ file: `./${name}/audit.jsonl` }] };
  const file = join(like.folder, `${name}.yaml`);
  await writeFile(file, stringify(config));
  const child = spawn(process.execPath, [join(packageRoot, 'bin/sallyport.js'), 'run', '-c', file], {
    env: { ...process.env, UPSTREAM_PASSWORD: database.password },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const gone = once(child, 'exit');
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await gone;
  };
  try {
    const { postgres, https } = await listening(child);
    const ca = await readFile(join(folder, 'state/https.pem'), 'utf8');
    return { ...postgres, call: caller({ ...https, ca }), kill: () => end('SIGKILL'), stop: () => end('SIGTERM') };
  } catch (error) {
    await end('SIGKILL');
    throw error;
  }
}

interface Place {
  readonly host: string;
  readonly port: number;
}

/** Where it listens, as it says in its log, once its state is open. */
async function listening(child: ChildProcess): Promise<{ postgres: Place; https: Place }> {
  const said: string[] = [];
  let postgres: Place | undefined;
  let https: Place | undefined;
  let open = false;
  for await (const line of createInterface({ input: child.stderr! })) {
    said.push(line);
    const entry = line.startsWith('{') ? (JSON.parse(line) as Record<string, unknown>) : {};
    if (entry['msg'] === 'listening') {
      const place = { host: String(entry['host']), port: Number(entry['port']) };
      if (entry['protocol'] === 'postgres') postgres = place;
      if (entry['protocol'] === 'https') https = place;
    }
    open ||= entry['msg'] === 'the state database is open';
    if (postgres !== undefined && https !== undefined && open) {
      child.stderr!.resume();
      return { postgres, https };
    }
  }
  throw new Error(`the gateway ended before it listened:\n${said.join('\n')}`);
}
