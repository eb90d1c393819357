import { once } from 'node:events';
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';
import type { Certificate } from './certificates.js';

/**
 * What stands in a server's place: a relay that writes down what passes through it, or a server that answers one thing.
 * With it a test can say what never left the gateway.
 */
export interface Witness {
  readonly host: string;
  readonly port: number;
  /** What each connection brought, oldest first; of TLS what was inside, without the request for it. */
  readonly heard: readonly Buffer[];
  close(): Promise<void>;
}

export interface Place {
  readonly host: string;
  readonly port: number;
}

/** The eight bytes by which a client asks for TLS. */
export const sslRequest = Buffer.from('0000000804d2162f', 'hex');

/** Passes everything on, both ways, in clear or in TLS as it comes; where to is asked anew for each connection. */
export const startRelay = (to: () => Place): Promise<Witness> =>
  witness(async (client, heard) => {
    const server = connectTcp(to());
    client.on('data', heard);
    await pass(client, server);
  });

/** Passes on what the server says in pieces of so many bytes, each in a turn of the event loop of its own. */
export const startTrickle = (to: () => Place, piece_bytes: number): Promise<Witness> =>
  witness(async (client, heard) => {
    const server = connectTcp(to());
    client.setNoDelay(true);
    client.on('data', heard);
    client.on('data', (bytes: Buffer) => server.write(bytes));
    client.on('close', () => server.destroy());
    try {
      for await (const said of server) {
        const bytes = said as Buffer;
        for (let at = 0; at < bytes.length && !client.destroyed; at += piece_bytes) {
          if (!client.write(bytes.subarray(at, at + piece_bytes))) await Promise.race([once(client, 'drain'), once(client, 'close')]); // prettier-ignore
          await new Promise(setImmediate);
        }
      }
    } finally {
      client.destroy();
    }
  });

/** A relay that knows how much it could pass on of what the server says: it reads no more of that than whoever connects takes. */
export interface Counting extends Witness {
  /** Bytes that a connection, counted from 0, has taken, once that has not changed for a second. */
  settled(connection: number): Promise<number>;
}

export async function startCounting(to: () => Place): Promise<Counting> {
  const passed: number[] = [];
  const relay = await witness(async (client, heard) => {
    const server = connectTcp(to());
    const index = passed.push(0) - 1;
    client.on('data', heard);
    client.on('data', (bytes: Buffer) => server.write(bytes));
    client.on('close', () => server.destroy());
    server.on('data', (bytes: Buffer) => (passed[index]! += bytes.length));
    server.on('error', () => client.destroy());
    server.pipe(client);
    await once(client, 'close');
  });
  return {
    ...relay,
    settled: async (connection) => {
      let last = -1;
      for (let same = 0; same < 10; await new Promise((resolve) => setTimeout(resolve, 100))) {
        const now = passed[connection] ?? 0;
        same = now > signed_in_bytes && now === last ? same + 1 : 0;
        last = now;
      }
      return last;
    },
  };
}

/** More than what a server says before it is asked anything. */
const signed_in_bytes = 10_000;

/**
 * Sits in the middle of a TLS connection, as somebody would who has a certificate that the client accepts: it reads
 * everything, and may change what the server says.
 */
export const startInterceptor = (
  certificate: Certificate,
  to: Place,
  edit: (fromServer: Buffer) => Buffer = (bytes) => bytes,
): Promise<Witness> =>
  witness(async (client, heard) => {
    const [request] = (await once(client, 'data')) as [Buffer];
    if (!request.equals(sslRequest)) throw new Error('expected a request for TLS and nothing behind it');
    const server = await requestTls(to);
    client.write('S');
    const inside = new TLSSocket(client, {
      isServer: true,
      secureContext: createSecureContext({ cert: certificate.certificate, key: certificate.key }),
      ALPNProtocols: ['postgresql'],
    });
    inside.on('data', heard);
    await pass(inside, server, edit);
  });

/** Answers the first bytes with these, and says nothing more. */
export const startAnswering = (answer: string): Promise<Witness> =>
  witness((client, heard) => {
    client.on('data', heard);
    client.once('data', () => client.write(answer));
    return Promise.resolve();
  });

async function witness(serve: (client: Socket, heard: (bytes: Buffer) => void) => Promise<void>): Promise<Witness> {
  const heard: Buffer[] = [];
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const index = heard.push(Buffer.alloc(0)) - 1;
    open.add(client);
    client.on('close', () => open.delete(client));
    client.on('error', () => undefined);
    serve(client, (bytes) => (heard[index] = Buffer.concat([heard[index] ?? Buffer.alloc(0), bytes]))).catch(() =>
      client.destroy(),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    heard,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

async function requestTls(to: Place): Promise<TLSSocket> {
  const plain = connectTcp(to);
  plain.write(sslRequest);
  const [answer] = (await once(plain, 'data')) as [Buffer];
  if (answer.toString() !== 'S') throw new Error('the server behind the interceptor speaks no TLS');
  const secure = connectTls({ socket: plain, rejectUnauthorized: false, ALPNProtocols: ['postgresql'] });
  await once(secure, 'secureConnect');
  return secure;
}

/** Resolves when either side is gone, and takes the other one with it. */
async function pass(client: Socket, server: Socket, edit = (bytes: Buffer) => bytes): Promise<void> {
  const gone = new Promise<void>((settle) => {
    for (const socket of [client, server]) {
      socket.on('error', () => settle());
      socket.on('close', () => settle());
    }
  });
  client.on('data', (bytes: Buffer) => server.write(bytes));
  server.on('data', (bytes: Buffer) => client.write(edit(bytes)));
  client.on('end', () => server.end());
  server.on('end', () => client.end());
  await gone;
  server.destroy();
  client.destroy();
}
