import type { IncomingMessage } from 'node:http';
import type { Principal } from '#engine';
import { ask, Sought, UpstreamAgents, type Origin, type Pooled } from '../../web/index.js';
import type { Address } from './address.js';
import type { KubernetesRequest } from './codec.js';
import type { KubernetesUpstream } from './config.js';
import { dial, type Dialled } from './streams/dial.js';

const timeout_ms = 300_000;
/** As the API server spells them. */
const userHeader = 'impersonate-user';
const groupHeader = 'impersonate-group';

/** The guarded API server: its connections, and the credential that nobody else has. */
export class KubernetesTarget implements Pooled {
  readonly #upstream: KubernetesUpstream;
  readonly #origin: Origin;
  readonly #agents: UpstreamAgents;
  readonly #secrets: Sought | undefined;
  readonly #renewed: () => Promise<KubernetesTarget | undefined>;

  /** @param renewed where the credential was refused: the API server with another one */
  constructor(upstream: KubernetesUpstream, renewed: () => Promise<KubernetesTarget | undefined>) {
    const { protocol, hostname, port, ca, serverName, certificate, key, token } = upstream;
    this.#upstream = upstream;
    this.#renewed = renewed;
    this.#origin = { protocol, host: hostname, port, ca, serverName, certificate, key };
    this.#agents = new UpstreamAgents(this.#origin);
    this.#secrets = token === undefined ? undefined : Sought.of([token]);
  }

  /** Sends what was judged; resolves with the head of the answer. Throws UpstreamError. */
  async send(
    request: KubernetesRequest,
    changed: Readonly<Record<string, string>>,
    principal: Principal,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const answer = await this.#ask(request, changed, principal, signal);
    const other = answer.statusCode === 401 ? await this.#other() : undefined;
    if (other === undefined) return answer;
    answer.destroy();
    return other.#ask(request, changed, principal, signal);
  }

  /** The same API server, where the gateway has another credential for it by now. */
  async #other(): Promise<KubernetesTarget | undefined> {
    const other = await this.#renewed();
    const { host, base, impersonate } = this.#upstream;
    if (other === undefined) return undefined;
    const place = other.#upstream;
    // What was judged is sent nowhere else.
    return place.host === host && place.base === base && place.impersonate === impersonate ? other : undefined;
  }

  #ask(
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
        secrets: this.#secrets,
      },
      this.#agents,
    );
  }

  /** The same for a connection to what runs there: `address` is what is asked for. Throws UpstreamError. */
  async dial(
    request: KubernetesRequest,
    address: Address,
    protocols: readonly string[],
    principal: Principal,
    signal: AbortSignal,
  ): Promise<Dialled> {
    const dialled = await this.#dial(request, address, protocols, principal, signal);
    const other = dialled.answer?.statusCode === 401 ? await this.#other() : undefined;
    if (other === undefined) return dialled;
    dialled.answer?.destroy();
    return other.#dial(request, address, protocols, principal, signal);
  }

  #dial(
    request: KubernetesRequest,
    address: Address,
    protocols: readonly string[],
    principal: Principal,
    signal: AbortSignal,
  ): Promise<Dialled> {
    const path = this.#upstream.base + address.text;
    const fields = this.#fields(request, principal);
    return dial({ origin: this.#origin, path, fields, protocols, timeout_ms, signal, secrets: this.#secrets });
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

  retire(): void {
    this.#agents.retire();
  }

  close(): void {
    this.#agents.close();
  }
}
