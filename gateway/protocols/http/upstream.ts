import type { IncomingMessage } from 'node:http';
import { UpstreamError } from '../../errors.js';
import { ask, UpstreamAgents } from '../../web/index.js';
import type { Request } from './codec.js';
import type { HttpUpstream } from './config.js';
import { hostOf } from './operation.js';

/** The guarded API: its connections, and the credential that nobody else has. */
export class HttpTarget {
  readonly #upstream: HttpUpstream;
  readonly #agents: UpstreamAgents;

  constructor(upstream: HttpUpstream) {
    this.#upstream = upstream;
    this.#agents = new UpstreamAgents(upstream);
  }

  /** Sends what was judged; resolves with the head of the answer. Throws UpstreamError. */
  async send(request: Request, signal: AbortSignal): Promise<IncomingMessage> {
    const upstream = this.#upstream;
    const { method, path, query, fields, body } = request;
    const standard = upstream.port === (upstream.protocol === 'https:' ? 443 : 80);
    const host = hostOf(upstream);
    const { credential } = upstream;
    const answer = await ask(
      {
        origin: upstream,
        method,
        path: (path.text === '' ? '/' : path.text) + (query.text === '' ? '' : `?${query.text}`),
        fields: {
          host: standard ? host.slice(0, host.lastIndexOf(':')) : host,
          ...Object.fromEntries(fields.forwarded),
          ...(credential === undefined ? {} : { [credential.name]: credential.value }),
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

  close(): void {
    this.#agents.close();
  }
}
