import ssh2, { type Client, type ClientChannel, type PseudoTtyOptions } from 'ssh2';
import { startTestGateway, type PolicyFiles, type TestGateway } from './gateway.js';
import type { TokenOptions } from './idp.js';
import { startSshHost, type SshHost } from './ssh-host.js';
import { Terminal } from './ssh-terminal.js';

/** A gateway before a host, and shells through it, with a terminal and without. */

export interface Shells {
  readonly gateway: TestGateway;
  readonly host: SshHost;
  /** Signs in, and out behind the work. */
  connected<T>(options: TokenOptions, work: (client: Client) => Promise<T>): Promise<T>;
  /** At its prompt. */
  terminal<T>(work: (shell: Terminal, client: Client) => Promise<T>, options?: TokenOptions): Promise<T>;
  /** Lines on standard input. */
  script(lines: string, options?: TokenOptions): Promise<Outcome>;
  close(): Promise<void>;
}

export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
  /** What reached the host. */
  readonly reached: readonly string[];
}

/** @param folder Where the host's commands run. */
export async function startShells(folder: string, policy: PolicyFiles): Promise<Shells> {
  const host = await startSshHost(folder);
  const upstream = { host: host.host, port: host.port, user: host.user, password: host.password };
  const gateway = await startTestGateway({
    protocol: 'ssh',
    policy,
    config: {
      listen: { ssh: '127.0.0.1:0' },
      recordings: { folder: './recordings' },
      targets: [{ name: 'build', protocol: 'ssh', upstream: { ...upstream, host_key: host.fingerprint } }],
    },
  });

  const connected: Shells['connected'] = async (options, work) => {
    const password = await gateway.token(options);
    const client = new ssh2.Client();
    await new Promise<void>((resolve, reject) => {
      client.on('ready', resolve).on('error', reject);
      client.connect({ host: gateway.host, port: gateway.port, username: 'build', password });
    });
    try {
      return await work(client);
    } finally {
      client.end();
    }
  };

  return {
    gateway,
    host,
    connected,
    terminal: (work, options = {}) =>
      connected(options, async (client) => {
        const shell = new Terminal(await shellOf(client, { rows: 24, cols: 80, term: 'xterm' }));
        await shell.until('$ ');
        return work(shell, client);
      }),
    script: (lines, options = {}) =>
      connected(options, async (client) => {
        const before = host.log.length;
        const channel = await shellOf(client, false);
        let [stdout, stderr] = ['', ''];
        let code: number | null = null;
        channel.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
        channel.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
        channel.on('exit', (given: number | null) => (code = given));
        const over = new Promise<void>((resolve) => channel.once('close', () => resolve()));
        channel.end(lines);
        await over;
        return { stdout, stderr, code, reached: host.log.slice(before) };
      }),
    close: async () => {
      await gateway.close();
      await host.close();
    },
  };
}

/** @param window False: without a terminal. */
export const shellOf = (client: Client, window: PseudoTtyOptions | false): Promise<ClientChannel> =>
  new Promise((resolve, reject) =>
    client.shell(window, (error: Error | undefined, opened: ClientChannel) =>
      error ? reject(error) : resolve(opened),
    ),
  );
