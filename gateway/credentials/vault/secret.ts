import { duration } from '../../config/index.js';
import { refresh_default, type VaultReference } from '../../elsewhere.js';
import { NotGiven, type Given, type Place } from '../place.js';
import { mapping, secondsOf, textOf, type Answer, type Call } from './call.js';
import type { VaultLogin, VaultToken } from './login.js';

export interface SecretOptions {
  readonly address: string;
  readonly call: Call;
  readonly login: VaultLogin;
  readonly now: () => number;
}

interface Lease {
  readonly id: string;
  readonly seconds: number;
  readonly renewable: boolean;
  /** Its end is the lease's end, too. */
  readonly token: string;
}

interface Leased extends Given {
  readonly lease?: Lease;
}

const again_ms_min = 1_000;
/** A lease that is so short is still read again before its end. */
const lease_again_ms_min = 100;

/** What stands at one path: of a kv engine read every while, of a database engine prolonged, and replaced before its end. */
export function vaultPlace(reference: VaultReference, { address, call, login, now }: SecretOptions): Place {
  const { path, engine = 'kv-v2', refresh = refresh_default } = reference;
  const name = `Vault's ${path}`;

  /** Signs in once more where the token is refused: it may have been revoked, or have lost what it was good for. */
  const ask = async (question: { method: 'GET' | 'POST'; path: string; body?: Record<string, unknown> }) => {
    const token = await login.token();
    const answer = await call({ ...question, token: token.value });
    if (answer.status !== 403) return { answer, token };
    login.forget(token);
    const other = await login.token();
    return { answer: await call({ ...question, token: other.value }), token: other };
  };
  const leased = (values: Given['values'], lease: Lease, token: VaultToken): Leased => {
    const expires_ms = Math.min(now() + lease.seconds * 1_000, token.expires_ms);
    const again_ms = Math.max(((expires_ms - now()) * 2) / 3, lease_again_ms_min);
    return { values, expires_ms, again_ms, lease };
  };
  return {
    name,
    async read(): Promise<Leased> {
      const { answer, token } = await ask({ method: 'GET', path });
      const data = mapping(answer.body['data']);
      if (answer.status !== 200 || data === undefined) throw notThere(name, answer, address);
      if (engine !== 'database') {
        const inside = engine === 'kv-v1' ? data : mapping(data['data']);
        if (inside === undefined) throw new NotGiven(`${name} is no secret of the engine ${engine}`, { final: true });
        return { values: textsOf(inside), again_ms: Math.max(duration(refresh) ?? 0, again_ms_min) };
      }
      const id = textOf(answer.body['lease_id']);
      const seconds = secondsOf(answer.body['lease_duration']);
      // A static role has no lease: its password is another when its "ttl" is over.
      if (id === undefined) return { values: textsOf(data), again_ms: secondsOf(data['ttl']) * 1_000 + again_ms_min };
      if (seconds === 0) throw new NotGiven(`${name} has a lease without a duration`, { final: true });
      const renewable = answer.body['renewable'] === true;
      return leased(textsOf(data), { id, seconds, renewable, token: token.value }, token);
    },
    async extend(given: Leased): Promise<Leased | undefined> {
      const { lease, values } = given;
      if (lease === undefined || !lease.renewable) return undefined;
      const token = await login.token();
      if (token.value !== lease.token) return undefined;
      const body = { lease_id: lease.id, increment: lease.seconds };
      const { status, body: renewed } = await call({
        ...{ method: 'POST', path: 'sys/leases/renew', token: token.value },
        body,
      });
      const seconds = secondsOf(renewed['lease_duration']);
      // Near the longest life of a lease Vault gives less and less.
      if (status !== 200 || seconds < lease.seconds / 2) return undefined;
      return { ...leased(values, { ...lease, seconds }, token), lease };
    },
  };
}

function notThere(name: string, { status }: Answer, address: string): NotGiven {
  const why =
    status === 403
      ? `${name} may not be read by the gateway's token`
      : status === 404
        ? `${name} does not exist, or was deleted`
        : `Vault at ${address} does not answer for ${name} as its API says (${status})`;
  return new NotGiven(why, { final: status === 403 || status === 404 });
}

function textsOf(data: Readonly<Record<string, unknown>>): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(data).flatMap(([name, value]) =>
      typeof value === 'string' && value !== '' ? [[name, value] as const] : [],
    ),
  );
}
