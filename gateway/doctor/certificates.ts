import { X509Certificate } from 'node:crypto';
import type { Config } from '../config/index.js';
import { fail, type Finding, messageOf, ok, warn } from './finding.js';

const day_ms = 86_400_000;
const soon_days = 21;

/** How long what the listeners show is good for. */
export async function certificateFindings({ listen }: Config): Promise<Finding[]> {
  return [...listen].flatMap(([name, { host, tls }]): Finding[] => {
    const check = `listen.${name}`;
    if (tls === undefined) {
      const own = name === 'https' || name === 'ssh' || /^(127\.|::1$|localhost$)/u.test(host);
      return own
        ? [ok(check, `on ${host}`)]
        : [
            warn(
              check,
              `on ${host} without TLS: tokens would travel in clear`,
              'Give it tls, or bind it to 127.0.0.1.',
            ),
          ];
    }
    try {
      const { validTo, validFrom, subject } = new X509Certificate(tls.certificate);
      const days = Math.floor((Date.parse(validTo) - Date.now()) / day_ms);
      const named = subject.replaceAll('\n', ', ');
      if (Date.parse(validFrom) > Date.now())
        return [
          fail(check, `the certificate of ${named} is valid from ${validFrom} only`, 'Check the clock, or wait.'),
        ];
      if (days < 0)
        return [fail(check, `the certificate of ${named} has expired: ${validTo}`, 'Renew it and restart.')];
      const message = `the certificate of ${named} is valid until ${validTo}`;
      return [days < soon_days ? warn(check, message, 'Renew it.') : ok(check, message)];
    } catch (error) {
      return [fail(check, `the certificate cannot be read: ${messageOf(error)}`, 'It is PEM, the chain behind it.')];
    }
  });
}
