import type { IncomingHttpHeaders } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { HeaderReader, HeaderWriter } from '../../gateway/protocols/kubernetes/streams/spdy-headers.js';
import { dataFrame, FrameReader, replyFrame, type Frame } from '../../gateway/protocols/kubernetes/streams/spdy.js';
import type { Upgrading } from './web.js';

/** An API server that forwards ports of a pod, which are ports of this machine, over WebSocket: as streams, or as channels. */
export interface Forwarder {
  readonly upgrade: Upgrading;
  /** The ports that were connected to, in their order. */
  readonly ports: number[];
  /** How many connections are open now. */
  readonly open: Set<Socket>;
  close(): void;
}

const tunnel = 'SPDY/3.1+portforward.k8s.io';
const channels = 'v4.channel.k8s.io';

const chosen = (headers: IncomingHttpHeaders): string => {
  const offered = String(headers['x-protocol']).split(', ');
  return [tunnel, channels].find((name) => offered.includes(name)) ?? '';
};

export function createForwarder(): Forwarder {
  const ports: number[] = [];
  const open = new Set<Socket>();
  const clients = new Set<WebSocket>();
  const server = new WebSocketServer({ noServer: true });
  // The library takes no name of a protocol with a slash.
  server.on('headers', (lines: string[], { headers }) => lines.push(`Sec-WebSocket-Protocol: ${chosen(headers)}`));
  const dial = (port: number): Socket => {
    ports.push(port);
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    return socket;
  };
  return {
    ports,
    open,
    upgrade: (request, socket: Duplex, head) => {
      const protocol = request.headers['sec-websocket-protocol'];
      request.headers['x-protocol'] = protocol;
      delete request.headers['sec-websocket-protocol'];
      server.handleUpgrade(request, socket, head, (client) => {
        clients.add(client);
        client.on('error', () => undefined);
        if (chosen(request.headers) === tunnel) return asStreams(client, dial);
        const { searchParams } = new URL(request.url ?? '', 'http://server');
        asChannels(client, searchParams.getAll('ports').map(Number), dial);
      });
    },
    close: () => clients.forEach((client) => client.terminate()),
  };
}

interface Pair {
  error?: number;
  data?: number;
  socket?: Socket;
}

function asStreams(client: WebSocket, dial: (port: number) => Socket): void {
  const reader = new FrameReader();
  const headers = { read: new HeaderReader(), write: new HeaderWriter() };
  const pairs = new Map<string, Pair>();
  const byStream = new Map<number, Pair>();
  const said = (frame: Frame) => {
    if (frame.type === 'open') {
      const read = headers.read.read(frame.headers);
      const id = read.get('requestid') ?? '';
      const pair = pairs.get(id) ?? {};
      pairs.set(id, pair);
      byStream.set(frame.stream, pair);
      pair[read.get('streamtype') as 'error' | 'data'] = frame.stream;
      client.send(replyFrame(frame.stream, headers.write.write({})));
      if (pair.error !== undefined && pair.data !== undefined) join(pair, dial(Number(read.get('port'))));
    }
    if (frame.type === 'data') {
      const { data, socket } = byStream.get(frame.stream) ?? {};
      if (frame.stream !== data || socket === undefined) return;
      socket.write(frame.data);
      if (frame.fin) socket.end();
    }
    if (frame.type === 'reset') byStream.get(frame.stream)?.socket?.destroy();
  };
  const join = (pair: Pair, socket: Socket) => {
    pair.socket = socket;
    const [error = 0, data = 0] = [pair.error, pair.data];
    socket.on('data', (chunk: Buffer) => client.send(dataFrame(data, chunk, false)));
    socket.on('end', () => {
      client.send(dataFrame(data, Buffer.alloc(0), true));
      client.send(dataFrame(error, Buffer.alloc(0), true));
    });
    socket.on('error', ({ message }) => {
      client.send(dataFrame(error, Buffer.from(message), true));
      client.send(dataFrame(data, Buffer.alloc(0), true));
    });
  };
  client.on('message', (message: Buffer) => reader.push(message).forEach(said));
  client.on('close', () => pairs.forEach(({ socket }) => socket?.destroy()));
}

function asChannels(client: WebSocket, ports: readonly number[], dial: (port: number) => Socket): void {
  const sockets = ports.map((port, index) => {
    const named = Buffer.alloc(2);
    named.writeUInt16LE(port);
    for (const on of [2 * index, 2 * index + 1]) client.send(Buffer.concat([Buffer.from([on]), named]));
    const socket = dial(port);
    socket.on('data', (chunk: Buffer) => client.send(Buffer.concat([Buffer.from([2 * index]), chunk])));
    socket.on('error', ({ message }) => client.send(Buffer.from(`${String.fromCharCode(2 * index + 1)}${message}`)));
    return socket;
  });
  client.on('message', (message: Buffer) => sockets[message[0]! / 2]?.write(message.subarray(1)));
  client.on('close', () => sockets.forEach((socket) => socket.destroy()));
}
