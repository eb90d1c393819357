import { createHash } from 'node:crypto';
import { ask, type Asked, type Reply } from './asking.js';
import { isPlainOnLoopback } from './loopback.js';

/**
 * What is needed of a registry to read one artifact, within bounds.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 * @see https://distribution.github.io/distribution/spec/auth/token/
 */
export interface RegistryOptions {
  /** "https://ghcr.io", or http:// on this machine. */
  readonly origin: string;
  /** "team/policy" */
  readonly repository: string;
  /** For Basic, at the registry or at the service that it sends for tokens. */
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** Sent as bearer at once; the registry is not asked where to get one. */
  readonly token?: string | undefined;
  /** Authorities in place of the system's, as PEM. */
  readonly ca?: string | undefined;
}

/** One request. */
export interface Asking extends Omit<Asked, 'ca' | 'time_ms_max'> {
  /** Redirects are followed. */
  readonly follows?: boolean;
}

const answer_ms_max = 60_000;
const redirects_max = 3;
const token_bytes_max = 65_536;
const realm_chars_max = 2_000;

export class Registry {
  readonly #options: RegistryOptions;
  #authorization: string | undefined;

  constructor(options: RegistryOptions) {
    this.#options = options;
    if (options.token !== undefined) this.#authorization = `Bearer ${options.token}`;
  }

  /** @param reference A tag or a digest. */
  manifest(
    reference: string,
    accept: readonly string[],
    asking: Pick<Asking, 'method' | 'bytes_max' | 'signal'>,
  ): Promise<Reply> {
    return this.#ask(`manifests/${reference}`, { ...asking, headers: { accept: accept.join(', ') } });
  }

  /** Its bytes, held to digest and size. @throws Error where they are others. */
  async blob(digest: string, bytes: number, signal?: AbortSignal): Promise<Buffer> {
    const { status, body } = await this.#ask(`blobs/${digest}`, {
      headers: {},
      bytes_max: bytes,
      follows: true,
      signal,
    });
    if (status !== 200) throw new Error(`the registry answers ${status} for ${digest}`);
    if (body.length !== bytes) throw new Error(`${digest} has ${body.length} bytes, and not ${bytes} as its manifest says`); // prettier-ignore
    demandDigest(digest, body);
    return body;
  }

  /** A refusal is answered once: with what the registry asks for. */
  async #ask(at: string, asking: Asking): Promise<Reply> {
    const { origin, repository } = this.#options;
    const url = `${origin}/v2/${repository}/${at}`;
    const first = await this.#follow(url, asking);
    if (first.status !== 401 || first.headers['www-authenticate'] === undefined) return first;
    const authorization = await this.#authorize(first.headers['www-authenticate'], asking.signal);
    if (authorization === undefined) return first;
    this.#authorization = authorization;
    return this.#follow(url, asking);
  }

  /** Blobs often lie elsewhere: what comes from there is held to its digest, and no credential goes there. */
  async #follow(url: string, asking: Asking): Promise<Reply> {
    const { ca } = this.#options;
    const own = this.#authorization === undefined ? {} : { authorization: this.#authorization };
    let reply = await this.send(url, { ...asking, headers: { ...asking.headers, ...own } }, ca);
    let from = url;
    for (let hops = 0; asking.follows === true && [301, 302, 303, 307, 308].includes(reply.status); hops++) {
      if (hops === redirects_max) throw new Error('the registry leads on and on');
      from = new URL(reply.headers.location ?? '', from).href;
      this.#demandSafe(from, 'the registry leads to');
      reply = await this.send(from, asking, ca);
      // Who may send for a token, with the password, is the registry alone.
      delete reply.headers['www-authenticate'];
    }
    return reply;
  }

  protected send(url: string, asking: Asking, ca: string | undefined): Promise<Reply> {
    // What tells of a refusal may be longer than what was asked for.
    return ask(url, {
      ...asking,
      ca,
      bytes_max: Math.max(asking.bytes_max, token_bytes_max),
      time_ms_max: answer_ms_max,
    });
  }

  /** In clear only on this machine, and nobody elsewhere sends the gateway to what listens here for this machine alone. */
  #demandSafe(url: string, what: string): void {
    if (url.startsWith('https://') || (isPlainOnLoopback(url) && isPlainOnLoopback(this.#options.origin))) return;
    throw new Error(`${what} ${url.slice(0, 200)}, which is not https://`);
  }

  async #authorize(challenge: string, signal: AbortSignal | undefined): Promise<string | undefined> {
    const { user, password, token, repository, ca } = this.#options;
    if (token !== undefined) return undefined;
    const basic = user === undefined || password === undefined ? undefined : `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`; // prettier-ignore
    if (/^basic\b/i.test(challenge)) return basic;
    if (!/^bearer /i.test(challenge)) return undefined;
    const { realm = '', service } = parameters(challenge);
    if (!URL.canParse(realm) || realm.length > realm_chars_max)
      throw new Error('the registry does not say where its tokens are given');
    this.#demandSafe(realm, 'the registry sends for a token to');
    const url = new URL(realm);
    if (service !== undefined) url.searchParams.set('service', service);
    // Of what is asked for, and never of more that a registry may want to see allowed.
    url.searchParams.set('scope', `repository:${repository}:pull`);
    const headers = basic === undefined ? {} : { authorization: basic };
    const { status, body } = await this.send(url.href, { headers, bytes_max: token_bytes_max, signal }, ca);
    if (status !== 200) throw new Error(`${url.host} gives no token: it answers ${status}`);
    const said = JSON.parse(body.toString('utf8')) as { token?: unknown; access_token?: unknown };
    const given = said.token ?? said.access_token;
    if (typeof given !== 'string' || !/^[\x21-\x7e]+$/.test(given)) throw new Error(`${url.host} gives no token`);
    return `Bearer ${given}`;
  }
}

/** `Bearer realm="https://…",service="…"` (RFC 9110, 11.6.1) */
function parameters(challenge: string): Record<string, string> {
  const found = challenge.matchAll(/([a-z_]+)="([^"]*)"/gi);
  return Object.fromEntries([...found].map(([, name = '', value = '']) => [name.toLowerCase(), value]));
}

/** @throws Error where the bytes are not what their name says, or it is of an algorithm that is not known. */
export function demandDigest(digest: string, content: Uint8Array): void {
  const [, algorithm = '', hash] = /^(sha256|sha512):([0-9a-f]{64,128})$/.exec(digest) ?? [];
  if (hash === undefined) throw new Error(`${JSON.stringify(digest.slice(0, 200))} is no digest that is known`);
  const found = createHash(algorithm).update(content).digest('hex');
  if (found !== hash) throw new Error(`what the registry sent for ${digest} is ${algorithm}:${found}`);
}
