import { X509Certificate } from 'node:crypto';
import type { Config, Provider } from './config.js';
import { duration } from './duration.js';
import type { Reading } from './load.js';
import { absolute, resolveFiles } from './references.js';
import type { ConfigFile } from './schema.js';
import { readWebhooks } from './webhooks.js';

type State = Config['state'];
type Given = NonNullable<State['postgres']>;
type Mode = 'disable' | 'require' | 'verify-full';

/** 127.0.0.0/8, ::1, localhost, or a Unix socket: where nobody else can listen in. */
const loopback = /^(127(\.[0-9]{1,3}){3}|::1|localhost|\/.*)$/u;
const form = 'must be a URL, postgres://USER:PASSWORD@HOST:PORT/DATABASE';

export async function readState(input: ConfigFile['state'], reading: Reading): Promise<State> {
  const directory = absolute(reading.directory, input?.directory ?? './.sallyport');
  if (input?.postgres === undefined) return { directory };
  const refuse = (problem: string) => {
    reading.problems.push(reading.document.problem(['state', 'postgres'], problem));
    return { directory };
  };
  const { value, unavailable } = await resolveFiles(input.postgres, reading.directory);
  if (unavailable !== undefined) return refuse(unavailable);
  const given = typeof value === 'string' ? { url: value } : (value as { url: string; tls?: TlsForm });
  const postgres = readGiven(given.url, 'tls' in given ? given.tls : undefined);
  return typeof postgres === 'string' ? refuse(postgres) : { directory, postgres };
}

export type TlsForm = Mode | { readonly mode: Mode; readonly ca?: string };

/** A string: what is wrong. It never quotes the URL, which has a password in it. */
export function readGiven(url: string, tls: TlsForm | undefined): Given | string {
  const at = URL.canParse(url) ? new URL(url) : undefined;
  const database = decodeURIComponent(at?.pathname.slice(1) ?? '');
  if (at === undefined || !/^postgres(ql)?:$/u.test(at.protocol) || at.hostname === '' || database === '') return form;
  if (at.username === '') return `${form}; the user is missing`;
  const said = at.searchParams.get('sslmode') ?? undefined;
  for (const name of at.searchParams.keys()) {
    if (name !== 'sslmode') return `has the parameter "${name}" in its URL, which is not known; only sslmode is`;
  }
  const host = at.hostname.replace(/^\[(.*)\]$/u, '$1');
  const secure = typeof tls === 'string' ? { mode: tls } : tls;
  const mode = secure?.mode ?? said ?? (loopback.test(host) ? 'disable' : 'verify-full');
  if (mode !== 'disable' && mode !== 'require' && mode !== 'verify-full') {
    return 'has an sslmode that is not disable, require or verify-full';
  }
  if (mode === 'disable' && !loopback.test(host)) {
    return 'would send the password and all data in clear to another machine: disable is for loopback only; choose verify-full';
  }
  const ca = secure !== undefined && 'ca' in secure ? secure.ca : undefined;
  if (ca !== undefined && !isCertificate(ca)) return 'has a ca that holds no certificate (PEM)';
  return {
    host,
    port: at.port === '' ? 5432 : Number(at.port),
    database,
    user: decodeURIComponent(at.username),
    password: decodeURIComponent(at.password),
    ...(mode === 'disable' ? {} : { ssl: { rejectUnauthorized: mode === 'verify-full', ca } }),
  };
}

export function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).subject !== undefined;
  } catch {
    return false;
  }
}

const retention_ms_default = 90 * 24 * 3_600_000;

export async function readApprovals(
  input: ConfigFile['approvals'],
  providers: readonly Provider[],
  reading: Reading,
): Promise<Config['approvals']> {
  return {
    waiting_max: input?.waiting_max ?? 1_000,
    per_principal_max: input?.per_principal_max ?? 20,
    receipt_ms: duration(input?.receipt ?? '1m') ?? 60_000,
    preview_ms: duration(input?.preview_locks ?? '1m') ?? 60_000,
    webhooks: await readWebhooks(input?.webhooks ?? [], providers, reading),
    retention_ms: duration(input?.retention ?? '90d') ?? retention_ms_default,
  };
}
