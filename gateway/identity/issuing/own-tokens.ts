import { randomUUID } from 'node:crypto';
import type { Principal, Prompt } from '#engine';
import type { JSONWebKeySet, JWTPayload } from 'jose';
import type { Provider } from '../../config/index.js';
import type { Identity } from '../../protocol.js';
import type { Keys } from '../keys.js';
import { readPrincipal } from '../principal.js';
import type { SigningKeys } from './signing-keys.js';

/**
 * Tokens that the gateway issues itself, to whoever brings one of an issuer that it trusts: for one target, for a shorter
 * time, with a purpose. Who they are for stays who it was: subject and issuer of the token that they were made from.
 */
export interface OwnTokens {
  /** What stands in their "iss". */
  readonly issuer: string;
  readonly provider: Provider;
  readonly keys: Keys;
  published(): Promise<JSONWebKeySet>;
  /** Signs what is no token, with the key that signs tokens. */
  signer: SigningKeys['signer'];
  issue(issuance: Issuance): Promise<Issued>;
  /** Who the claims of a verified token are about. */
  read(payload: JWTPayload): Identity;
  /** "https://gateway.example/targets/orders" */
  audienceOf(target: string): string;
  /** The target that is named, or whose audience it is; undefined where there is none. */
  targetOf(asked: string): string | undefined;
  close(): void;
}

export interface Issuance {
  /** Who it is for. */
  readonly identity: Identity;
  /** The only target it is good for; absent: as far as the token that it is made from. */
  readonly target?: string | undefined;
  /** Where the token that it is made from names none. */
  readonly purpose?: string | undefined;
  readonly prompt?: Prompt | undefined;
  /** RFC 8693, 4.1: who acts, with those who acted before them inside. */
  readonly act?: Act | undefined;
  /** What acts, where that is another than whom it acts for. */
  readonly kind?: Principal['kind'] | undefined;
  readonly lifetime_ms?: number | undefined;
  readonly id?: string | undefined;
  /** Whoever shows it has to prove that they hold the key of this thumbprint (RFC 7638); absent: whoever shows it is believed. */
  readonly holder?: string | undefined;
}

export interface Act {
  readonly sub: string;
  readonly iss?: string;
  readonly act?: Act;
}

export interface Issued {
  readonly token: string;
  /** Its "jti". */
  readonly id: string;
  readonly expires_ms: number;
}

/** Of a token from which one is made that was itself made from another, and so on. */
export const ancestors_max = 8;

/** What RFC 7519 has no claim for: whose token it was made from. */
interface Origin {
  readonly iss: string;
  /** When that was issued: revoking what a subject was given until some moment takes this along. */
  readonly issued?: string;
  /** Ids of the tokens that it was made from, the latest first. */
  readonly from: readonly string[];
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly target?: string;
}

const claim = 'sallyport';

export function ownTokens(options: {
  readonly issuer: string;
  readonly targets: readonly string[];
  readonly keys: SigningKeys;
  readonly now: () => number;
}): OwnTokens {
  const { issuer, targets, keys, now } = options;
  const audienceOf = (target: string) => `${issuer}/targets/${encodeURIComponent(target)}`;
  const provider: Provider = {
    name: 'this gateway',
    issuer,
    audience: [issuer, ...targets.map(audienceOf)],
    algorithms: ['ES256', 'EdDSA'],
    claims: { groups: 'groups', roles: 'roles', purpose: 'purpose', kind: 'kind', prompt: 'prompt', attributes: [] },
    kindDefault: 'service',
  };
  return {
    issuer,
    provider,
    keys,
    audienceOf,
    targetOf: (asked) => targets.find((name) => asked === name || asked === audienceOf(name)),
    published: () => keys.published(),
    signer: () => keys.signer(),
    async issue(issuance) {
      const claims = claimsOf(issuance, { issuer, now_ms: now(), audienceOf });
      return { token: await keys.sign(claims), id: claims.jti, expires_ms: claims.exp * 1000 };
    },
    read: (payload) => identityOf(payload, provider),
    close: () => keys.close(),
  };
}

function claimsOf(
  {
    identity,
    target = identity.target,
    purpose,
    prompt = identity.prompt,
    act,
    kind,
    lifetime_ms,
    id = randomUUID(),
    holder,
  }: Issuance,
  { issuer, now_ms, audienceOf }: { issuer: string; now_ms: number; audienceOf: (target: string) => string },
) {
  const { principal } = identity;
  const wanted_ms = lifetime_ms === undefined ? Infinity : now_ms + lifetime_ms;
  const { id: parent, from = [], issued } = principal.token;
  const origin: Origin = {
    iss: principal.issuer,
    ...(issued === undefined ? {} : { issued }),
    from: [...(parent === undefined ? [] : [parent]), ...from],
    attributes: principal.attributes,
    ...(target === undefined ? {} : { target }),
  };
  const actor = act ?? (principal.actor === undefined ? undefined : { sub: principal.actor.subject });
  const stated = principal.purpose ?? purpose;
  return {
    iss: issuer,
    aud: target === undefined ? issuer : audienceOf(target),
    sub: principal.subject,
    iat: Math.floor(now_ms / 1000),
    // Never beyond the life of what it was made from.
    exp: Math.floor(Math.min(identity.expires_ms, wanted_ms) / 1000),
    jti: id,
    kind: kind ?? principal.kind,
    groups: [...principal.groups],
    roles: [...principal.roles],
    ...(stated === undefined ? {} : { purpose: stated }),
    ...(prompt === undefined ? {} : { prompt }),
    ...(actor === undefined ? {} : { act: actor }),
    // RFC 7800; "jkt" as in RFC 9449, 6.1.
    ...(holder === undefined ? {} : { cnf: { jkt: holder } }),
    [claim]: origin,
  };
}

function identityOf(payload: JWTPayload, provider: Provider): Identity {
  const { principal, ...rest } = readPrincipal(payload, provider);
  // Ours, by its signature: in the shape that we gave it.
  const { iss, issued, from, attributes, target } = payload[claim] as Origin;
  const { id, expires } = principal.token;
  return Object.freeze({
    ...rest,
    principal: Object.freeze({
      ...principal,
      issuer: iss,
      attributes: Object.freeze(attributes),
      token: Object.freeze({
        ...(id === undefined ? {} : { id }),
        from: Object.freeze([...from]) as string[],
        ...(issued === undefined ? {} : { issued }),
        expires,
      }),
    }),
    ...(target === undefined ? {} : { target }),
  });
}
