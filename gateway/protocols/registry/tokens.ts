import { UpstreamError } from '../../errors.js';
import {
  ask,
  fetchedToken,
  originOf,
  readAnswer,
  Sparing,
  UpstreamAgents,
  type FetchedToken,
  type Origin,
} from '../../web/index.js';
import { loopback } from './names.js';

/**
 * Tokens of registries that send their clients elsewhere for one (Docker Hub, GitHub, Harbor, GitLab): fetched with the
 * gateway's credential for what is done and no more, kept until shortly before they expire, given to the registry alone.
 *
 * @see https://distribution.github.io/distribution/spec/auth/token/
 */

/** What is done to a repository, as services of tokens have it. */
export interface Scope {
  readonly repository: string;
  readonly actions: 'pull' | 'pull,push' | 'delete';
  /** Of a mount: the repository that is read as well. */
  readonly from?: string | undefined;
}

export interface TokensOptions {
  /** The registry. */
  readonly origin: Origin;
  /** HOST:PORT of the registry. */
  readonly name: string;
  /** HOST:PORT of who else may hand out its tokens. */
  readonly hosts: readonly string[];
  /** USER:PASSWORD; undefined: tokens are asked for as nobody. */
  readonly basic: string | undefined;
  readonly timeout_ms: number;
  /** The clock, in milliseconds. Default: Date.now. */
  readonly now?: () => number;
}

/** Who hands out tokens does not take the gateway's credential: it may have been replaced. */
export class TokenRefused extends UpstreamError {}

interface Service {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly agents: UpstreamAgents;
  readonly origin: Origin;
}

const scopes_max = 256;
const realm_chars_max = 2_000;
const answer_bytes_max = 65_536;
const fetches_burst = 20;
const fetch_every_ms = 2_000;
/** As the specification has it. */
const lifetime_seconds_default = 60;
const early_ms = 30_000;

export class Tokens {
  readonly #options: TokensOptions;
  readonly #now: () => number;
  readonly #kept = new Map<string, Promise<FetchedToken>>();
  /** Of fetches after a refusal: clients bring them about. */
  readonly #again: Sparing;
  #service: Service | undefined;

  constructor(options: TokensOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#again = new Sparing({ burst: fetches_burst, every_ms: fetch_every_ms, now: this.#now });
  }

  /** Whether the registry is known to take tokens. */
  get known(): boolean {
    return this.#service !== undefined;
  }

  /**
   * The registry has answered 401: whether it sends for a token. Throws UpstreamError where it sends to somebody who may not
   * see the credential.
   */
  challenged(field: string | undefined): boolean {
    const challenge = bearerOf(field);
    if (challenge === undefined) return false;
    const { realm, service } = challenge;
    if (this.#service?.realm.href !== realm.href || this.#service.service !== service) {
      const origin = this.#allowed(realm);
      this.#service?.agents.retire();
      this.#kept.clear();
      this.#service = { realm, service, origin, agents: new UpstreamAgents(origin) };
    }
    return true;
  }

