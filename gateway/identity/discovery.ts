import { hash } from 'node:crypto';
import { createRemoteJWKSet, customFetch, type FetchImplementation, type JWTVerifyGetKey } from 'jose';
import type { Logger } from 'pino';
import { IdentityError } from '../errors.js';
import { jwks_bytes_max, publicKeys, stale_ms_max, type Keys } from './keys.js';

/** How long the issuer has to answer. */
const answer_ms_max = 5_000;
/** Between two attempts at an issuer that did not answer. */
const retry_ms = 5_000;
/** Between two fetches that were caused by a token naming an unknown key. */
const cooldown_ms = 30_000;
const metadata_bytes_max = 262_144;

/** Keys that are discovered at their issuer (OpenID Connect Discovery 1.0, 4; RFC 8414), and fetched again in time. */
export class DiscoveredKeys implements Keys {
  generation = '';
  readonly #issuer: string;
  readonly #now: () => number;
  readonly #log: Logger | undefined;
  readonly #fetch: typeof fetch;
  readonly #closed = new AbortController();
  #remote: ReturnType<typeof createRemoteJWKSet> | undefined;
  #discovering: Promise<void> | undefined;
  #failed_ms = Number.NEGATIVE_INFINITY;
  /** Why the last attempt failed, for the log. */
  #why = '';

  constructor(issuer: string, options: { now: () => number; log: Logger | undefined; fetch: typeof fetch }) {
    this.#issuer = issuer;
    this.#now = options.now;
    this.#log = options.log;
    this.#fetch = options.fetch;
  }

  readonly find: JWTVerifyGetKey = async (header, token) => {
    if (this.#remote === undefined) throw unavailable('nothing was discovered yet');
    return this.#remote(header, token);
  };

  async refresh(): Promise<void> {
    if (this.#remote?.fresh === true) return;
    if (this.#now() - this.#failed_ms < retry_ms) throw unavailable(this.#why);
    this.#discovering ??= this.#load().finally(() => {
      this.#discovering = undefined;
    });
    await this.#discovering;
  }

  async #load(): Promise<void> {
    try {
      this.#remote ??= createRemoteJWKSet(await this.#discover(), {
        cacheMaxAge: stale_ms_max,
        cooldownDuration: cooldown_ms,
        timeoutDuration: answer_ms_max,
        [customFetch]: this.#fetchKeys,
      });
      if (!this.#remote.fresh) await this.#remote.reload();
    } catch (error) {
      this.#failed_ms = this.#now();
      const { message, cause } = error as Error;
      const why = cause instanceof Error ? `${message}: ${cause.message}` : message;
      this.#why = why;
      this.#log?.warn(
        { issuer: this.#issuer, why },
        "identity: the issuer's keys cannot be had; nobody signs in with its tokens",
      );
      throw unavailable(why, error);
    }
  }

  async #discover(): Promise<URL> {
    const url = new URL(`${this.#issuer.replace(/\/$/u, '')}/.well-known/openid-configuration`);
    const response = await this.#fetch(url, {
      redirect: 'error',
      headers: { accept: 'application/json' },
      signal: AbortSignal.any([this.#closed.signal, AbortSignal.timeout(answer_ms_max)]),
    });
    if (response.status !== 200) throw new Error(`${url.href} answered with status ${response.status}`);
    const metadata = JSON.parse(await boundedText(response, metadata_bytes_max)) as Record<string, unknown> | null;
    if (metadata?.issuer !== this.#issuer) throw new Error(`${url.href} names another issuer`);
    const keys = metadata.jwks_uri;
    if (typeof keys !== 'string' || !URL.canParse(keys)) throw new Error(`${url.href} has no usable "jwks_uri"`);
    const location = new URL(keys);
    // In clear, anybody on the way could put in keys of their own.
    const loopback = /^(127(\.[0-9]{1,3}){3}|localhost|\[::1\])$/u.test(location.hostname);
    if (location.protocol !== 'https:' && !(location.protocol === 'http:' && loopback)) {
      throw new Error(`${url.href} has a "jwks_uri" that is not https`);
    }
    return location;
  }

  readonly #fetchKeys: FetchImplementation = async (url, options) => {
    const response = await this.#fetch(url, {
      ...options,
      redirect: 'error',
      signal: AbortSignal.any([this.#closed.signal, options.signal]),
    });
    if (response.status !== 200) return response;
    const body = JSON.stringify(publicKeys(await boundedText(response, jwks_bytes_max)));
    this.generation = hash('sha256', body);
    return new Response(body, { status: 200, headers: { 'content-type': 'application/json' } });
  };

  close(): void {
    this.#closed.abort();
  }
}

const unavailable = (detail: string, cause?: unknown) =>
  new IdentityError('keys', "the issuer's keys cannot be had at the moment; try again later", { detail, cause });

export async function boundedText(response: Response, bytes_max: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > bytes_max) throw new Error(`the answer has more than ${bytes_max} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
