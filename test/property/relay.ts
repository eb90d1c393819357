import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A TCP relay in front of a server that keeps every byte that goes there: what a gateway really sent. */
export interface Relay {
  readonly host: string;
  readonly port: number;
  /** Everything since the last `forget` on the connection that was opened last. */
  bytes(): Buffer;
  /** Texts of Query and Parse messages among these bytes, in order. */
  texts(): string[];
  forget(): void;
  close(): Promise<void>;
}

export async function startRelay(to: { host: string; port: number }): Promise<Relay> {
  let sent: Buffer[] = [];
  let last: symbol | undefined;
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(to);
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        open.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    const own = Symbol('connection');
    last = own;
    sent = [];
    client.on('data', (chunk: Buffer) => {
      if (last === own) sent.push(chunk);
    });
    client.pipe(upstream);
    upstream.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bytes = () => Buffer.concat(sent);
  return {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    bytes,
    texts: () => [...textsOf(bytes())],
    forget: () => (sent = []),
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Frames after the greeting: [type][length][body]. */
function* textsOf(all: Buffer): Generator<string> {
  for (let at = 0; at + 5 <= all.length;) {
    const type = String.fromCharCode(all[at]!);
    const end = at + 1 + all.readInt32BE(at + 1);
    const body = all.subarray(at + 5, end);
    if (type === 'Q') yield body.toString('utf8', 0, body.length - 1);
    if (type === 'P') {
      const text = body.indexOf(0) + 1;
      yield body.toString('utf8', text, body.indexOf(0, text));
    }
    at = end;
  }
}
