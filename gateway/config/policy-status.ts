import type { StatusConfig } from './config.js';
import { duration } from './duration.js';
import type { Reading } from './load.js';
import type { StatusInput } from './policy-schema.js';
import { resolveFiles } from './references.js';
import { isCertificate, isSafeUrl } from './webhooks.js';

const interval_ms_min = 1_000;
const interval_ms_max = 86_400_000;
const interval_ms_default = 60_000;

/** The part `policy.status`. */
export async function readStatus(
  input: StatusInput,
  { directory, document, problems }: Reading,
): Promise<StatusConfig> {
  const refuse = (key: string[], message: string) =>
    problems.push(document.problem(['policy', 'status', ...key], message));
  const { url, partition, gzip = false, interval, labels = {} } = input;
  if (!isSafeUrl(url)) refuse(['url'], 'must be https://…, without a password in it; http:// is for loopback alone');
  const { value, unavailable } = await resolveFiles({ token: input.token, ca: input.ca }, directory);
  if (unavailable !== undefined) refuse([], unavailable);
  const { token, ca } = value as { token?: string; ca?: string };
  if (typeof token === 'string' && !/^[\x21-\x7e]+$/u.test(token))
    refuse(['token'], 'has characters that no header can hold');
  if (typeof ca === 'string' && !isCertificate(ca)) refuse(['ca'], 'holds no certificate (PEM)');
  const own = ['id', 'version'].find((name) => Object.hasOwn(labels, name));
  if (own !== undefined) refuse(['labels', own], "is the gateway's own");
  return {
    url: url.replace(/\/+$/u, ''),
    ...(partition === undefined ? {} : { partition }),
    ...(token === undefined ? {} : { token }),
    ...(ca === undefined ? {} : { ca }),
    gzip,
    interval_ms:
      interval === undefined
        ? interval_ms_default
        : Math.min(interval_ms_max, Math.max(duration(interval) ?? 0, interval_ms_min)),
    labels,
  };
}
