import { constants } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Client, ListenAddress, Listener, Services } from '../../../protocol.js';
import { answerOf, boundsOf, ConnectionSessions, doorwayOf, noteCertificate, sendProblem } from '../../../web/index.js';
import { Interception } from './interception.js';
import { refuseBlind, refuseTwice } from './routes.js';
import { Tunnelling } from './tunnelling.js';

/**
 * The proxy that agents go out to the internet through (`HTTPS_PROXY`). It knows one method, CONNECT: what would travel in clear is
 * not sent at all, and what is named by no target is refused.
 */

const header_bytes_max = 32_768;

export async function listenEgress(address: ListenAddress, services: Services): Promise<Listener> {
  refuseTwice(services);
  const { tls, authority } = address;
  if (authority === undefined) refuseBlind(services);
  const bounds = boundsOf(address);
  const { greeting_ms_max } = bounds;
  const interception = authority === undefined ? undefined : new Interception(services, authority);
  const options = { maxHeaderSize: header_bytes_max, headersTimeout: greeting_ms_max, requestTimeout: greeting_ms_max };
  const server =
    tls === undefined
      ? createServer(options)
      : createTlsServer({
          ...{ ...options, cert: tls.certificate, key: tls.key, minVersion: 'TLSv1.2' },
          // Whether a certificate is good is said where it is looked at, and why not. Every connection shows its own anew.
          ...(tls.clientAuthorities === undefined
            ? {}
            : {
                ...{ ca: tls.clientAuthorities, requestCert: true, rejectUnauthorized: false },
                secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
              }),
        });
  if (tls?.clientAuthorities !== undefined) server.prependListener('secureConnection', noteCertificate);
  const doorway = doorwayOf(server, bounds, 'connect');
  const sessions = new ConnectionSessions();
  /** All that asked for a tunnel: the server knows of them no more. */
  const bare = new Set<Socket>();
  server.on('request', refuseRequest);
  server.on('connect', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    // Whoever takes it sees its end by its close.
    socket.on('error', () => undefined);
    bare.add(socket);
    socket.once('close', () => bare.delete(socket));
    try {
      const one = new Tunnelling(request, answerOf(request, socket), {
        ...{ services, sessions, head, interception },
        client: clientOf(socket),
      });
      void one.run();
    } catch {
      // Sent behind a request that has no answer yet, it cannot be answered itself. Nobody catches what is thrown from here.
      socket.destroy();
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, resolve);
  });
  const { address: host, port } = server.address() as AddressInfo;
  return {
    protocol: 'egress',
    address: { host, port },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      interception?.close();
      for (const socket of bare) socket.destroy();
      server.closeAllConnections();
      await closed;
      doorway.close();
    },
  };
}

function clientOf(socket: Socket): Client {
  const { remoteAddress = '', remotePort = 0 } = socket;
  const address = remoteAddress.replace(/^::ffff:/, '');
  const local = address === '::1' || /^127\./.test(address);
  return { address, port: remotePort, confidential: socket instanceof TLSSocket || local };
}

/** Everything but CONNECT: also "GET http://host/", which would go out in clear. */
function refuseRequest(_request: IncomingMessage, response: ServerResponse): void {
  response.on('error', () => undefined);
  response.shouldKeepAlive = false;
  sendProblem(response, {
    status: 405,
    code: 'connect_only',
    title: 'Request refused',
    detail:
      'this is the egress proxy: it takes CONNECT alone, so ask for https:// addresses; http:// would travel in clear',
    fields: { allow: 'CONNECT', connection: 'close' },
  });
}
