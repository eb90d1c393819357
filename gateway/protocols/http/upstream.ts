import type { IncomingMessage } from 'node:http';
import { UpstreamError } from '../../errors.js';
import { ask, secretsOf, Sought, UpstreamAgents, type Pooled } from '../../web/index.js';
import type { Request } from './codec.js';
import type { HttpUpstream } from './config.js';
import { hostOf } from './operation.js';
import { authorizing, type Authorizing } from './signing/authorizing.js';
import { TokenRefused } from './signing/token.js';

/** Fields that the gateway adds. */
type Authorization = Readonly<Record<string, string>>;

/** The guarded API: its connections, and the credential that nobody else has. */
export class HttpTarget implements Pooled {
  readonly #upstream: HttpUpstream;
  readonly #agents: UpstreamAgents;
  readonly #authorizing: Authorizing | undefined;
  readonly #secrets: Sought | undefined;
  readonly #renewed: () => Promise<HttpTarget | undefined>;

  /** @param renewed where the credential was refused: the same API, with another one */
  constructor(upstream: HttpUpstream, renewed: () => Promise<HttpTarget | undefined>) {
    this.#upstream = upstream;
    this.#authorizing = upstream.signing === undefined ? undefined : authorizing(upstream.signing);
    this.#secrets = upstream.credential && Sought.of(secretsOf(upstream.credential.value));
    this.#renewed = renewed;
    this.#agents = new UpstreamAgents(upstream);
  }

  /** Sends what was judged; resolves with the head of the answer. Throws UpstreamError. */
  async send(request: Request, signal: AbortSignal): Promise<IncomingMessage> {
    const { target, fields } = await this.#ready(request);
    const answer = await target.#ask(request, fields, signal);
    if (answer.statusCode !== 401 || Object.keys(fields).length === 0) return answer;
    // Nothing was done: it is asked once more, with a token that is fetched anew, or with what it is fetched by now.
    const other = target.#authorizing?.refused(fields) === true ? target : await target.#renewed();
    if (other === undefined) return answer;
    const again = await other.#ready(request).catch((error: unknown) => {
      answer.destroy();
      throw error;
    });
    // The same once more would only count as another attempt.
    const { authorization } = again.fields;
    if (authorization !== undefined && authorization === fields['authorization']) return answer;
    answer.destroy();
    return again.target.#ask(request, again.fields, signal);
  }

  /** What is asked, and by which fields: where whoever hands out tokens does not take the credential, by another one. */
  async #ready(request: Request): Promise<{ readonly target: HttpTarget; readonly fields: Authorization }> {
    try {
      return { target: this, fields: await this.#authorized(request) };
    } catch (error) {
      const other = error instanceof TokenRefused ? await this.#renewed() : undefined;
      if (other === undefined) throw error;
      return { target: other, fields: await other.#authorized(request) };
    }
  }

  async #authorized(request: Request): Promise<Authorization> {
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
    authorization: Authorization,
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
        secrets: this.#authorizing === undefined ? this.#secrets : Sought.of(this.#authorizing.secrets),
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
    this.#authorizing?.retire();
    this.#agents.retire();
  }

  close(): void {
    this.#authorizing?.close();
    this.#agents.close();
  }
}
