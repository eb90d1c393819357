import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import type { ApprovalRequest, AnswerInput } from '../../gateway/approvals/index.js';
import { startTestGateway, type PolicyFiles, type TestGateway } from './gateway.js';
import { caller } from './https.js';
import type { TokenOptions } from './idp.js';
import { createDatabase, type TestDatabase } from './postgres.js';

/** A gateway with one target that speaks HTTP, and that target: a real server that keeps what it was asked. */
export interface Web {
  readonly gateway: TestGateway;
  readonly upstream: WebUpstream;
  readonly port: number;
  readonly ca: string;
  /** One request as it is written here, in a connection of its own. */
  readonly call: ReturnType<typeof caller>;
  bearer(options?: TokenOptions): Promise<Record<string, string>>;
  /** These bytes, as they are, in a connection of their own; everything that came back until it was closed. */
  raw(bytes: string | Buffer): Promise<string>;
  /** The next request that waits for people. */
  waiting(): Promise<ApprovalRequest>;
  answer(kind: AnswerInput['kind'], id: string): Promise<void>;
  close(): Promise<void>;
}

export interface Heard {
  readonly method: string;
  readonly url: string;
  readonly raw: readonly string[];
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

export type Upgrading = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface WebUpstream {
  readonly port: number;
  readonly heard: Heard[];
  /** How it answers from now on; by default with what it heard, as JSON. */
  answers(how: (request: Heard, response: ServerResponse) => void): void;
  /** What it does from now on with a request for another protocol; by default it closes the connection. */
  upgrades(how: Upgrading): void;
  close(): Promise<void>;
}

export interface WebOptions {
  readonly policy: PolicyFiles;
  /** Of the target; its URL is the server's own. Of a protocol that has no URL: the whole of its upstream. */
  readonly target?: Readonly<Record<string, unknown>>;
  readonly upstream?: (port: number) => Readonly<Record<string, unknown>>;
  readonly base?: string;
  /** Whether there is a state in which people are asked. */
  readonly people?: boolean;
  readonly protocol?: string;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly now?: () => number;
}

export async function startWebUpstream(): Promise<WebUpstream> {
  const heard: Heard[] = [];
  const echo = (request: Heard, response: ServerResponse) => {
    const body = JSON.stringify({ method: request.method, url: request.url });
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
    response.end(body);
  };
  let how: (request: Heard, response: ServerResponse) => void = echo;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', rawHeaders, headers } = request;
      const one = { method, url, raw: rawHeaders, headers, body: Buffer.concat(chunks) };
      heard.push(one);
      how(one, response);
    });
  });
  let upgrade: Upgrading = (_request, socket) => socket.destroy();
  server.on('upgrade', (request, socket: Duplex, head: Buffer) => {
    const { method = '', url = '', rawHeaders, headers } = request;
    heard.push({ method, url, raw: rawHeaders, headers, body: Buffer.alloc(0) });
    upgrade(request, socket, head);
  });
  await listening(server);
  return {
    port: (server.address() as AddressInfo).port,
    heard,
    answers: (other) => (how = other),
    upgrades: (other) => (upgrade = other),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const listening = (server: Server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));

/** Where the gateway does not start, nothing else stays open either. */
export async function startWeb(options: WebOptions): Promise<Web> {
  const upstream = await startWebUpstream();
  let state: TestDatabase | undefined;
  try {
    if (options.people === true) state = await createDatabase();
    return await startWebBefore(options, upstream, state);
  } catch (error) {
    await upstream.close();
    await state?.drop();
    throw error;
  }
}

async function startWebBefore(options: WebOptions, upstream: WebUpstream, state?: TestDatabase): Promise<Web> {
  const { policy, base = '', protocol = 'http' } = options;
  const nobody = { host: '127.0.0.1', port: 1, database: '', user: '', password: 'none', url: '' };
  const gateway = await startTestGateway({
    database: state ?? { ...nobody, sql: () => Promise.resolve([]), drop: () => Promise.resolve() },
    policy,
    ...(options.now === undefined ? {} : { now: options.now }),
    config: {
      listen: { postgres: '127.0.0.1:0', https: '127.0.0.1:0' },
      targets: [
        {
          name: 'cloud',
          protocol,
          upstream: options.upstream?.(upstream.port) ?? {
            url: `http://127.0.0.1:${String(upstream.port)}${base}`,
            ...options.target,
          },
        },
      ],
      ...(state === undefined ? {} : { state: { directory: './.sallyport', postgres: state.url } }),
      ...options.config,
    },
  });
  const listener = gateway.gateway.listeners.find((one) => one.protocol === 'https');
  if (listener === undefined) throw new Error('the gateway has no HTTPS listener');
  const { port } = listener.address;
  const ca = await readFile(join(gateway.folder, '.sallyport', 'https.pem'), 'utf8');
  return {
    gateway,
    upstream,
    port,
    ca,
    call: caller({ host: '127.0.0.1', port, ca }),
    bearer: async (token) => ({ authorization: `Bearer ${await gateway.token(token)}` }),
    raw: (bytes) => talk(connect({ host: '127.0.0.1', port, ca }), bytes),
    waiting: () => waitingRequest(gateway),
    answer: (kind, id) => answerAs(gateway, kind, id),
    close: async () => {
      await gateway.close();
      await upstream.close();
      await state?.drop();
    },
  };
}

/** Writes, and gives what came until the other side closed. */
function talk(socket: TLSSocket, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('secureConnect', () => socket.write(bytes));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
    });
    socket.once('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
  });
}

/** The first request that has come to this, or comes to it. */
export async function waitingRequest(
  { gateway: { approvers } }: TestGateway,
  status: ApprovalRequest['status'] = 'waiting',
): Promise<ApprovalRequest> {
  let told: () => void = () => undefined;
  const stop = approvers.subscribe(() => told());
  try {
    for (;;) {
      const event = new Promise<void>((resolve) => (told = resolve));
      const [request] = await approvers.list({ status });
      if (request !== undefined) return request;
      await event;
    }
  } finally {
    stop();
  }
}

export async function answerAs({ gateway, idp }: TestGateway, kind: AnswerInput['kind'], id: string): Promise<void> {
  const expires_ms = Date.now() + 60_000;
  const principal = {
    subject: 'ada@example.com',
    issuer: idp.issuer,
    kind: 'human' as const,
    groups: ['operators'],
    roles: [],
    attributes: {},
    token: { expires: new Date(expires_ms).toISOString() },
  };
  await gateway.approvers.answer(id, { principal, expires_ms }, { kind, through: 'api' });
}
