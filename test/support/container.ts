import { spawn, type ChildProcess } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Upgrading } from './web.js';

/**
 * A container as an API server gives it away over WebSocket: `exec` runs the command as a process of this machine, `attach`
 * echoes. What a program writes comes in the messages in which an API server sends it, its end as a Status.
 */
export interface Container {
  readonly upgrade: Upgrading;
  /** What was asked to run, and how it ended once it has. */
  readonly ran: { readonly argv: readonly string[]; readonly protocol: string; ended: boolean }[];
  /** Resolves once the condition holds; it is looked at with everything that happens. */
  until(holds: () => boolean): Promise<void>;
  close(): void;
}

export function createContainer(): Container {
  const ran: Container['ran'] = [];
  const waiting = new Set<() => void>();
  const open = new Set<WebSocket>();
  const changed = () => waiting.forEach((look) => look());
  const server = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => ['v5.channel.k8s.io', 'v4.channel.k8s.io'].find((name) => offered.has(name)) ?? false,
  });
  const upgrade: Upgrading = (request, socket: Duplex, head) => {
    const { searchParams, pathname } = new URL(request.url ?? '', 'http://server');
    if (!/\/pods\/web\/(exec|attach)$/.test(pathname)) return refuse(socket);
    server.handleUpgrade(request, socket, head, (client) => {
      open.add(client);
      const argv = searchParams.getAll('command');
      const one = { argv, protocol: client.protocol, ended: false };
      ran.push(one);
      const [program = 'cat', ...parameters] = argv;
      const child = spawn(program, parameters, { stdio: ['pipe', 'pipe', 'pipe'] });
      client.on('close', () => {
        open.delete(client);
        child.kill('SIGKILL');
      });
      join(client, child, () => {
        one.ended = true;
        changed();
      });
      changed();
    });
  };
  return {
    upgrade,
    ran,
    until: (holds) =>
      new Promise((resolve) => {
        const look = () => {
          if (!holds()) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    close: () => open.forEach((client) => client.terminate()),
  };
}

function join(client: WebSocket, child: ChildProcess, over: () => void): void {
  const say = (on: number, text: Buffer | string) => client.send(Buffer.concat([Buffer.from([on]), Buffer.from(text)]));
  say(1, '');
  child.stdin?.on('error', () => undefined);
  client.on('message', (data: Buffer) => {
    if (data[0] === 0) child.stdin?.write(data.subarray(1));
    if (data[0] === 255) child.stdin?.end();
  });
  for (const [on, stream] of [
    [1, child.stdout],
    [2, child.stderr],
  ] as const)
    stream?.on('data', (chunk: Buffer) => {
      say(on, chunk);
      if (client.bufferedAmount < 1_048_576) return;
      stream.pause();
      const resume = setInterval(() => {
        if (client.bufferedAmount > 262_144 && client.readyState === client.OPEN) return;
        clearInterval(resume);
        stream.resume();
      }, 5);
    });
  child.on('error', () => undefined);
  child.on('close', (code) => {
    over();
    say(3, JSON.stringify(statusOf(code ?? 137)));
    client.close(1000);
  });
}

const statusOf = (code: number) =>
  code === 0
    ? { metadata: {}, status: 'Success' }
    : {
        metadata: {},
        status: 'Failure',
        message: `command terminated with non-zero exit code: exit status ${code}`,
        reason: 'NonZeroExitCode',
        details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
      };

function refuse(socket: Duplex): void {
  const text = JSON.stringify({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: 'pods "other" not found',
    reason: 'NotFound',
    code: 404,
  });
  socket.end(
    `HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: ${String(Buffer.byteLength(text))}\r\nconnection: close\r\n\r\n${text}`,
  );
}
