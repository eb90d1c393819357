import type { IncomingMessage } from 'node:http';
import type { Principal } from '#engine';
import { ask, UpstreamAgents, type Origin } from '../../web/index.js';
import type { Address } from './address.js';
import type { KubernetesRequest } from './codec.js';
import type { KubernetesUpstream } from './config.js';
import { dial, type Dialled } from './streams/dial.js';

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
    const { method, address, body } = request;
    return ask(
      {
        origin: this.#origin,
        method,
        path: this.#upstream.base + address.text,
        fields: {
          ...this.#fields(request, principal),
          ...changed,
          ...(body.media === undefined ? {} : { 'content-type': body.media }),
        },
        body: body.bytes,
        timeout_ms,
        signal,
      },
      this.#agents,
    );
  }

  /** The same for a connection to what runs there: `address` is what is asked for. Throws UpstreamError. */
  dial(
    request: KubernetesRequest,
    address: Address,
    protocols: readonly string[],
    principal: Principal,
    signal: AbortSignal,
  ): Promise<Dialled> {
    const path = this.#upstream.base + address.text;
    const fields = this.#fields(request, principal);
    return dial({ origin: this.#origin, path, fields, protocols, timeout_ms, signal });
  }

  /** What goes on of the fields, and as whom the gateway asks. */
  #fields({ fields }: KubernetesRequest, principal: Principal): Record<string, string | readonly string[]> {
    const { host, token, impersonate } = this.#upstream;
    return {
      host,
      ...Object.fromEntries(fields),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(impersonate ? { [userHeader]: principal.subject, [groupHeader]: [...principal.groups] } : {}),
    };
  }

  close(): void {
    this.#agents.close();
  }
}
