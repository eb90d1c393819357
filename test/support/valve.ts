import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Place } from './relay.js';

/** A way to a server that can be shut and opened again, or stand open with nothing coming through. */
export interface Valve {
  readonly host: string;
  readonly port: number;
  /** open: everything passes. shut: connections break, and none is made. stuck: they stand, and no byte passes. */
  set(state: 'open' | 'shut' | 'stuck'): void;
  close(): Promise<void>;
}

export async function startValve(to: Place): Promise<Valve> {
  let state: 'open' | 'shut' | 'stuck' = 'open';
  const sockets = new Set<Socket>();
  const keep = (socket: Socket, other: () => Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      sockets.delete(socket);
      other().destroy();
    });
  };
  const server = createServer((client) => {
    if (state === 'shut') {
      client.destroy();
      return;
    }
    const upstream = connect(to.port, to.host);
    keep(client, () => upstream);
    keep(upstream, () => client);
    // What comes while it is stuck stays in it, and passes when it opens.
    client.on('data', (bytes) => upstream.write(bytes));
    upstream.on('data', (bytes) => client.write(bytes));
    if (state === 'stuck') for (const socket of [client, upstream]) socket.pause();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    set(next) {
      state = next;
      for (const socket of [...sockets]) {
        if (next === 'shut') socket.destroy();
        else if (next === 'stuck') socket.pause();
        else socket.resume();
      }
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of [...sockets]) socket.destroy();
      await closed;
    },
  };
}
