import { randomBytes } from 'node:crypto';
import * as oidc from 'openid-client';
import type { SignInConfig } from '../config/index.js';
import { IdentityError } from '../errors.js';
import type { Identity } from '../protocol.js';
import { keyOf } from './sessions.js';

/** OpenID Connect, authorization code flow with PKCE (RFC 7636), state and nonce. */
export interface SignInOptions extends SignInConfig {
  /** "https://gateway.example/console/callback": where the provider sends people back to. */
  readonly redirect: () => string;
  /** Verifies the ID token as every token is, for the console's client as its audience. */
  identify(idToken: string): Promise<Identity>;
  readonly now: () => number;
}

/** Begun and not finished. */
interface Pending {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  readonly fragment: string;
  readonly at_ms: number;
}

const pending_max = 1_000;
/** So long may somebody look for their second factor. */
export const pending_ms_max = 600_000;
const provider_s_max = 10;
/** What the provider says of itself is asked again after so long. */
const metadata_ms_max = 600_000;

/** Why nobody was signed in: short and stable, for the page and the record. */
export type SignInProblem = 'mixed_up' | 'too_late' | 'denied' | 'provider' | 'token';

export class SignInError extends Error {
  constructor(
    readonly reason: SignInProblem,
    message: string,
    cause?: unknown,
  ) {
    super(message, { cause });
  }
}

export class SignIn {
  readonly #options: SignInOptions;
  readonly #pending = new Map<string, Pending>();
  #metadata: { readonly config: Promise<oidc.Configuration>; readonly at_ms: number } | undefined;

  constructor(options: SignInOptions) {
    this.#options = options;
  }

  /** Where to send the browser, and what it has to bring back. `fragment` is the place inside the console to return to. */
  async begin(fragment: string): Promise<{ readonly url: URL; readonly cookie: string }> {
    const config = await this.#provider();
    const cookie = randomBytes(32).toString('base64url');
    const pending: Pending = {
      state: oidc.randomState(),
      nonce: oidc.randomNonce(),
      verifier: oidc.randomPKCECodeVerifier(),
      fragment,
      at_ms: this.#options.now(),
    };
    const url = oidc.buildAuthorizationUrl(config, {
      redirect_uri: this.#options.redirect(),
      scope: this.#options.scopes.join(' '),
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(pending.verifier),
      code_challenge_method: 'S256',
    });
    this.#pending.set(keyOf(cookie), pending);
    const [oldest] = this.#pending.keys();
    if (this.#pending.size > pending_max && oldest !== undefined) this.#pending.delete(oldest);
    return { url, cookie };
  }

  /** Rejects with SignInError. What was begun can be finished once, whatever comes of it. */
  async finish(cookie: string | undefined, query: URLSearchParams): Promise<{ identity: Identity; fragment: string }> {
    const key = cookie === undefined ? '' : keyOf(cookie);
    const pending = this.#pending.get(key);
    this.#pending.delete(key);
    if (pending === undefined) throw new SignInError('mixed_up', 'this browser began no sign-in here');
    if (this.#options.now() - pending.at_ms > pending_ms_max) throw new SignInError('too_late', 'it took too long');
    const url = new URL(this.#options.redirect());
    url.search = query.toString();
    const idToken = await this.#exchange(url, pending);
    try {
      return { identity: await this.#options.identify(idToken), fragment: pending.fragment };
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      throw new SignInError('token', error.message, error);
    }
  }

  async #exchange(url: URL, { state, nonce, verifier }: Pending): Promise<string> {
    const config = await this.#provider();
    try {
      const tokens = await oidc.authorizationCodeGrant(config, url, {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
      });
      if (tokens.id_token === undefined) throw new SignInError('provider', 'the provider sent no ID token');
      return tokens.id_token;
    } catch (error) {
      throw translated(error);
    }
  }

  #provider(): Promise<oidc.Configuration> {
    const now_ms = this.#options.now();
    if (this.#metadata === undefined || now_ms - this.#metadata.at_ms > metadata_ms_max) {
      const config = discover(this.#options);
      this.#metadata = { config, at_ms: now_ms };
      // A provider that did not answer is asked again by the next one who signs in.
      config.catch(() => (this.#metadata = undefined));
    }
    return this.#metadata.config;
  }
}

async function discover({ provider, client_id, client_secret }: SignInOptions): Promise<oidc.Configuration> {
  const issuer = new URL(provider.issuer);
  const client = client_secret === undefined ? oidc.None() : oidc.ClientSecretBasic(client_secret);
  try {
    return await oidc.discovery(issuer, client_id, undefined, client, {
      timeout: provider_s_max,
      // The configuration lets an issuer be http:// on loopback only.
      execute: issuer.protocol === 'http:' ? [oidc.allowInsecureRequests] : [],
    });
  } catch (error) {
    throw new SignInError('provider', `the provider ${provider.name} cannot be asked how to sign in`, error);
  }
}

/** The library's errors, once: what a provider says in them is for the log, not for the page. */
function translated(error: unknown): SignInError {
  if (error instanceof SignInError) return error;
  if (error instanceof oidc.AuthorizationResponseError)
    return new SignInError('denied', 'the provider signed nobody in', error);
  if (error instanceof oidc.ResponseBodyError)
    return new SignInError('provider', 'the provider did not take its own code back', error);
  const { code } = error as { code?: unknown };
  const mixedUp = code === 'OAUTH_INVALID_RESPONSE' || code === 'OAUTH_JWT_CLAIM_COMPARISON_FAILED';
  return new SignInError(
    mixedUp ? 'mixed_up' : 'provider',
    'what the provider answered does not fit what was asked',
    error,
  );
}
