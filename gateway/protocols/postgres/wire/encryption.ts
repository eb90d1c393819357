import { constants, X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { createSecureContext, createServer, TLSSocket, type SecureContext } from 'node:tls';
import { ProtocolError } from '../../../errors.js';
import type { ListenAddress } from '../../../protocol.js';
import { noteCertificate } from '../../../web/index.js';
import { endPointOf } from './end-point.js';

/** The gateway's side of TLS: what it shows, what it asks for, and the handshake on a connection that has begun without. */
export interface Tls {
  /** What clients may bind their sign-in to. */
  readonly endPoint: Buffer | undefined;
  /** Resolves after the handshake, to a paused socket. Rejects with ProtocolError where the connection ends before. */
  encrypt(plain: Socket): Promise<TLSSocket>;
}

const protocol = ['postgresql'];
const minVersion = 'TLSv1.2';

export function tlsOf({ certificate, key, clientAuthorities }: NonNullable<ListenAddress['tls']>): Tls {
  const context = createSecureContext({ cert: certificate, key, minVersion });
  return {
    endPoint: endPointOf(new X509Certificate(certificate).raw),
    encrypt: (plain) =>
      clientAuthorities === undefined
        ? begin(plain, context)
        : ask(plain, { cert: certificate, key, ca: clientAuthorities }),
  };
}

async function begin(plain: Socket, secureContext: SecureContext): Promise<TLSSocket> {
  const secure = new TLSSocket(plain, { isServer: true, secureContext, ALPNProtocols: protocol });
  secure.on('error', () => plain.destroy());
  const handshake = new Promise<void>((resolve) => secure.once('secure', () => resolve()));
  await Promise.race([handshake, over(secure)]);
  return secure.pause();
}

/**
 * The same, with a look at the client's certificate. Only a server of Node's tells what OpenSSL thinks of it; one for each
 * connection, so that no two can be taken for each other. None is refused here: who shows one that is not good is told so.
 */
async function ask(plain: Socket, how: { readonly cert: string; readonly key: string; readonly ca: string }) {
  const server = createServer({
    ...{ ...how, minVersion, ALPNProtocols: protocol, requestCert: true, rejectUnauthorized: false },
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  });
  const handshake = new Promise<TLSSocket>((resolve) => {
    server.once('secureConnection', (secure) => {
      secure.on('error', () => plain.destroy());
      noteCertificate(secure);
      resolve(secure.pause());
    });
  });
  server.on('tlsClientError', () => plain.destroy());
  server.emit('connection', plain);
  return Promise.race([handshake, over(plain)]);
}

const over = (socket: Socket) =>
  new Promise<never>((_, reject) => {
    socket.once('close', () => reject(new ProtocolError('the TLS handshake failed')));
  });
