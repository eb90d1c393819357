import type { Principal, Prompt } from '#engine';
import type { JWTPayload } from 'jose';
import { principalKinds, type PrincipalKind, type Provider } from '../config/index.js';
import { IdentityError } from '../errors.js';
import type { Identity } from '../protocol.js';
import { quote } from './token.js';

/** A claim that names who or what may have at most this many characters. */
const name_length_max = 256;

/**
 * What the claims of a verified token say, in the words of the input document. A claim that is absent is left out; one
 * that is there in another shape refuses the token, because guessing at it could give a principal less groups, or more
 * rights, than its issuer meant.
 */
export function readPrincipal(payload: JWTPayload, provider: Provider): Identity {
  const { claims } = provider;
  const expires_ms = (payload.exp as number) * 1000;
  const purpose = text(payload, claims.purpose);
  const actor = readActor(payload);
  const prompt = readPrompt(payload, claims.prompt);
  const principal: Principal = {
    subject: name(payload.sub, 'sub'),
    issuer: provider.issuer,
    kind: readKind(payload, provider),
    groups: list(payload, claims.groups),
    roles: list(payload, claims.roles),
    ...(purpose !== undefined && { purpose }),
    attributes: readAttributes(payload, claims.attributes),
    ...(actor !== undefined && { actor }),
    token: {
      ...(typeof payload.jti === 'string' && { id: payload.jti }),
      issued: instant(payload.iat as number, 'iat'),
      expires: instant(payload.exp as number, 'exp'),
    },
  };
  return deepFreeze({ principal, expires_ms, ...(prompt !== undefined && { prompt }) });
}

const refuse = (claim: string, wanted: string) =>
  new IdentityError('claims', `the token's claim ${quote(claim)} must be ${wanted}`);

/**
 * The claim of this very name, else what its dots lead to. A name inside may have dots of its own, as "kubernetes.io" has: the
 * longest that is there is taken.
 */
function find(payload: JWTPayload, path: string): unknown {
  return inside(payload, path.split('.'));
}

function inside(value: unknown, steps: readonly string[]): unknown {
  if (steps.length === 0) return value ?? undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  for (let taken = steps.length; taken > 0; taken -= 1) {
    const name = steps.slice(0, taken).join('.');
    if (Object.hasOwn(value, name)) return inside((value as Record<string, unknown>)[name], steps.slice(taken));
  }
  return undefined;
}

function text(payload: JWTPayload, path: string): string | undefined {
  const value = find(payload, path);
  if (value === undefined || value === '') return undefined;
  if (typeof value !== 'string') throw refuse(path, 'a string');
  return value;
}

/** A list of strings; also one string of words with spaces between them, as "scope" has them (RFC 8693, 4.2). */
function list(payload: JWTPayload, path: string): string[] {
  const elsewhere = payload._claim_names;
  if (typeof elsewhere === 'object' && elsewhere !== null && Object.hasOwn(elsewhere, path)) {
    throw new IdentityError(
      'claims',
      `the token leaves out the claim ${quote(path)} because it has too many values ("_claim_names"); let the issuer put in fewer`,
    );
  }
  const value = find(payload, path);
  if (value === undefined) return [];
  if (typeof value === 'string') return [...new Set(value.split(/\s+/u).filter((word) => word !== ''))];
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
    throw refuse(path, 'a list of strings');
  return [...new Set<string>(value)];
}

function name(value: unknown, claim: string): string {
  if (typeof value !== 'string' || value === '' || value.length > name_length_max || /\p{Cc}/u.test(value)) {
    throw refuse(claim, `a name of 1 to ${name_length_max} characters, without control characters`);
  }
  return value;
}

function readKind(payload: JWTPayload, { claims, kindDefault }: Provider): PrincipalKind {
  const value = find(payload, claims.kind);
  if (value === undefined) return kindDefault;
  const kind = principalKinds.find((known) => known === value);
  if (kind === undefined) throw refuse(claims.kind, `one of ${principalKinds.join(', ')}`);
  return kind;
}

/** RFC 8693, 4.1: the outermost "act" is the one that counts. */
function readActor(payload: JWTPayload): { subject: string } | undefined {
  const { act } = payload;
  if (act === undefined || act === null) return undefined;
  if (typeof act !== 'object' || Array.isArray(act)) throw refuse('act', 'an object with a "sub"');
  return { subject: name((act as { sub?: unknown }).sub, 'act.sub') };
}

function readAttributes(payload: JWTPayload, names: readonly string[]): Record<string, unknown> {
  const found = names.map((path) => [path, find(payload, path)] as const).filter(([, value]) => value !== undefined);
  return Object.fromEntries(found);
}

/** The prompt as text, or as an object {id, text, trace}. */
function readPrompt(payload: JWTPayload, path: string): Prompt | undefined {
  const value = find(payload, path);
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string') return { text: value };
  if (typeof value !== 'object' || Array.isArray(value)) throw refuse(path, 'a string, or an object {id, text, trace}');
  const parts = ['id', 'text', 'trace'].flatMap((part) => {
    const found = (value as Record<string, unknown>)[part];
    if (found === undefined || found === null) return [];
    if (typeof found !== 'string') throw refuse(`${path}.${part}`, 'a string');
    return [[part, found] as const];
  });
  return parts.length === 0 ? undefined : Object.fromEntries(parts);
}

function instant(seconds: number, claim: string): string {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) throw refuse(claim, 'a time in seconds since 1970');
  return date.toISOString();
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const item of Object.values(value)) deepFreeze(item);
  }
  return value;
}
