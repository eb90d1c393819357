import { sign } from 'node:crypto';
import { UpstreamError } from '../../../errors.js';
import { ask, readAnswer, UpstreamAgents, type Origin } from '../../../web/index.js';
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
  #kept: Kept | undefined;
  #fetching: Promise<Kept> | undefined;

  constructor(form: TokenForm, now: () => number = Date.now) {
    this.#form = form;
    const { protocol, hostname, port } = new URL(form.url);
    this.#origin = {
      protocol: protocol as Origin['protocol'],
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
    };
    this.#agents = new UpstreamAgents(this.#origin);
    this.#now = now;
  }

  /** Throws UpstreamError where there is none to be had. */
  async get(): Promise<string> {
    if (this.#kept !== undefined && this.#now() < this.#kept.until_ms) return this.#kept.token;
    this.#fetching ??= this.#fetch().finally(() => (this.#fetching = undefined));
    this.#kept = await this.#fetching;
    return this.#kept.token;
  }

  /** It was refused: the next one is fetched anew, unless that has happened already. */
  refuse(token: string): void {
    if (this.#kept?.token === token) this.#kept = undefined;
  }

  close(): void {
    this.#agents.close();
  }

  async #fetch(): Promise<Kept> {
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
    if (answer.statusCode !== 200) {
      throw new UpstreamError("no token was to be had for the gateway's own credential", {
        detail: `${host} answered ${String(answer.statusCode)}`,
      });
    }
    return keptOf(text.toString('utf8'), asked_ms);
  }
}

interface Kept {
  readonly token: string;
  readonly until_ms: number;
}

const timeout_ms = 30_000;
const answer_bytes_max = 65_536;
/** Before it expires: what is on its way then arrives in time. */
const early_ms = 60_000;
const lifetime_seconds_default = 300;
const lifetime_seconds_max = 86_400;
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

/** RFC 6749, 5.1. Azure's metadata service writes the lifetime as a text. */
function keptOf(text: string, asked_ms: number): Kept {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = undefined;
  }
  const { access_token: token, token_type: type, expires_in: given } = (answer ?? {}) as Record<string, unknown>;
  const bearer = typeof type === 'string' && type.toLowerCase() === 'bearer';
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token) || !bearer) {
    throw new UpstreamError("the server of tokens for the gateway's own credential answered without a bearer token");
  }
  const said = given === undefined ? lifetime_seconds_default : Number(given);
  const seconds = Number.isFinite(said) ? Math.min(Math.max(said, 0), lifetime_seconds_max) : lifetime_seconds_default;
  // Of a short one, half.
  const until_ms = asked_ms + Math.max(seconds * 1_000 - early_ms, (seconds * 1_000) / 2);
  return { token, until_ms };
}
