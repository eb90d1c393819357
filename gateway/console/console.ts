import type { FastifyReply, FastifyRequest } from 'fastify';
import {
  addressOf,
  apiGate,
  Problem,
  Rates,
  recordAct,
  rolesOf,
  type ApiParts,
  type App,
  type Caller,
  type HttpGate,
} from '../api/index.js';
import type { SignInConfig } from '../config/index.js';
import type { Identity } from '../protocol.js';
import { dropCookie, readCookie, sessionCookie, setCookie, signInCookie } from './cookies.js';
import { pageRoutes } from './files.js';
import { demandSameOrigin } from './same-origin.js';
import { ConsoleSessions } from './sessions.js';
import { pending_ms_max, SignIn, SignInError } from './sign-in.js';

export interface ConsoleOptions {
  readonly signIn: SignInConfig;
  /** "https://gateway.example": where browsers reach it. Asked for at each request: a port may be known late. */
  readonly origin: () => string;
  /** Verifies an ID token for the console's client. */
  identify(idToken: string): Promise<Identity>;
}

/** Sign-ins from one address: so many at once, and one every two seconds. */
const signIns_burst = 20;
const signIns_perSecond = 0.5;

/** A place inside the console: what stands after "#" in its address, which no other site can be written into. */
const fragmentForm = /^#\/[A-Za-z0-9/_.,:?=&%+*-]{0,1000}$/u;

/** /console/: pages, signing in and out, and the API behind a cookie instead of a token. */
export function consoleGate(parts: ApiParts, options: ConsoleOptions): HttpGate {
  const sessions = new ConsoleSessions(parts.now);
  const signIn = new SignIn({
    ...options.signIn,
    redirect: () => `${options.origin()}/console/callback`,
    identify: (idToken) => options.identify(idToken),
    now: parts.now,
  });
  const rates = new Rates({ burst: signIns_burst, perSecond: signIns_perSecond, now: parts.now });
  return {
    name: 'console',
    async register(app) {
      await pageRoutes(app);
      app.get('/', async (_request, reply) => reply.redirect('/console/', 302));
      app.get('/console', async (_request, reply) => reply.redirect('/console/', 302));
      // What clients and notices link to (approvals/link.ts). What stands after "#" is not sent to servers, so it stands here.
      app.get<{ Params: { id: string } }>('/console/approvals/:id', async ({ params }, reply) =>
        reply.redirect(`/console/#/approvals/${encodeURIComponent(params.id)}`, 302),
      );
      signInRoutes(app, { parts, options, sessions, signIn, rates });
      const identify = (request: FastifyRequest) => identified(request, { parts, options, sessions });
      await apiGate(parts, { name: 'console-api', prefix: '/console/v1', identify }).register(app);
    },
  };
}

interface Desk {
  readonly parts: ApiParts;
  readonly options: ConsoleOptions;
  readonly sessions: ConsoleSessions;
  readonly signIn: SignIn;
  readonly rates: Rates;
}

/** Who a request with a cookie comes from. Never asks for the token again: it was verified when the session began. */
async function identified(
  request: FastifyRequest,
  desk: Pick<Desk, 'parts' | 'options' | 'sessions'>,
): Promise<Caller> {
  demandSameOrigin(request, desk.options.origin());
  const identity = desk.sessions.find(readCookie(request, sessionCookie));
  if (identity === undefined) throw new Problem(401, 'signed_out', 'nobody is signed in here, or no longer');
  return callerOf(request, identity, desk.parts);
}

function callerOf(request: FastifyRequest, identity: Caller['identity'], { roles }: ApiParts): Caller {
  const client = { address: addressOf(request), port: request.socket.remotePort ?? 0, confidential: true };
  return { identity, roles: rolesOf(identity.principal, roles), through: 'console', client };
}

function signInRoutes(app: App, desk: Desk): void {
  const { options, sessions, signIn, rates } = desk;

  app.get<{ Querystring: { to?: unknown } }>('/console/sign-in', async (request, reply) => {
    if (!rates.take(addressOf(request)))
      throw new Problem(429, 'too_many', 'too many sign-ins from this address; try again in a moment');
    const to = typeof request.query.to === 'string' && fragmentForm.test(request.query.to) ? request.query.to : '#/';
    try {
      const { url, cookie } = await signIn.begin(to);
      // Lax: the provider is another site, and it is from there that the browser comes back with it.
      setCookie(reply, signInCookie, cookie, { sameSite: 'Lax', age_s: pending_ms_max / 1000 });
      return await reply.redirect(url.href, 302);
    } catch (error) {
      return failed(error, request, reply, desk);
    }
  });

  app.get('/console/callback', async (request, reply) => {
    dropCookie(reply, signInCookie);
    try {
      const query = new URL(request.url, options.origin()).searchParams;
      const { identity, fragment } = await signIn.finish(readCookie(request, signInCookie), query);
      await recordAct(desk.parts.audit, callerOf(request, identity, desk.parts), 'sign_in', {});
      sessions.close(readCookie(request, sessionCookie));
      const age_s = (identity.expires_ms - desk.parts.now()) / 1000;
      setCookie(reply, sessionCookie, sessions.open(identity), { sameSite: 'Strict', age_s });
      return await reply.redirect(`/console/${fragment}`, 302);
    } catch (error) {
      return failed(error, request, reply, desk);
    }
  });

  app.post('/console/sign-out', async (request, reply) => {
    demandSameOrigin(request, options.origin());
    sessions.close(readCookie(request, sessionCookie));
    dropCookie(reply, sessionCookie);
    return reply.code(204).send();
  });
}

/** Back to the page, which says why in its own words; what the provider said stays in log and record. */
async function failed(error: unknown, request: FastifyRequest, reply: FastifyReply, { parts }: Desk) {
  if (!(error instanceof SignInError)) throw error;
  parts.log.warn({ err: error, reason: error.reason }, 'console: a sign-in failed');
  await parts.audit.write(
    {
      kind: 'sign_in_refused',
      fields: { reason: `console_${error.reason}` },
      personal: { client: { address: addressOf(request) }, message: error.message },
    },
    { durable: true },
  );
  return reply.redirect(`/console/#/signed-out/${error.reason}`, 302);
}
