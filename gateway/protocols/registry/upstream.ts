import type { IncomingMessage } from 'node:http';
import { UpstreamError } from '../../errors.js';
import {
  ask,
  originOf,
  secretsOf,
  Sought,
  UpstreamAgents,
  type Origin,
  type Pooled,
  type Streamed,
} from '../../web/index.js';
import type { RegistryUpstream } from './config.js';
import { Learned } from './learned.js';
import { TokenRefused, Tokens, type Scope } from './tokens.js';

/** A request to the registry, as it leaves. */
export interface Sent {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** What it does, for registries that want a token for just that. */
  readonly scope: Scope;
  readonly fields?: Readonly<Record<string, string>>;
  readonly body?: Buffer | Streamed;
  /** A whole blob, which is checked against its digest: the registry can put nothing into it. */
  readonly digested?: boolean;
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
  /** Undefined where the configuration has a token of its own, which is all there is. */
  readonly #tokens: Tokens | undefined;
  /** Of the credential. */
  readonly #secrets: readonly string[];
  /** Whether it has been asked how it wants its clients to sign in. */
  #probed = false;

  /** @param renewed where the credential was refused: the same registry, with another one */
  constructor(upstream: RegistryUpstream, renewed: () => Promise<RegistryTarget | undefined>) {
    this.#upstream = upstream;
    this.#renewed = renewed;
    this.#agents = new UpstreamAgents(upstream);
    const { name, credential, tokenHosts: hosts, timeout_ms } = upstream;
    this.#secrets = secretsOf(fieldOf(credential) ?? '');
    if (credential !== undefined && 'bearer' in credential) return;
    this.#tokens = new Tokens({ origin: upstream, name, hosts, basic: credential?.basic, timeout_ms });
  }

  /** Whose signatures count there; empty where none is looked at. */
  get keys(): RegistryUpstream['signatureKeys'] {
    return this.#upstream.signatureKeys;
  }

  /** Sends what was judged; resolves with the head of the answer. Throws UpstreamError. */
  async send(sent: Sent, signal: AbortSignal): Promise<IncomingMessage> {
    let answer = await this.#attempt(sent, signal);
    // A body that is not held has gone by.
    if (refused(answer) && !streams(sent)) {
      const other = await this.#renewed();
      if (other !== undefined) {
        if (answer !== 'no token') answer.destroy();
        answer = await other.#attempt(sent, signal);
      }
    }
    if (answer === 'no token') {
      throw new UpstreamError("who hands out tokens for the registry does not take the gateway's credential");
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

  /** With a token, where the registry wants one. */
  async #attempt(sent: Sent, signal: AbortSignal): Promise<IncomingMessage | 'no token'> {
    const tokens = this.#tokens;
    if (tokens === undefined) return this.#ask(sent, signal);
    try {
      if (streams(sent) && !tokens.known) await this.#probe(tokens, sent.scope, signal);
      const token = await tokens.of(sent.scope);
      const answer = await this.#ask(sent, signal, token);
      if (answer.statusCode !== 401) return answer;
      // Nothing of it is for anybody.
      answer.destroy();
      if (!tokens.challenged(answer.headers['www-authenticate'])) return answer;
      const another = token === undefined || (await tokens.refuse(sent.scope, token));
      // A body that has gone by is for its client to send again.
      if (!another || streams(sent)) return answer;
      return await this.#ask(sent, signal, await tokens.of(sent.scope));
    } catch (error) {
      if (error instanceof TokenRefused) return 'no token';
      throw error;
    }
  }

  /** A body that comes as it is sent can go once: whether it needs a token has to be known before. */
  async #probe(tokens: Tokens, scope: Scope, signal: AbortSignal): Promise<void> {
    if (this.#probed) return;
    const answer = await this.#ask({ method: 'GET', path: '/v2/', scope }, signal);
    answer.destroy();
    if (answer.statusCode === 401) tokens.challenged(answer.headers['www-authenticate']);
    this.#probed = true;
  }

  #ask(sent: Sent, signal: AbortSignal, token?: string): Promise<IncomingMessage> {
    const { name, credential, timeout_ms } = this.#upstream;
    const authorization = token === undefined ? fieldOf(credential) : `Bearer ${token}`;
    return ask(
      {
        origin: this.#upstream,
        method: sent.method,
        path: sent.path,
        fields: { host: name, ...sent.fields, ...(authorization === undefined ? {} : { authorization }) },
        body: sent.body ?? nothing,
        timeout_ms,
        signal,
        secrets: Sought.of([...this.#secrets, ...(token === undefined ? [] : [token])]),
        ...(sent.digested === undefined ? {} : { digested: sent.digested }),
      },
      this.#agents,
    );
  }

  /** As `send`; where the registry sends elsewhere for a blob, the gateway goes there, without its credential. */
  async fetch(sent: Sent, signal: AbortSignal): Promise<IncomingMessage> {
    let answer = await this.send(sent, signal);
    let place = new URL(sent.path, rootOf(this.#upstream));
    for (let hops = 0; redirects.has(answer.statusCode ?? 0); hops++) {
      const { location } = answer.headers;
      answer.destroy();
      if (hops >= redirects_max || location === undefined) throw new UpstreamError('the registry sends on and on');
      place = urlOf(location, place);
      const { range, accept } = sent.fields ?? {};
      const fields = { ...(range === undefined ? {} : { range }), ...(accept === undefined ? {} : { accept }) };
      answer = await this.#elsewhere({ ...sent, path: place.pathname + place.search, fields }, place, signal);
    }
    return answer;
  }

  /** Where an upload goes on: path and query at the registry. Throws UpstreamError for another place. */
  place(location: string | undefined, asked: string): string {
    if (location === undefined) throw new UpstreamError('the registry does not say where the upload goes on');
    const origin = rootOf(this.#upstream);
    const found = urlOf(location, new URL(asked, origin));
    // Behind a proxy, registries write http:// for themselves; the gateway goes on over what it is told to use.
    if (found.hostname !== origin.hostname) throw new UpstreamError('the registry sends to another host for uploads');
    return found.pathname + found.search;
  }

  async #elsewhere(sent: Sent, place: URL, signal: AbortSignal): Promise<IncomingMessage> {
    const own = rootOf(this.#upstream);
    if (place.origin === own.origin) return this.send(sent, signal);
    const { method, path, fields } = sent;
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
    const origin = originOf(place);
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
    this.#tokens?.retire();
    for (const agents of this.#storage.values()) agents.retire();
  }

  close(): void {
    this.#agents.close();
    this.#tokens?.close();
    for (const agents of this.#storage.values()) agents.close();
  }
}

/** What Authorization says, where no token was fetched. */
function fieldOf(credential: RegistryUpstream['credential']): string | undefined {
  if (credential === undefined) return undefined;
  if ('bearer' in credential) return `Bearer ${credential.bearer}`;
  return `Basic ${Buffer.from(credential.basic).toString('base64')}`;
}

const streams = ({ body }: Sent): boolean => body !== undefined && 'stream' in body;

const refused = (answer: IncomingMessage | 'no token'): boolean => answer === 'no token' || answer.statusCode === 401;

const rootOf = ({ protocol, name }: RegistryUpstream): URL => new URL(`${protocol}//${name}`);

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
