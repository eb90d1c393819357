import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Audit } from './audit/record.js';
import { AuditError, IdentityError, StateError } from './errors.js';
import {
  looksLikeTicket,
  type Assertions,
  type Certificates,
  type Identities,
  type Peers,
  type Tickets,
  type Vouched,
} from './identity/index.js';
import type { Revocations } from './live/index.js';
import type { Client, ClientCertificate, Identity, Opening, Provable } from './protocol.js';

/** How whoever comes is known, for all protocols alike. Whoever is refused stands in the audit, with the reason. */
export interface SignIns {
  /** By a token or a ticket, by a client certificate, or by both where they belong together. */
  identify(given: string | undefined, client: Client, certificate?: ClientCertificate): Promise<Identity>;
  /** A SAML assertion, which is good once. */
  assert(given: string, client: Client): Promise<Identity>;
  provable(name: string, client: Client): Promise<Provable | undefined>;
  /** Whoever has proven to hold the key of an OpenSSH certificate. */
  certified(certificate: Buffer, user: string, client: Client): Promise<Identity>;
  /** Throws IdentityError where an identity is good for another target than the one that is opened. */
  admit(opening: Opening): void;
  /** Resolves when nobody is being looked up any more, so that every refusal is recorded before the audit ends; in bounded time. */
  settled(): Promise<void>;
}

export interface SignInParts {
  readonly identity: Identities;
  readonly tickets: Tickets;
  readonly assertions: Assertions;
  readonly certificates: Certificates;
  readonly peers: Peers;
  readonly revocations: Revocations;
  readonly audit: Audit;
  readonly log: Logger;
}

/** For sign-ins that are under way when the gateway ends. */
const settle_ms_max = 5_000;

export function signIns(parts: SignInParts): SignIns {
  const { identity, tickets, assertions, certificates, peers, revocations, audit, log } = parts;
  const recorded = (error: unknown, client: Client): unknown => {
    if (error instanceof IdentityError) record(audit, log, error, client);
    return error;
  };
  const looking = new Set<Promise<unknown>>();
  const checked = (client: Client, find: () => Promise<Identity>): Promise<Identity> => {
    const found = check(client, find);
    looking.add(found);
    const over = () => looking.delete(found);
    found.then(over, over);
    return found;
  };
  const check = async (client: Client, find: () => Promise<Identity>): Promise<Identity> => {
    try {
      const found = await find();
      revocations.check(found);
      return found;
    } catch (error) {
      throw recorded(ticketsOut(error), client);
    }
  };
  const byToken = (given: string, thumbprint?: string) =>
    looksLikeTicket(given) ? tickets.redeem(given) : identity.identify(given, thumbprint);
  const find = async (given: string | undefined, certificate: ClientCertificate | undefined): Promise<Identity> => {
    if (certificate !== undefined)
      return given === undefined ? peers.identify(certificate) : together(given, certificate);
    if (given === undefined) throw new IdentityError('no_token', 'nobody is signed in: send a token');
    return byToken(given);
  };
  /** RFC 8705, 3, for tokens that are bound to the certificate; any other has to be of whom the certificate names. */
  const together = async (given: string, certificate: ClientCertificate): Promise<Identity> => {
    const shown = peers.check(certificate);
    const found = await byToken(given, shown.thumbprint);
    if (found.certificate !== shown.thumbprint) {
      const named = await peers.identify(certificate);
      revocations.check(named);
      if (named.principal.subject !== found.principal.subject)
        throw new IdentityError(
          'certificate',
          'token and client certificate are of two: send one of them, or a token for the one that the certificate names',
        );
    }
    return lastingAs(found, shown);
  };
  return {
    identify: (given, client, certificate) => checked(client, () => find(given, certificate)),
    assert: (given, client) => checked(client, () => assertions.identify(given)),
    async provable(name, client) {
      const proof = await tickets.prove(name).catch((error: unknown) => {
        throw recorded(ticketsOut(error), client);
      });
      if (proof === undefined) return undefined;
      const bytes = (text: string) => Buffer.from(text, 'base64');
      return {
        salt: bytes(proof.salt),
        iterations: proof.iterations,
        storedKey: bytes(proof.stored_key),
        serverKey: bytes(proof.server_key),
        identify: (clientKey) => checked(client, () => proof.redeem(clientKey)),
      };
    },
    certified: (certificate, user, client) =>
      checked(client, () => certificates.identify(certificate, { user, address: client.address })),
    async settled() {
      const late = new AbortController();
      const patience = setTimeout(settle_ms_max, undefined, { signal: late.signal }).catch(() => undefined);
      await Promise.race([Promise.allSettled(looking), patience]);
      late.abort();
    },
    admit({ identity: { target }, target: { input }, client }) {
      if (target === undefined || target === input.name) return;
      throw recorded(
        new IdentityError('target', `this token or ticket is for the target "${target}", and not for "${input.name}"`),
        client,
      );
    },
  };
}

/** Good for as long as both are: over when the certificate is, and when either is revoked. */
function lastingAs(identity: Identity, { thumbprint, expires_ms }: Vouched): Identity {
  const { principal } = identity;
  const from = Object.freeze([...(principal.token.from ?? []), thumbprint]) as string[];
  return Object.freeze({
    ...identity,
    principal: Object.freeze({ ...principal, token: Object.freeze({ ...principal.token, from }) }),
    expires_ms: Math.min(identity.expires_ms, expires_ms),
  });
}

/** Tickets, and what came before that is good once, lie in the state: out of reach, nobody can be told from anybody. */
function ticketsOut(error: unknown): unknown {
  if (!(error instanceof StateError)) return error;
  return new IdentityError(
    'state',
    'tickets, and whether something that is good once came before, cannot be looked up at the moment; try again later, or use a token',
    {
      cause: error,
      ...(error.detail === undefined ? {} : { detail: error.detail }),
    },
  );
}

function record(audit: Audit, log: Logger, error: IdentityError, client: Client): void {
  try {
    audit.write({
      kind: 'sign_in_refused',
      fields: { reason: error.reason },
      personal: { client, message: error.message },
    });
  } catch (failure) {
    if (!(failure instanceof AuditError)) throw failure;
    log.error({ err: failure }, 'a refused sign-in could not be recorded');
  }
}
