import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

/** OPAL, as a peer to measure beside: its server watches a repository, its client puts what changed into a plain OPA. */
export interface Opal {
  /** Tells the server of a push, as a forge's webhook does. */
  pushed(): Promise<void>;
  /** Whether OPA, as OPAL last filled it, allows this subject. */
  allows(subject: string): Promise<boolean>;
  close(): Promise<void>;
}

export const opalInstalled = (): boolean => {
  try {
    for (const program of ['opal-server', 'opal-client']) execFileSync(program, ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** Both ends and OPA on this machine, filled from `repository` before it resolves. */
export async function startOpal(options: { folder: string; repository: string; opa: string }): Promise<Opal> {
  const { folder, repository, opa } = options;
  const [server, client, store] = [await freePort(), await freePort(), await freePort()];
  const children: ChildProcess[] = [];
  const start = (program: string, args: string[], env: Record<string, string> = {}) => {
    const cwd = path.join(folder, `opal-${String(children.length)}`);
    mkdirSync(cwd);
    children.push(spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: 'ignore' }));
  };
  const close = async () => {
    const ended = children.map((child) => new Promise((resolve) => child.once('exit', resolve)));
    for (const child of children) child.kill();
    const late = setTimeout(() => children.forEach((child) => child.kill('SIGKILL')), 5_000);
    await Promise.all(ended);
    clearTimeout(late);
  };
  start(opa, ['run', '--server', '--addr', `127.0.0.1:${String(store)}`]);
  start('opal-server', ['run', '--engine-type', 'uvicorn'], {
    OPAL_POLICY_REPO_URL: repository,
    OPAL_POLICY_REPO_MAIN_BRANCH: 'main',
    OPAL_POLICY_REPO_CLONE_PATH: path.join(folder, 'opal-clone'),
    OPAL_POLICY_REPO_WEBHOOK_PARAMS: JSON.stringify({
      ...{ secret_header_name: 'x-secret', secret_type: 'token', secret_parsing_regex: '(.*)' },
      ...{ event_header_name: 'x-event', push_event_value: 'push', match_sender_url: false },
    }),
    OPAL_DATA_CONFIG_SOURCES: '{"config":{"entries":[]}}',
    OPAL_SERVER_PORT: String(server),
    UVICORN_NUM_WORKERS: '1',
  });
  const allows = async (subject: string) => {
    const answer = await fetch(`http://127.0.0.1:${String(store)}/v1/data/policy/postgres/allow`, {
      method: 'POST',
      body: JSON.stringify({ input: { principal: { subject } } }),
    }).catch(() => undefined);
    const { result } = ((await answer?.json()) ?? {}) as { result?: unknown[] };
    return (result?.length ?? 0) > 0;
  };
  const pushed = async () => {
    const { ok, status } = await fetch(`http://127.0.0.1:${String(server)}/webhook`, {
      method: 'POST',
      headers: { 'x-event': 'push', 'content-type': 'application/json' },
      body: JSON.stringify({ repository: { clone_url: repository, full_name: 'bench/policy' } }),
    });
    if (!ok) throw new Error(`OPAL's server answers a push with ${String(status)}`);
  };
  try {
    await untilTrue(() => fetch(`http://127.0.0.1:${String(server)}/healthcheck`).then(({ ok }) => ok, () => false)); // prettier-ignore
    start('opal-client', ['run', '--engine-type', 'uvicorn'], {
      OPAL_SERVER_URL: `http://127.0.0.1:${String(server)}`,
      OPAL_INLINE_OPA_ENABLED: 'false',
      OPAL_POLICY_STORE_URL: `http://127.0.0.1:${String(store)}`,
      OPAL_CLIENT_API_SERVER_HOST: '127.0.0.1',
      OPAL_CLIENT_API_SERVER_PORT: String(client),
    });
    await untilTrue(() => allows('agent:1'));
  } catch (error) {
    await close();
    throw error;
  }
  return { pushed, allows, close };
}

export async function untilTrue(holds: () => Promise<boolean>): Promise<void> {
  const late = performance.now() + 60_000;
  while (!(await holds())) {
    if (performance.now() > late) throw new Error('OPAL did not get there within a minute');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
