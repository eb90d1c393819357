import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { PolicyFiles } from './gateway.js';
import { createIdentityProvider, type IdentityProvider } from './idp.js';

/** A gateway as it ships, in a process of its own, so that what it holds and uses is told apart from its clients and servers. */
export interface MeasuredGateway {
  readonly pid: number;
  /** Of its HTTPS listener. */
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  readonly folder: string;
  readonly idp: IdentityProvider;
  measure(): Promise<Measured>;
  close(): Promise<void>;
}

export interface Measured {
  /** After a collection: V8's heap, and what hangs on it outside. */
  readonly memory_bytes: number;
  readonly resident_bytes: number;
  readonly descriptors: number;
  /** What keeps it running, by Node's name of its kind. */
  readonly handles: Readonly<Record<string, number>>;
}

export interface MeasuredOptions {
  readonly policy: PolicyFiles;
  readonly targets: readonly Readonly<Record<string, unknown>>[];
  /** Further keys of `audit`. */
  readonly audit?: Readonly<Record<string, unknown>>;
  /** Further flags of Node. */
  readonly flags?: readonly string[];
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const start_ms_max = 60_000;
const end_ms_max = 20_000;

export async function startMeasuredGateway({
  policy,
  targets,
  audit = {},
  flags = [],
}: MeasuredOptions): Promise<MeasuredGateway> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-measured-'));
  const idp = await createIdentityProvider();
  let child: ChildProcess | undefined;
  const close = async () => {
    if (child !== undefined) await end(child);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await mkdir(join(folder, 'policy'));
    for (const [file, text] of Object.entries(policy)) await writeFile(join(folder, 'policy', file), text ?? '');
    await idp.writeJwks(join(folder, 'jwks.json'));
    const file = join(folder, 'sallyport.yaml');
    await writeFile(file, stringify(configuration(idp, targets, audit)));
    child = run(folder, [...flags, join(root, 'bin/sallyport.js'), 'run', '-c', file]);
    const [, host = '', port = ''] = await said(child, /^sallyport: https on ([^ ]+):(\d+)/m, folder);
    const ca = await readFile(join(folder, 'state/https.pem'), 'utf8');
    const started = child;
    const measure = async () => {
      started.send('measure');
      return ((await once(started, 'message')) as [Measured])[0];
    };
    return { pid: child.pid ?? 0, host, port: Number(port), ca, folder, idp, measure, close };
  } catch (error) {
    await close();
    throw error;
  }
}

const configuration = (
  idp: IdentityProvider,
  targets: MeasuredOptions['targets'],
  audit: Readonly<Record<string, unknown>>,
) => ({
  listen: { https: '127.0.0.1:0' },
  identity: {
    providers: [
      {
        name: 'tests',
        type: 'oidc',
        issuer: idp.issuer,
        audience: idp.audience,
        jwks: { file: './jwks.json' },
        algorithms: ['ES256'],
      },
    ],
    token_lifetime_max: '1h',
  },
  policy: { directory: './policy' },
  targets,
  state: { directory: './state' },
  audit: { ...audit, sinks: [{ file: './audit.jsonl' }] },
});

/** What it logs goes to a file: nobody here has to read along. */
function run(folder: string, args: readonly string[]): ChildProcess {
  const log = openSync(join(folder, 'log'), 'a');
  try {
    const measuring = join(root, 'test/support/measuring.mjs');
    return spawn(process.execPath, ['--expose-gc', '--import', measuring, ...args], {
      stdio: ['ignore', 'pipe', log, 'ipc'],
    });
  } finally {
    closeSync(log);
  }
}

async function said(child: ChildProcess, wanted: RegExp, folder: string): Promise<RegExpExecArray> {
  let text = '';
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      clearTimeout(timer);
      readFile(join(folder, 'log'), 'utf8').then(
        (log) => reject(new Error(`the gateway ${why}:\n${text}\n${log.slice(-2_000)}`)),
        reject,
      );
    };
    const timer = setTimeout(() => fail('did not start'), start_ms_max);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => fail(`ended with ${String(code)}`));
    child.stdout!.on('data', (chunk: Buffer) => {
      // Once it listens, nothing that it says is of interest.
      if (text.length < 100_000) text += chunk.toString();
      const found = wanted.exec(text);
      if (found === null) return;
      clearTimeout(timer);
      resolve(found);
    });
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), end_ms_max);
  await gone;
  clearTimeout(timer);
}
