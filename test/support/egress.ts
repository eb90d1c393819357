import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { createAuthority, type Authority } from './certificates.js';
import type { TestGateway } from './gateway.js';

/** A place on the internet, and what a client says to the egress proxy to get there. */
export interface Outside {
  readonly port: number;
  readonly authority: Authority;
  /** What it was asked: "GET /path", and every connection that was made to it. */
  readonly heard: string[];
  readonly headers: Record<string, unknown>[];
  connections(): number;
  close(): Promise<void>;
}

/** An HTTPS server that calls itself localhost, and answers with what it was asked. */
export async function startOutside(): Promise<Outside> {
  const authority = createAuthority();
  const leaf = authority.issue();
  const heard: string[] = [];
  const headers: Record<string, unknown>[] = [];
  let connections = 0;
  const server: Server = createServer({ cert: leaf.certificate, key: leaf.key }, (request, response) => {
    heard.push(`${request.method ?? ''} ${request.url ?? ''}`);
    headers.push(request.headers);
    request.resume();
    if (request.url === '/large') return void response.end(Buffer.alloc(1_000_000, 'x'));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ email: 'ada@example.com', url: request.url }));
  });
  server.on('connection', () => connections++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    authority,
    heard,
    headers,
    connections: () => connections,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

export function egressPort({ gateway }: TestGateway): number {
  const listener = gateway.listeners.find(({ protocol }) => protocol === 'egress');
  if (listener === undefined) throw new Error('the gateway has no egress listener');
  return listener.address.port;
}

/** What the proxy said to a CONNECT, with the connection that it was said on. */
export interface Said {
  readonly status: number;
  readonly head: string;
  /** Of a refusal. */
  readonly body: string;
  readonly socket: Socket;
}

/** Writes these bytes to the proxy, and gives its answer: the head alone where it is 200, else all until the end. */
export async function say(port: number, bytes: string, tls?: string | ConnectionOptions): Promise<Said> {
  const place = { host: '127.0.0.1', port };
  const socket =
    tls === undefined ? connect(place) : connectTls({ ...place, ...(typeof tls === 'string' ? { ca: tls } : tls) });
  socket.on('error', () => undefined);
  socket.write(bytes);
  let text = '';
  for (;;) {
    const end = text.indexOf('\r\n\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
    const whole = end >= 0 && (status === 200 || text.length >= end + 4 + length);
    if (whole) return { status, head: text.slice(0, end), body: text.slice(end + 4), socket };
    const [chunk] = (await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [undefined])])) as [
      Buffer | undefined,
    ];
    if (chunk === undefined) return { status, head: text, body: '', socket };
    text += chunk.toString('latin1');
    socket.pause();
  }
}

export const connectTo = (place: string, token: string, more = ''): string =>
  `CONNECT ${place} HTTP/1.1\r\nHost: ${place}\r\nProxy-Authorization: Basic ${Buffer.from(`agent:${token}`).toString('base64')}\r\n${more}\r\n`;

/** TLS inside a tunnel; rejects with what went wrong. */
export async function secured(socket: Socket, options: ConnectionOptions): Promise<TLSSocket> {
  const inner = connectTls({ socket, ...options });
  await once(inner, 'secureConnect');
  inner.on('error', () => undefined);
  return inner;
}

/** One request on a connection, and everything until it is closed. */
export async function ask(socket: TLSSocket, bytes: string): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.write(bytes);
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}

/** The outside's authority as a file, for clients that read one. */
export async function authorityFile({ folder }: TestGateway, { authority }: { authority: { certificate: string } }) {
  const file = join(folder, 'outside.pem');
  await writeFile(file, authority.certificate);
  return file;
}
