import type { IncomingMessage } from 'node:http';
import { UpstreamError } from '../../errors.js';
import { ask, UpstreamAgents, type Pooled } from '../../web/index.js';
import type { Request } from './codec.js';
import type { HttpUpstream } from './config.js';
import { hostOf } from './operation.js';
import { authorizing, type Authorizing } from './signing/authorizing.js';

/** The guarded API: its connections, and the credential that nobody else has. */
export class HttpTarget implements Pooled {
  readonly #upstream: HttpUpstream;
  readonly #agents: UpstreamAgents;
  readonly #authorizing: Authorizing | undefined;
  readonly #renewed: () => Promise<HttpTarget | undefined>;

  /** @param renewed where the credential was refused: the same API, with another one */
  constructor(upstream: HttpUpstream, renewed: () => Promise<HttpTarget | undefined>) {
    this.#upstream = upstream;
    this.#authorizing = upstream.signing === undefined ? undefined : authorizing(upstream.signing);
    this.#renewed = renewed;
    this.#agents = new UpstreamAgents(upstream);
  }

  /** Sends what was judged; resolves with the head of the answer. Throws UpstreamError. */
  async send(request: Request, signal: AbortSignal): Promise<IncomingMessage> {
    const fields = await this.#authorized(request);
    const answer = await this.#ask(request, fields, signal);
    if (answer.statusCode !== 401 || Object.keys(fields).length === 0) return answer;
    // Nothing was done: it is asked once more, with a token that is fetched anew, or with what it is fetched by now.
    const other = this.#authorizing?.refused(fields) === true ? this : await this.#renewed();
    if (other === undefined) return answer;
    answer.destroy();
    return other.#ask(request, await other.#authorized(request), signal);
  }

  async #authorized(request: Request): Promise<Readonly<Record<string, string>>> {
    const { credential } = this.#upstream;
    if (this.#authorizing !== undefined) return this.#authorizing.fields(request, this.#host);
    return credential === undefined ? {} : { [credential.name]: credential.value };
  }

  /** As it is said in the field Host: without the port that the scheme means anyway. */
  get #host(): string {
    const { protocol, port } = this.#upstream;
    const host = hostOf(this.#upstream);
    return port === (protocol === 'https:' ? 443 : 80) ? host.slice(0, host.lastIndexOf(':')) : host;
  }

  async #ask(
    { method, path, query, fields, body }: Request,
    authorization: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const upstream = this.#upstream;
    const answer = await ask(
      {
        origin: upstream,
        method,
        path: (path.text === '' ? '/' : path.text) + (query.text === '' ? '' : `?${query.text}`),
        fields: {
          host: this.#host,
          ...Object.fromEntries(fields.forwarded),
          ...authorization,
        },
        body: body.bytes,
        timeout_ms: upstream.timeout_ms,
        signal,
      },
      this.#agents,
    );
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status <= 599) return answer;
    answer.destroy();
    throw new UpstreamError('the target answered with no status that there is');
  }

  /**
   * A place of the upstream's own, as the client reaches it through the gateway: undefined for what lies elsewhere.
   *
   * @param mounted "/http/TARGET"
   */
  location(value: string, mounted: string): string | undefined {
    const { protocol, base } = this.#upstream;
    const origin = `${protocol}//${hostOf(this.#upstream)}`;
    let place: URL;
    try {
      place = new URL(value, `${origin}/`);
    } catch {
      return undefined;
    }
    if (place.origin !== new URL(origin).origin) return undefined;
    const inside = place.pathname === base || place.pathname.startsWith(`${base}/`);
    return inside ? mounted + place.pathname.slice(base.length) + place.search + place.hash : undefined;
  }

  retire(): void {
    this.#agents.retire();
  }

  close(): void {
    this.#authorizing?.close();
    this.#agents.close();
  }
}
