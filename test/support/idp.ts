import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { exportJWK, generateKeyPair, SignJWT, type JWK } from 'jose';

/** An identity provider for tests: a key pair whose public half stands in a file, and tokens of any shape. */
export interface TokenOptions {
  readonly subject?: string;
  readonly groups?: readonly string[] | string;
  readonly roles?: readonly string[] | string;
  readonly purpose?: string;
  readonly kind?: string;
  readonly team?: string;
  /** Claimed by the agent: its text, or an object of id, text, trace. */
  readonly prompt?: string | Readonly<Record<string, string>>;
  /** Seconds from now. */
  readonly expiresIn?: number;
  /** Seconds from now, may be negative. */
  readonly issuedIn?: number;
  readonly notBeforeIn?: number;
  readonly audience?: string | readonly string[];
  readonly issuer?: string;
  readonly algorithm?: string;
  /** Whatever else the token shall say; undefined takes a claim away. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

export interface IdentityProvider {
  readonly issuer: string;
  readonly audience: string;
  /** The public keys, as a provider publishes them. */
  readonly jwks: { readonly keys: readonly JWK[] };
  issueToken(options?: TokenOptions): Promise<string>;
  writeJwks(file: string): Promise<void>;
  /** A new key pair; the old one stays published unless told otherwise. */
  rotate(options?: { keepOld?: boolean }): Promise<void>;
}

export async function createIdentityProvider(
  given: { issuer?: string; audience?: string } = {},
): Promise<IdentityProvider> {
  const issuer = given.issuer ?? 'https://idp.example';
  const audience = given.audience ?? 'sallyport';
  const algorithm = 'ES256';

  const makePair = async () => {
    const pair = await generateKeyPair(algorithm, { extractable: true });
    const kid = randomUUID();
    return { ...pair, kid, jwk: { ...(await exportJWK(pair.publicKey)), kid, alg: algorithm, use: 'sig' } };
  };
  let current = await makePair();
  const keys: JWK[] = [current.jwk];

  return {
    issuer,
    audience,
    jwks: { keys },
    async issueToken(options = {}) {
      const now = Math.floor(Date.now() / 1000);
      const claims: Record<string, unknown> = {
        sub: options.subject ?? 'agent:test',
        iss: options.issuer ?? issuer,
        aud: options.audience ?? audience,
        iat: now + (options.issuedIn ?? 0),
        exp: now + (options.expiresIn ?? 300),
        jti: randomUUID(),
        kind: options.kind ?? 'agent',
        groups: options.groups ?? ['agents'],
        roles: options.roles ?? ['readonly'],
        purpose: options.purpose ?? 'tests',
        ...(options.notBeforeIn === undefined ? {} : { nbf: now + options.notBeforeIn }),
        ...(options.team === undefined ? {} : { team: options.team }),
        ...(options.prompt === undefined ? {} : { prompt: options.prompt }),
        ...options.claims,
      };
      return new SignJWT(claims)
        .setProtectedHeader({ alg: options.algorithm ?? algorithm, kid: current.kid, typ: 'at+jwt' })
        .sign(current.privateKey);
    },
    async writeJwks(file) {
      await writeFile(file, JSON.stringify({ keys }));
    },
    async rotate({ keepOld = true } = {}) {
      current = await makePair();
      if (!keepOld) keys.length = 0;
      keys.push(current.jwk);
    },
  };
}
