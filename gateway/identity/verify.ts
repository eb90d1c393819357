import { errors, jwtVerify, type JWTPayload } from 'jose';
import type { Provider } from '../config/index.js';
import { IdentityError } from '../errors.js';
import type { Keys } from './keys.js';
import { lengthHint, quote, type UnverifiedToken } from './token.js';

export interface Terms {
  readonly tokenLifetimeMax_ms: number;
  readonly clockSkew_ms: number;
  readonly now_ms: number;
  /** The thumbprint of a key that whoever shows the token has proven to hold. */
  readonly holder?: string | undefined;
  /** The thumbprint of the client certificate that was shown (RFC 8705, 3.1). */
  readonly certificate?: string | undefined;
}

/**
 * Checks signature and claims of a token (RFC 7519; RFC 8725 for what to insist on). Throws IdentityError; only what a
 * valid signature vouches for, or the sender knows anyway, is repeated in a message.
 */
export async function verifyToken(
  token: UnverifiedToken,
  provider: Provider,
  keys: Keys,
  terms: Terms,
): Promise<JWTPayload> {
  if (!provider.algorithms.some((algorithm) => algorithm === token.algorithm)) {
    throw new IdentityError(
      'algorithm',
      `the token is signed with ${quote(token.algorithm)}; this gateway accepts ${provider.algorithms.join(', ')} from its issuer`,
    );
  }
  let payload: JWTPayload;
  try {
    ({ payload } = await jwtVerify(token.text, keys.find, {
      issuer: provider.issuer,
      audience: [...provider.audience],
      algorithms: [...provider.algorithms],
      requiredClaims: ['sub', 'exp', 'iat'],
      clockTolerance: terms.clockSkew_ms / 1000,
      currentDate: new Date(terms.now_ms),
    }));
  } catch (error) {
    throw translate(error, token, provider, terms);
  }
  checkTimes(payload, terms);
  checkHolder(payload, terms);
  return payload;
}

/** RFC 7800: whoever presents a token that is bound to a key has to prove that they hold it, which a password cannot do. */
function checkHolder({ cnf }: JWTPayload, { holder, certificate }: Terms): void {
  if (holder === undefined && certificate !== undefined && cnf !== undefined)
    return checkConfirmation(cnf, 'x5t#S256', certificate, 'certificate');
  if (holder === undefined && cnf !== undefined)
    throw new IdentityError('bound', 'the token is bound to a key ("cnf"): a bearer token is needed');
  if (holder !== undefined) checkConfirmation(cnf, 'jkt', holder, 'key');
}

/** Another way of confirmation beside the one that is known would be one that nobody checked. */
function checkConfirmation(cnf: unknown, how: string, proven: string, what: string): void {
  const members = typeof cnf === 'object' && cnf !== null ? Object.entries(cnf) : [];
  const [[name, value] = []] = members;
  if (members.length !== 1 || name !== how || value !== proven)
    throw new IdentityError('bound', `the token is bound to another ${what} than the one that was shown`);
}

/** Tolerance is for a token that an issuer dates a little ahead; it never makes a token live longer than it says. */
function checkTimes({ exp, iat }: JWTPayload, { now_ms, clockSkew_ms, tokenLifetimeMax_ms }: Terms): void {
  const issued_ms = (iat as number) * 1000;
  const expires_ms = (exp as number) * 1000;
  if (typeof iat !== 'number' || !Number.isFinite(issued_ms)) {
    throw new IdentityError('claims', 'the token\'s claim "iat" must be a number');
  }
  if (expires_ms <= now_ms) throw expired(expires_ms, now_ms);
  if (issued_ms > now_ms + clockSkew_ms) {
    throw new IdentityError(
      'not_yet',
      'the token was issued in the future ("iat"): the clocks of issuer and gateway differ',
    );
  }
  if (expires_ms - issued_ms > tokenLifetimeMax_ms) {
    throw new IdentityError(
      'lifetime',
      `the token was given a life of ${span(expires_ms - issued_ms)}; this gateway accepts at most ${span(tokenLifetimeMax_ms)}`,
    );
  }
}

function translate(error: unknown, token: UnverifiedToken, provider: Provider, { now_ms }: Terms): IdentityError {
  if (error instanceof IdentityError) return error;
  const refuse = (reason: string, message: string) => new IdentityError(reason, message, { cause: error });
  if (error instanceof errors.JWTExpired) return expired(Number(error.payload.exp) * 1000, now_ms, error);
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason, payload } = error;
    if (reason === 'missing')
      return refuse('claims', `the token has no claim ${quote(claim)}, which this gateway needs`);
    if (claim === 'aud') {
      const wanted = provider.audience.map((name) => quote(name)).join(' or ');
      const given = [payload.aud ?? []]
        .flat()
        .map((name) => quote(name))
        .slice(0, 5)
        .join(', ');
      return refuse(
        'audience',
        `the token is for audience ${given || 'nobody'}, this gateway is ${wanted}; ask for one for ${wanted}`,
      );
    }
    if (claim === 'nbf' && reason === 'check_failed') return refuse('not_yet', 'the token is not valid yet ("nbf")');
    if (claim === 'iss')
      return refuse(
        'issuer',
        `the token's issuer ${quote(payload.iss)} is not one that this gateway trusts; get one from an issuer that it trusts`,
      );
    return refuse('claims', `the token's claim ${quote(claim)} is not what it must be`);
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return refuse(
      'signature',
      `the token's signature is not its issuer's: the token was changed or cut off on its way here, or is forged.${lengthHint(token.text)}`,
    );
  }
  if (error instanceof errors.JWKSNoMatchingKey) {
    return refuse(
      'key',
      'the token is signed with a key that its issuer does not publish, or not any more; get a new token',
    );
  }
  if (error instanceof errors.JWKSMultipleMatchingKeys) {
    return refuse('key', 'the token does not say with which of its issuer\'s keys it is signed ("kid")');
  }
  if (error instanceof errors.JOSENotSupported) {
    return refuse('unsupported', 'the token asks for something that this gateway does not know ("crit" or "alg")');
  }
  if (error instanceof errors.JWTInvalid || error instanceof errors.JWSInvalid) {
    return refuse('malformed', 'the token is damaged: it is not in the form of a signed JWT');
  }
  return new IdentityError('keys', "the issuer's keys cannot be used at the moment; try again later", {
    detail: error instanceof Error ? error.message : String(error),
    cause: error,
  });
}

function expired(expires_ms: number, now_ms: number, cause?: unknown): IdentityError {
  return new IdentityError('expired', `the token expired ${span(now_ms - expires_ms)} ago; get a new one`, { cause });
}

/** "45s", "12m", "3h", "2d": one number, rounded down. */
function span(time_ms: number): string {
  const seconds = Math.max(0, Math.floor(time_ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