  /** Undefined where the registry is not known to take tokens. Throws UpstreamError, TokenRefused where it is the credential that is not taken. */
  async of(scope: Scope): Promise<string | undefined> {
    const service = this.#service;
    if (service === undefined) return undefined;
    const key = keyOf(scope);
    const known = this.#kept.get(key);
    if (known !== undefined) {
      const { token, until_ms } = await known;
      if (this.#now() < until_ms) return token;
    }
    // Others may have begun meanwhile: one request serves all that wait.
    const under = this.#kept.get(key);
    return (await (under === known || under === undefined ? this.#begin(key, service, scope) : under)).token;
  }

  /** The registry does not take it: whether the next one is another, fetched anew unless that has happened already. */
  async refuse(scope: Scope, token: string): Promise<boolean> {
    const kept = await this.#kept.get(keyOf(scope));
    if (kept !== undefined && kept.token !== token) return true;
    if (!this.#again.take()) return false;
    this.#kept.delete(keyOf(scope));
    return true;
  }

  retire(): void {
    this.#service?.agents.retire();
  }

  close(): void {
    this.#service?.agents.close();
  }

  #begin(key: string, service: Service, scope: Scope): Promise<FetchedToken> {
    const fetching = this.#fetch(service, scope);
    this.#kept.delete(key);
    const [oldest] = this.#kept.keys();
    if (oldest !== undefined && this.#kept.size >= scopes_max) this.#kept.delete(oldest);
    this.#kept.set(key, fetching);
    fetching.catch(() => {
      // Failures are not kept: the next one asks again.
      if (this.#kept.get(key) === fetching) this.#kept.delete(key);
    });
    return fetching;
  }

  async #fetch({ realm, service, origin, agents }: Service, scope: Scope): Promise<FetchedToken> {
    const { basic, timeout_ms } = this.#options;
    const asked_ms = this.#now();
    const answer = await ask(
      {
        ...{ origin, method: 'GET', path: pathOf(realm, service, scope), timeout_ms, body: Buffer.alloc(0) },
        fields: {
          host: realm.host,
          accept: 'application/json',
          ...(basic === undefined ? {} : { authorization: `Basic ${Buffer.from(basic).toString('base64')}` }),
        },
        // Others may wait for it as well: it is not given up with the request that came first.
        signal: AbortSignal.timeout(timeout_ms),
      },
      agents,
    );
    const status = answer.statusCode ?? 0;
    if (status !== 200) {
      answer.destroy();
      const Kind = status === 401 || status === 403 ? TokenRefused : UpstreamError;
      throw new Kind('the registry sends for a token, and none is to be had with the credential of the gateway', {
        detail: `${realm.host} answered ${String(status)}`,
      });
    }
    return keptOf((await readAnswer(answer, answer_bytes_max)).toString('utf8'), asked_ms);
  }

  /** Where tokens may be fetched: at the registry itself, or where the configuration says. Throws UpstreamError. */
  #allowed(realm: URL): Origin {
    const { origin, name, hosts } = this.#options;
    const place = `${realm.hostname}:${String(originOf(realm).port)}`;
    const inside = loopback.test(realm.hostname);
    const safe = inside ? loopback.test(new URL(`http://${name}`).hostname) : realm.protocol === 'https:';
    const web = realm.protocol === 'https:' || realm.protocol === 'http:';
    if (!web || !safe || (place !== name && !hosts.includes(place))) {
      throw new UpstreamError(
        'the registry sends for tokens to a place that upstream.token_hosts does not name, or that is not https://: ask whoever runs the gateway',
        { detail: realm.origin },
      );
    }
    if (place === name && realm.protocol === origin.protocol) return origin;
    return originOf(realm);
  }
}

const keyOf = ({ repository, actions, from = '' }: Scope): string => `${repository} ${actions} ${from}`;

/** The scope is what is done, and never what the registry says that it would be. */
function pathOf(realm: URL, service: string | undefined, { repository, actions, from }: Scope): string {
  const query = new URLSearchParams(realm.search);
  if (service !== undefined) query.set('service', service);
  query.delete('scope');
  query.append('scope', `repository:${repository}:${actions}`);
  if (from !== undefined) query.append('scope', `repository:${from}:pull`);
  return `${realm.pathname}?${query.toString()}`;
}

/** Of `Bearer realm="…",service="…"`, where it is among what WWW-Authenticate says (RFC 9110, 11.6.1). Throws UpstreamError for a realm that is no URL. */
function bearerOf(field: string | undefined): { realm: URL; service: string | undefined } | undefined {
  const [, said] = /(?:^|,)[ \t]*bearer[ \t]+((?:[a-z_]+="[^"]*"[ \t]*,?[ \t]*)+)/i.exec(field ?? '') ?? [];
  if (said === undefined) return undefined;
  const found = [...said.matchAll(/([a-z_]+)="([^"]*)"/gi)];
  const parameters = new Map(found.map(([, name = '', value = '']) => [name.toLowerCase(), value]));
  const realm = parameters.get('realm') ?? '';
  if (!URL.canParse(realm) || realm.length > realm_chars_max) {
    throw new UpstreamError('the registry sends for a token, and does not say where to');
  }
  const url = new URL(realm);
  if (url.username !== '' || url.password !== '') throw new UpstreamError('the registry sends for a token with a name');
  url.hash = '';
  return { realm: url, service: parameters.get('service') };
}

function keptOf(text: string, asked_ms: number): FetchedToken {
  const names = ['token', 'access_token'];
  const found = fetchedToken(text, { names, asked_ms, lifetime_seconds_default, early_ms });
  if (found === undefined) throw new UpstreamError('who hands out tokens for the registry answered without one');
  return found;
}
