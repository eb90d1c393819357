import { readFile } from 'node:fs/promises';
import type { Config, Provider } from '../config/index.js';
import { fail, type Finding, messageOf, ok, warn } from './finding.js';

const answer_ms_max = 5_000;
const skew_ms_max = 5_000;

/** Whether each issuer's keys can be had, and whether its clock and ours agree. */
export async function identityFindings({ identity }: Config): Promise<Finding[]> {
  return (await Promise.all(identity.providers.map((provider) => one(provider)))).flat();
}

async function one({ name, issuer, jwks }: Provider): Promise<Finding[]> {
  const check = `identity ${name}`;
  if (jwks !== undefined) {
    try {
      const { keys } = JSON.parse(await readFile(jwks.file, 'utf8')) as { keys?: unknown[] };
      if (!Array.isArray(keys) || keys.length === 0) throw new Error('there is no key in it');
      return [ok(check, `${keys.length} key${keys.length === 1 ? '' : 's'} in ${jwks.file}`)];
    } catch (error) {
      return [
        fail(check, `${jwks.file}: ${messageOf(error)}`, 'Put a JWK Set with the public keys of the issuer there.'),
      ];
    }
  }
  const url = `${issuer.replace(/\/$/u, '')}/.well-known/openid-configuration`;
  try {
    const asked = Date.now();
    const answer = await fetch(url, { signal: AbortSignal.timeout(answer_ms_max), redirect: 'error' });
    const document = (await answer.json()) as { issuer?: unknown; jwks_uri?: unknown };
    if (!answer.ok || typeof document.jwks_uri !== 'string')
      throw new Error(`it answers ${answer.status} without keys`);
    if (document.issuer !== issuer)
      return [fail(check, `${url} says it is ${String(document.issuer)}, not ${issuer}`, 'Write the issuer as its tokens do, byte for byte.')]; // prettier-ignore
    const keys = await fetch(document.jwks_uri, { signal: AbortSignal.timeout(answer_ms_max) });
    if (!keys.ok) throw new Error(`${document.jwks_uri} answers ${keys.status}`);
    return [ok(check, `${issuer} publishes its keys`), ...clock(name, answer.headers.get('date'), asked)];
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : '';
    return [fail(check, `${url}: ${messageOf(error)}${cause}`, 'Check the issuer, the network and its certificate; or give jwks.')]; // prettier-ignore
  }
}

/** HTTP dates have whole seconds. */
function clock(name: string, date: string | null, asked_ms: number): Finding[] {
  const theirs_ms = Date.parse(date ?? '');
  if (Number.isNaN(theirs_ms)) return [];
  const skew_ms = Math.max(0, asked_ms - 1_000 - theirs_ms, theirs_ms - Date.now());
  const check = `clock of ${name}`;
  return skew_ms > skew_ms_max
    ? [warn(check, `it and ours are ${Math.round(skew_ms / 1000)} s apart`, 'Let both follow NTP: tokens may seem expired, or not valid yet.')] // prettier-ignore
    : [ok(check, 'agrees with ours')];
}
