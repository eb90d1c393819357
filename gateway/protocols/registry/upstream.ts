import type { IncomingMessage } from 'node:http';
import { UpstreamError } from '../../errors.js';
import { ask, UpstreamAgents, type Origin, type Pooled, type Streamed } from '../../web/index.js';
import type { RegistryUpstream } from './config.js';
import { Learned } from './learned.js';

/** A request to the registry, as it leaves. */
export interface Sent {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly fields?: Readonly<Record<string, string>>;
  readonly body?: Buffer | Streamed;
}

const nothing = Buffer.alloc(0);
const redirects_max = 3;
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Hosts that blobs are fetched from beside the registry itself. */
const hosts_max = 16;

/** The guarded registry: its connections, and the credential that nobody else has. */
export class RegistryTarget implements Pooled {
  readonly learned = new Learned();
  readonly #upstream: RegistryUpstream;
  readonly #agents: UpstreamAgents;
  readonly #storage = new Map<string, UpstreamAgents>();
  readonly #renewed: () => Promise<RegistryTarget | undefined>;

  /** @param renewed where the credential was refused: the same registry, with another one */
  constructor(upstream: RegistryUpstream, renewed: () => Promise<RegistryTarget | undefined>) {
    this.#upstream = upstream;
    this.#renewed = renewed;
    this.#agents = new UpstreamAgents(upstream);
  }

  /** Whose signatures count there; empty where none is looked at. */
  get keys(): RegistryUpstream['signatureKeys'] {
    return this.#upstream.signatureKeys;
  }

  /** Sends what was judged; resolves with the head of the answer. Throws UpstreamError. */
  async send(sent: Sent, signal: AbortSignal): Promise<IncomingMessage> {
    let answer = await this.#ask(sent, signal);
    // A body that is not held has gone by.
    if (answer.statusCode === 401 && !(sent.body !== undefined && 'stream' in sent.body)) {
      const other = await this.#renewed();
      if (other !== undefined) {
        answer.destroy();
        answer = await other.#ask(sent, signal);
      }
    }
    const status = answer.statusCode ?? 0;
    if (status === 401) {
      answer.destroy();
      // As it is, clients would take it for a word on their own token.
      throw new UpstreamError("the registry does not take the gateway's credential");
    }
    if (status < 200 || status > 599) {
      answer.destroy();
      throw new UpstreamError('the registry answered with no status that there is');
    }
    return answer;
  }

  #ask(sent: Sent, signal: AbortSignal): Promise<IncomingMessage> {
    const { name, credential, timeout_ms } = this.#upstream;
    const authorization =
      credential === undefined
        ? undefined
        : 'bearer' in credential
          ? `Bearer ${credential.bearer}`
          : `Basic ${Buffer.from(credential.basic).toString('base64')}`;
    return ask(
      {
        origin: this.#upstream,
        method: sent.method,
        path: sent.path,
        fields: { host: name, ...sent.fields, ...(authorization === undefined ? {} : { authorization }) },
        body: sent.body ?? nothing,
        timeout_ms,
        signal,
      },
      this.#agents,
    );
  }

  /** As `send`; where the registry sends elsewhere for a blob, the gateway goes there, without its credential. */
  async fetch(sent: Sent, signal: AbortSignal): Promise<IncomingMessage> {
    let answer = await this.send(sent, signal);
    let place = new URL(sent.path, originOf(this.#upstream));
    for (let hops = 0; redirects.has(answer.statusCode ?? 0); hops++) {
      const { location } = answer.headers;
      answer.destroy();
      if (hops >= redirects_max || location === undefined) throw new UpstreamError('the registry sends on and on');
      place = urlOf(location, place);
      const { range, accept } = sent.fields ?? {};
      const fields = { ...(range === undefined ? {} : { range }), ...(accept === undefined ? {} : { accept }) };
      answer = await this.#elsewhere(sent.method, place, fields, signal);
    }
    return answer;
  }

  /** Where an upload goes on: path and query at the registry. Throws UpstreamError for another place. */
  place(location: string | undefined, asked: string): string {
    if (location === undefined) throw new UpstreamError('the registry does not say where the upload goes on');
    const origin = originOf(this.#upstream);
    const found = urlOf(location, new URL(asked, origin));
    // Behind a proxy, registries write http:// for themselves; the gateway goes on over what it is told to use.
    if (found.hostname !== origin.hostname) throw new UpstreamError('the registry sends to another host for uploads');
    return found.pathname + found.search;
  }

  async #elsewhere(
    method: string,
    place: URL,
    fields: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const own = originOf(this.#upstream);
    const path = place.pathname + place.search;
    if (place.origin === own.origin) return this.send({ method, path, fields }, signal);
    const { storage, protocol, timeout_ms } = this.#upstream;
    const listed = storage.some((pattern) =>
      pattern.startsWith('*.')
        ? place.hostname.endsWith(pattern.slice(1))
        : pattern === place.hostname || pattern === place.host,
    );
    if (!listed || (place.protocol !== 'https:' && protocol === 'https:')) {
      throw new UpstreamError(
        'the registry keeps this blob on another host, which upstream.storage does not name: ask whoever runs the gateway',
        { detail: place.origin },
      );
    }
    const origin: Origin = {
      protocol: place.protocol as Origin['protocol'],
      host: place.hostname.replace(/^\[|\]$/gu, ''),
      port: place.port === '' ? (place.protocol === 'https:' ? 443 : 80) : Number(place.port),
    };
    return ask(
      { origin, method, path, fields: { host: place.host, ...fields }, body: nothing, timeout_ms, signal },
      this.#agentsFor(place.origin, origin),
    );
  }

  #agentsFor(name: string, origin: Origin): UpstreamAgents {
    let agents = this.#storage.get(name);
    if (agents !== undefined) return agents;
    const [oldest] = this.#storage.keys();
    if (oldest !== undefined && this.#storage.size >= hosts_max) {
      this.#storage.get(oldest)?.close();
      this.#storage.delete(oldest);
    }
    this.#storage.set(name, (agents = new UpstreamAgents(origin)));
    return agents;
  }

  retire(): void {
    this.#agents.retire();
    for (const agents of this.#storage.values()) agents.retire();
  }

  close(): void {
    this.#agents.close();
    for (const agents of this.#storage.values()) agents.close();
  }
}

const originOf = ({ protocol, name }: RegistryUpstream): URL => new URL(`${protocol}//${name}`);

function urlOf(text: string, base: URL): URL {
  let url: URL;
  try {
    url = new URL(text, base);
  } catch (error) {
    throw new UpstreamError('the registry sends to a place that is no URL', { cause: error });
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new UpstreamError('the registry sends to a place that is not on the web');
  }
  return url;
}
