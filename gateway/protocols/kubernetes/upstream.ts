import type { IncomingMessage } from 'node:http';
import type { Principal } from '#engine';
import { ask, UpstreamAgents, type Origin } from '../../web/index.js';
import type { KubernetesRequest } from './codec.js';
import type { KubernetesUpstream } from './config.js';

const timeout_ms = 300_000;
/** As the API server spells them. */
const userHeader = 'impersonate-user';
const groupHeader = 'impersonate-group';

/** The guarded API server: its connections, and the credential that nobody else has. */
export class KubernetesTarget {
  readonly #upstream: KubernetesUpstream;
  readonly #origin: Origin;
  readonly #agents: UpstreamAgents;

  constructor(upstream: KubernetesUpstream) {
    const { protocol, hostname, port, ca, serverName, certificate, key } = upstream;
    this.#upstream = upstream;
    this.#origin = { protocol, host: hostname, port, ca, serverName, certificate, key };
    this.#agents = new UpstreamAgents(this.#origin);
  }

  /** Sends what was judged; resolves with the head of the answer. Throws UpstreamError. */
  send(
    request: KubernetesRequest,
    changed: Readonly<Record<string, string>>,
    principal: Principal,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const { host, base, token, impersonate } = this.#upstream;
    const { method, address, body, fields } = request;
    return ask(
      {
        origin: this.#origin,
        method,
        path: base + address.text,
        fields: {
          host,
          ...Object.fromEntries(fields),
          ...changed,
          ...(body.media === undefined ? {} : { 'content-type': body.media }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(impersonate ? { [userHeader]: principal.subject, [groupHeader]: [...principal.groups] } : {}),
        },
        body: body.bytes,
        timeout_ms,
        signal,
      },
      this.#agents,
    );
  }

  close(): void {
    this.#agents.close();
  }
}
