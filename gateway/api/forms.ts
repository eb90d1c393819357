import type { FastifyRequest } from 'fastify';
import type { Client } from '../protocol.js';
import { addressOf } from './problem.js';
import { Rates } from './rates.js';
import type { App } from './server.js';

/** What OAuth and SAML post: forms (RFC 6749, 4; saml-bindings, 3.5), from whoever comes, with a bound on how often they are refused. */
export const form_bytes_max = 262_144;
const refused_burst = 30;
const refused_perSecond = 0.5;

/** Nothing but forms is read in this scope. Returns who was refused too often lately, by their address. */
export function takeForms(app: App, now: () => number): Rates {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: form_bytes_max },
    (_request, body, done) => done(null, body),
  );
  return new Rates({ burst: refused_burst, perSecond: refused_perSecond, now });
}

/** The form that was posted; empty where there was none. */
export const formOf = ({ body }: FastifyRequest): URLSearchParams =>
  new URLSearchParams(typeof body === 'string' ? body : '');

export const clientOf = (request: FastifyRequest): Client => ({
  address: addressOf(request),
  port: request.socket.remotePort ?? 0,
  confidential: true,
});

/** For "expires_in". */
export const secondsUntil = (expires_ms: number, now_ms: number): number =>
  Math.max(0, Math.floor((expires_ms - now_ms) / 1000));
