import type { Logger } from 'pino';
import { readValue, type VaultConfig, type VaultText } from '../../config/index.js';
import { NotGiven } from '../place.js';
import { mapping, secondsOf, textOf, type Answer, type Call } from './call.js';

/** The gateway's own token at Vault. */
export interface VaultToken {
  readonly value: string;
  /** Milliseconds since the epoch; infinite for a token without an end. What was given by it ends with it. */
  readonly expires_ms: number;
}

export interface LoginOptions {
  readonly call: Call;
  readonly log: Logger;
  readonly now: () => number;
}

const retry_ms = 5_000;
const timer_ms_max = 86_400_000;

/**
 * Signs in when somebody needs a token, and prolongs it from then on: when two thirds of its time are over. One that can't be
 * prolonged is replaced when it is needed next.
 */
export class VaultLogin {
  readonly #auth: VaultConfig['auth'];
  readonly #options: LoginOptions;
  #token: VaultToken | undefined;
  #signing: Promise<VaultToken> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(auth: VaultConfig['auth'], options: LoginOptions) {
    this.#auth = auth;
    this.#options = options;
  }

  /** @throws NotGiven */
  async token(): Promise<VaultToken> {
    const token = this.#token;
    if (token !== undefined && token.expires_ms > this.#options.now() && (await this.#isNewest(token))) return token;
    this.#signing ??= this.#signIn().finally(() => (this.#signing = undefined));
    return this.#signing;
  }

  /** It was refused: whoever asks next signs in again. */
  forget(token: VaultToken): void {
    if (this.#token?.value === token.value) this.#token = undefined;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** A token in a file is replaced by whoever writes it there (Vault Agent, for one). */
  async #isNewest({ value }: VaultToken): Promise<boolean> {
    return this.#auth.method !== 'token' || (await textIn(this.#auth.token)) === value;
  }

  async #signIn(): Promise<VaultToken> {
    const { call } = this.#options;
    const auth = this.#auth;
    if (auth.method === 'token') {
      const value = await textIn(auth.token);
      const { status, body } = await call({ method: 'GET', path: 'auth/token/lookup-self', token: value });
      const data = mapping(body['data']);
      if (status !== 200 || data === undefined) throw refused('does not know the token (vault.auth.token)');
      return this.#keep(value, secondsOf(data['ttl']), data['renewable'] === true);
    }
    const answer =
      auth.method === 'approle'
        ? await call({
            method: 'POST',
            path: `auth/${auth.mount}/login`,
            body: {
              role_id: await textIn(auth.roleId),
              ...(auth.secretId === undefined ? {} : { secret_id: await textIn(auth.secretId) }),
            },
          })
        : await call({
            method: 'POST',
            path: `auth/${auth.mount}/login`,
            body: { role: auth.role, jwt: await textIn(auth.jwt) },
          });
    const { token, seconds, renewable } = authOf(answer);
    if (token === undefined) throw refused(`does not let the gateway sign in at auth/${auth.mount} (vault.auth)`);
    return this.#keep(token, seconds, renewable);
  }

  #keep(value: string, seconds: number, renewable: boolean): VaultToken {
    const { now } = this.#options;
    const expires_ms = seconds === 0 ? Number.POSITIVE_INFINITY : now() + seconds * 1_000;
    const token = { value, expires_ms };
    this.#token = token;
    clearTimeout(this.#timer);
    if (seconds > 0) this.#later(() => this.#renew(token, seconds, renewable), (seconds * 2_000) / 3);
    return token;
  }

  async #renew(token: VaultToken, seconds: number, renewable: boolean): Promise<void> {
    const { call, log, now } = this.#options;
    if (this.#closed || this.#token !== token) return;
    const replaceable = this.#auth.method !== 'token';
    if (!renewable) return void (replaceable && this.forget(token));
    try {
      const answer = await call({ method: 'POST', path: 'auth/token/renew-self', token: token.value, body: {} });
      const renewed = authOf(answer);
      if (this.#token !== token) return;
      // Near its longest life Vault gives less and less: another is needed, while this one still holds.
      if (renewed.token === token.value && renewed.seconds >= seconds / 2)
        this.#keep(token.value, renewed.seconds, renewed.renewable);
      else if (replaceable) this.forget(token);
    } catch (error) {
      if (!(error instanceof NotGiven)) throw error;
      log.warn({ why: error.message }, 'credentials: the token at Vault could not be prolonged; it is tried again');
      if (now() < token.expires_ms) this.#later(() => this.#renew(token, seconds, renewable), retry_ms);
    }
  }

  #later(what: () => Promise<void>, after_ms: number): void {
    if (this.#closed) return;
    const run = () =>
      void what().catch((error: unknown) => this.#options.log.error({ err: error }, 'credentials: Vault broke'));
    this.#timer = setTimeout(run, Math.min(after_ms, timer_ms_max)).unref();
  }
}

const refused = (why: string) => new NotGiven(`Vault ${why}`, { final: true });

function authOf({ status, body }: Answer) {
  const auth = status === 200 ? mapping(body['auth']) : undefined;
  return {
    token: textOf(auth?.['client_token']),
    seconds: secondsOf(auth?.['lease_duration']),
    renewable: auth?.['renewable'] === true,
  };
}

/** @throws NotGiven */
async function textIn(text: VaultText): Promise<string> {
  if (typeof text === 'string') return text;
  try {
    return await readValue(text.file);
  } catch (error) {
    throw new NotGiven((error as Error).message, { cause: error });
  }
}
