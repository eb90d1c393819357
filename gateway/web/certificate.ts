import type { TLSSocket } from 'node:tls';
import type { ClientCertificate } from '../protocol.js';

/**
 * The certificates that clients showed in their handshakes. Each is noted once, together with what OpenSSL found out about it: a
 * connection that could show another one later (TLS 1.2 renegotiates) would bring that with the first one's good name.
 */
const noted = new WeakMap<object, ClientCertificate>();

/** Right after the handshake of a server that asks for certificates. */
export function noteCertificate(socket: TLSSocket): void {
  socket.disableRenegotiation();
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return;
  noted.set(socket, { der: certificate.raw, ...whyNot(socket) });
}

function whyNot(socket: TLSSocket): Pick<ClientCertificate, 'problem'> {
  // Whoever resumes a session shows nothing and signs nothing: it is only remembered what was so in another handshake.
  if (socket.isSessionReused()) return { problem: 'the session was resumed' };
  if (socket.authorized) return {};
  const error: unknown = socket.authorizationError;
  return { problem: error instanceof Error ? error.message : String(error) };
}

/** Undefined where the client showed none, or was not asked. */
export function certificateOf(socket: object): ClientCertificate | undefined {
  return noted.get(socket);
}
