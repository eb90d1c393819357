import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parse, stringify } from 'yaml';
import { packageRoot } from '../../bundles/index.js';
import type { TestGateway } from './gateway.js';
import type { TestDatabase } from './postgres.js';

/** A gateway in a process of its own, which can be killed as a machine kills it. */
export interface ChildGateway {
  readonly host: string;
  readonly port: number;
  /** SIGKILL: it says good-bye to nobody. Resolves when it is gone. */
  kill(): Promise<void>;
}

/** A replica of this one: same policy, issuer and targets, with a state directory and an audit of its own. */
export async function startChildGateway(like: TestGateway, database: TestDatabase): Promise<ChildGateway> {
  const own = join(like.folder, 'child');
  await mkdir(own);
  const config = parse(await readFile(join(like.folder, 'sallyport.yaml'), 'utf8')) as {
    state: Record<string, unknown>;
    audit: unknown;
  };
  config.state['directory'] = './child/state';
  config.audit = { sinks: [{ file: './child/audit.jsonl' }] };
  const file = join(like.folder, 'child.yaml');
  await writeFile(file, stringify(config));
  const child = spawn(process.execPath, [join(packageRoot, 'bin/sallyport.js'), 'run', '-c', file], {
    env: { ...process.env, UPSTREAM_PASSWORD: database.password },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const gone = once(child, 'exit');
  const kill = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await gone;
  };
  try {
    return { ...(await listening(child)), kill };
  } catch (error) {
    await kill();
    throw error;
  }
}

/** Where it listens for Postgres, as it says in its log, once its state is open. */
async function listening(child: ChildProcess): Promise<{ host: string; port: number }> {
  const said: string[] = [];
  let place: { host: string; port: number } | undefined;
  let open = false;
  for await (const line of createInterface({ input: child.stderr! })) {
    said.push(line);
    const entry = line.startsWith('{') ? (JSON.parse(line) as Record<string, unknown>) : {};
    if (entry['msg'] === 'listening' && entry['protocol'] === 'postgres')
      place = { host: String(entry['host']), port: Number(entry['port']) };
    open ||= entry['msg'] === 'the state database is open';
    if (place !== undefined && open) {
      child.stderr!.resume();
      return place;
    }
  }
  throw new Error(`the gateway ended before it listened:\n${said.join('\n')}`);
}
