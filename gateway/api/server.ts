import { constants } from 'node:crypto';
import { createServer, type Server as HttpsServer } from 'node:https';
import type { TlsOptions } from 'node:tls';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { ListenAddress, Listener, Mount } from '../protocol.js';
import { boundsOf, doorwayOf, isSpoken, noteCertificate, type Doorway } from '../web/index.js';
import { byPrefix, upgradeByPrefix } from './mounts.js';
import { addressOf, Problem, problemOf, sendProblem } from './problem.js';
import { Rates } from './rates.js';

/** The one HTTPS listener. What is reached through it are gates: the API, the console, and protocols that speak HTTP. */
export type App = FastifyInstance<HttpsServer>;

/** Adds its routes; what it registers there (hooks, parsers, error handlers) stays its own. */
export interface HttpGate {
  readonly name: string;
  register(app: App): void | Promise<void>;
}

export interface HttpsOptions {
  readonly address: ListenAddress & { readonly tls: NonNullable<ListenAddress['tls']> };
  readonly gates: readonly HttpGate[];
  /** Asked before the gates, and with the request as it came: nothing of it is read or decoded before. */
  readonly mounts?: readonly Mount[];
  readonly log: Logger;
  readonly now: () => number;
  /** Whether browsers shall insist on TLS from now on: not for a certificate that they warn of. */
  readonly strictTransport: boolean;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A file out of memory, the same for everybody: counted apart from what makes the gateway do something. */
    readonly isPage?: boolean;
  }
}

const body_bytes_max = 262_144;
const header_bytes_max = 32_768;
/** For a request to the gates to arrive whole. */
const gate_ms_max = 30_000;
/** Between two requests on one connection. */
const idle_ms_max = 60_000;
const requests_burst = 300;
const requests_perSecond = 60;
/** A page of the console is some forty small files out of memory: who looks through it asks for hundreds. */
const pages_burst = 3_000;
const pages_perSecond = 300;

/**
 * Certificates are asked for, and none is refused here: who has one that is not good is told so in their own protocol, and it is in
 * the audit. Every connection shows its own anew: with sessions that are resumed, one would be good for longer than it says.
 */
const asking = (authorities: string | undefined): TlsOptions =>
  authorities === undefined
    ? {}
    : {
        ...{ ca: authorities, requestCert: true, rejectUnauthorized: false },
        secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
      };

export async function listenHttps(options: HttpsOptions): Promise<Listener> {
  const { address, gates, log, now } = options;
  const { mounts = [] } = options;
  const bounds = boundsOf(address);
  // A name of this machine may be two addresses, and so two servers.
  const doorways: Doorway[] = [];
  const app: App = Fastify({
    serverFactory: (handler) => {
      const server = createServer(
        {
          cert: address.tls.certificate,
          key: address.tls.key,
          ...asking(address.tls.clientAuthorities),
          minVersion: 'TLSv1.2',
          maxHeaderSize: header_bytes_max,
          headersTimeout: Math.min(bounds.greeting_ms_max, bounds.request_ms_max),
          connectionsCheckingInterval: Math.ceil(bounds.greeting_ms_max / 2),
          // Bodies of what is mounted may take longer; the gates' own have a time of their own.
          requestTimeout: bounds.request_ms_max,
          keepAliveTimeout: idle_ms_max,
        },
        byPrefix(mounts, handler, Math.min(gate_ms_max, bounds.request_ms_max)),
      );
      if (address.tls.clientAuthorities !== undefined) server.prependListener('secureConnection', noteCertificate);
      doorways.push(doorwayOf(server, bounds, 'upgrade'));
      return server.on('upgrade', upgradeByPrefix(mounts, handler));
    },
    bodyLimit: body_bytes_max,
    forceCloseConnections: true,
    // A body in another shape than its route asks for is refused, not bent until it fits.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: true } },
    routerOptions: { maxParamLength: 256 },
    logger: false,
  });
  const rates = new Rates({ burst: requests_burst, perSecond: requests_perSecond, now });
  const pages = new Rates({ burst: pages_burst, perSecond: pages_perSecond, now });

  app.addHook('onRequest', async (request, reply) => {
    protect(reply, options.strictTransport);
    if (!isSpoken(request.raw)) throw new Problem(505, 'http_version', 'only HTTP/1.1 and HTTP/1.0 are spoken here');
    const { isPage = false } = request.routeOptions.config;
    if (!(isPage ? pages : rates).take(addressOf(request))) {
      throw new Problem(429, 'too_many', 'too many requests from this address; try again in a moment', {
        'retry-after': '1',
      });
    }
  });
  app.setErrorHandler(async (error, request, reply) => {
    const problem = problemOf(error);
    if (problem.status >= 500)
      log.error({ err: error, method: request.method, route: request.routeOptions.url }, 'a request failed');
    await sendProblem(reply, problem);
  });
  app.setNotFoundHandler(async (_request, reply) => {
    await sendProblem(reply, new Problem(404, 'unknown', 'there is nothing here; docs/api.md lists what there is'));
  });
  for (const gate of gates) await app.register(async (scope) => gate.register(scope as App), {});

  await app.listen({ host: address.host, port: address.port });
  const bound = app.server.address();
  if (bound === null || typeof bound === 'string') throw new Error('the HTTPS listener has no address');
  return {
    protocol: 'https',
    address: { host: bound.address, port: bound.port },
    close: async () => {
      await Promise.all(mounts.map((mount) => mount.close()));
      await app.close();
      for (const doorway of doorways) doorway.close();
    },
  };
}

/** For every answer; a page that needs more than nothing says so itself. */
function protect(reply: { header(name: string, value: string): unknown }, strictTransport: boolean): void {
  reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
  reply.header('x-content-type-options', 'nosniff');
  reply.header('referrer-policy', 'no-referrer');
  reply.header('cross-origin-opener-policy', 'same-origin');
  reply.header('cross-origin-resource-policy', 'same-origin');
  reply.header('cache-control', 'no-store');
  if (strictTransport) reply.header('strict-transport-security', 'max-age=31536000');
}
