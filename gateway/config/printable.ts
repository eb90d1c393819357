import { inspect } from 'node:util';
import type { Config } from './config.js';

export const redacted = '***';

/** Keys whose values are secret wherever they come from, also when somebody wrote one into the file itself. */
export const secretKey =
  /password|passphrase|secret|credential|bearer|basic|kubeconfig|^environment$|^jwt$|private_?key|(^|_)(key|token)$|role_?id$/iu;

/** The configuration as it may be shown: `sallyport run --print-config`, logs, bug reports. */
export function printable(config: Config): unknown {
  return {
    file: config.file,
    listen: Object.fromEntries(
      [...config.listen].map(([protocol, { host, port, tls }]) => [
        protocol,
        { host, port, ...(tls && { tls: { certificate: tls.certificate, key: redacted } }) },
      ]),
    ),
    identity: withoutSecrets(config.identity),
    policy: withoutSecrets(config.policy),
    targets: config.targets.map(({ input, upstream, unavailable, form }) => ({
      input,
      upstream: upstream === undefined ? 'known when the gateway runs' : withoutSecrets(upstream),
      ...(unavailable === undefined ? {} : { unavailable }),
      ...(form === undefined ? {} : { elsewhere: form.references.map(({ where }) => where) }),
    })),
    ...(config.vault === undefined ? {} : { vault: withoutSecrets(config.vault) }),
    state: withoutSecrets(config.state),
    approvals: {
      ...config.approvals,
      // Slack's have their secret in the path.
      webhooks: config.approvals.webhooks.map(({ url, ...webhook }) => ({
        ...(withoutSecrets(webhook) as object),
        ...(url === undefined ? {} : { url: new URL(url).origin }),
      })),
    },
    audit: {
      ...(withoutSecrets(config.audit) as object),
      remote: config.audit.remote.map((sink) =>
        sink.type === 'postgres'
          ? withoutSecrets(sink)
          : { ...sink, receiver: { ...sink.receiver, url: new URL(sink.receiver.url).origin, headers: redacted } },
      ),
    },
    console: withoutSecrets(config.console),
    ...(config.recordings && { recordings: config.recordings }),
    masks: config.masks.key === undefined ? {} : { key: redacted },
    secrets: Object.fromEntries(config.secrets),
    warnings: config.warnings,
  };
}

function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      secretKey.test(key) && item !== undefined ? redacted : withoutSecrets(item),
    ]),
  );
}

/** Makes JSON.stringify, console.log and the logger show `shown()` in the place of the object itself. */
export function guard<T extends object>(value: T, shown: () => unknown): T {
  Object.defineProperty(value, 'toJSON', { value: shown, enumerable: false });
  Object.defineProperty(value, inspect.custom, { value: shown, enumerable: false });
  return value;
}

/** An upstream that keeps its secrets when it is printed. */
export function guardUpstream(upstream: unknown): unknown {
  if (typeof upstream !== 'object' || upstream === null) return upstream;
  return guard(upstream, () => withoutSecrets({ ...upstream }));
}
