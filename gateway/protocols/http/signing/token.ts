import { sign } from 'node:crypto';
import { UpstreamError } from '../../../errors.js';
import {
  ask,
  fetchedToken,
  originOf,
  readAnswer,
  Sparing,
  UpstreamAgents,
  type FetchedToken,
  type Origin,
} from '../../../web/index.js';
import type { TokenForm } from './forms.js';

/**
 * A token that a server hands out for a while (RFC 6749, 4.4; RFC 7523; Azure's metadata service): fetched when it is needed, by one
 * request for all that wait, and kept until shortly before it expires. It stands in no message and no log.
 */
export class Token {
  readonly #form: TokenForm;
  readonly #origin: Origin;
  readonly #agents: UpstreamAgents;
  readonly #now: () => number;
  #kept: FetchedToken | undefined;
  #fetching: Promise<FetchedToken> | undefined;
  /** Of the last attempt, where it failed. */
  #failure: Error | undefined;
  /** Of fetches that clients bring about: by requests that are refused, and while none is to be had. */
  readonly #fetches: Sparing;

  constructor(form: TokenForm, now: () => number = Date.now) {
    this.#form = form;
    this.#origin = originOf(new URL(form.url));
    this.#agents = new UpstreamAgents(this.#origin);
    this.#now = now;
    this.#fetches = new Sparing({ burst: fetches_burst, every_ms: fetch_every_ms, now });
  }

  /** Throws UpstreamError where there is none to be had, TokenRefused where it is the credential that is not taken. */
  async get(): Promise<string> {
    if (this.#kept !== undefined && this.#now() < this.#kept.until_ms) return this.#kept.token;
    if (this.#fetching === undefined) {
      if (this.#failure !== undefined && !this.#fetches.take()) throw this.#failure;
      this.#fetching = this.#fetch().finally(() => (this.#fetching = undefined));
    }
    try {
      this.#kept = await this.#fetching;
      this.#failure = undefined;
    } catch (error) {
      this.#failure = error as Error;
      throw error;
    }
    return this.#kept.token;
  }

  /** It was refused: whether the next one is another, fetched anew unless that has happened already. */
  refuse(token: string): boolean {
    if (this.#kept?.token !== token) return true;
    if (!this.#fetches.take()) return false;
    this.#kept = undefined;
    return true;
  }

  /** There is another credential now: what is under way ends, and no connection is kept. */
  retire(): void {
    this.#agents.retire();
  }

  close(): void {
    this.#agents.close();
  }

  async #fetch(): Promise<FetchedToken> {
    const { host, pathname, search } = new URL(this.#form.url);
    const asked_ms = this.#now();
    const { method, fields, body } = questionOf(this.#form, asked_ms);
    const answer = await ask(
      {
        ...{ origin: this.#origin, method, path: pathname + search, timeout_ms },
        fields: { host, accept: 'application/json', ...fields },
        body: Buffer.from(body),
        // Others may wait for it as well: it is not given up with the request that came first.
        signal: AbortSignal.timeout(timeout_ms),
      },
      this.#agents,
    );
    const text = await readAnswer(answer, answer_bytes_max);
    const { statusCode: status = 0 } = answer;
    if (status !== 200) {
      const Kind = refusals.has(status) ? TokenRefused : UpstreamError;
      throw new Kind("no token was to be had for the gateway's own credential", {
        detail: `${host} answered ${String(status)}`,
      });
    }
    return keptOf(text.toString('utf8'), asked_ms);
  }
}

/** Whoever hands out tokens does not take what the gateway asks with: it may have been replaced. */
export class TokenRefused extends UpstreamError {}

/** RFC 6749, 5.2: also where the client or its assertion is wrong. */
const refusals: ReadonlySet<number> = new Set([400, 401, 403]);

const fetches_burst = 5;
const fetch_every_ms = 30_000;
const timeout_ms = 30_000;
const answer_bytes_max = 65_536;
/** Before it expires: what is on its way then arrives in time. */
const early_ms = 60_000;
const lifetime_seconds_default = 300;
const assertion_seconds = 3_600;

function questionOf(form: TokenForm, now_ms: number) {
  if (form.from === 'metadata') return { method: 'GET', fields: { metadata: 'true' }, body: '' };
  const fields = { 'content-type': 'application/x-www-form-urlencoded' };
  const said: Record<string, string> =
    form.from === 'google'
      ? { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: assertionOf(form, now_ms) }
      : {
          grant_type: 'client_credentials',
          client_id: form.client_id,
          client_secret: form.client_secret,
          ...(form.scope === undefined ? {} : { scope: form.scope }),
          ...(form.audience === undefined ? {} : { audience: form.audience }),
        };
  return { method: 'POST', fields, body: new URLSearchParams(said).toString() };
}

/** RFC 7523, 2.1: signed with the service account's own key. */
function assertionOf({ email, key, scope, url }: TokenForm & { readonly from: 'google' }, now_ms: number): string {
  const issued = Math.floor(now_ms / 1_000);
  const claims = { iss: email, scope, aud: url, iat: issued, exp: issued + assertion_seconds };
  const parts = [{ alg: 'RS256', typ: 'JWT' }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString('base64url'),
  );
  const signature = sign('sha256', Buffer.from(parts.join('.')), key).toString('base64url');
  return [...parts, signature].join('.');
}

function keptOf(text: string, asked_ms: number): FetchedToken {
  const found = fetchedToken(text, { names: ['access_token'], asked_ms, lifetime_seconds_default, early_ms });
  if (found?.type !== 'bearer') {
    throw new UpstreamError("the server of tokens for the gateway's own credential answered without a bearer token");
  }
  return found;
}
