import { resolve } from 'node:path';
import type { AuditConfig, RemoteSink, SinkReceiver } from './config.js';
import type { SinkInput } from './audit-schema.js';
import type { KeyPath } from './document.js';
import { duration, size } from './duration.js';
import type { Reading } from './load.js';
import { absolute, resolveFiles } from './references.js';
import type { ConfigFile } from './schema.js';
import { isCertificate, readGiven, type TlsForm } from './state.js';
import { isSafeUrl } from './webhooks.js';

export async function readAudit(input: ConfigFile['audit'], state: string, reading: Reading): Promise<AuditConfig> {
  const { directory, document, problems } = reading;
  const files: { readonly file: string }[] = [];
  const remote: RemoteSink[] = [];
  for (const [index, sink] of (input?.sinks ?? []).entries()) {
    const path: KeyPath = ['audit', 'sinks', index];
    if ('file' in sink) {
      const file = absolute(directory, sink.file);
      if (files.some((other) => other.file === file))
        problems.push(document.problem([...path, 'file'], 'another sink writes to the same file'));
      files.push({ file });
      continue;
    }
    const read = await readRemote(sink, path, reading);
    if (remote.some(({ name }) => name === read.name))
      problems.push(document.problem(path, `another sink is called "${read.name}"; give each a name`));
    remote.push(read);
  }
  if (files.length === 0) files.push({ file: resolve(state, 'audit.jsonl') });
  const { size: size_text = '1GiB', age } = input?.rotation ?? {};
  const config: AuditConfig = {
    durability: input?.durability ?? 'by_action',
    sinks: files,
    remote,
    rotation: {
      bytes_max: size(size_text) ?? Infinity,
      ...(age === undefined ? {} : { age_ms_max: duration(age) }),
    },
    ...(input?.retention === undefined ? {} : { retention_ms: duration(input.retention) }),
  };
  if (input?.signing_key === undefined) return config;
  const { value, unavailable } = await resolveFiles(input.signing_key, directory);
  if (unavailable !== undefined) problems.push(document.problem(['audit', 'signing_key'], unavailable));
  return { ...config, signing_key: typeof value === 'string' ? value : '' };
}

type RemoteInput = Exclude<SinkInput, { readonly file: string }>;

const records_max_default = 10_000;
const bytes_max_default = 67_108_864;

async function readRemote(input: RemoteInput, path: KeyPath, reading: Reading): Promise<RemoteSink> {
  const common = {
    fail: input.fail ?? 'closed',
    records_max: input.buffer?.records ?? records_max_default,
    bytes_max: (input.buffer?.size === undefined ? undefined : size(input.buffer.size)) ?? bytes_max_default,
  } as const;
  if ('postgres' in input) {
    const database = input.postgres === 'state' ? 'state' : await readDatabase(input.postgres, path, reading);
    return { type: 'postgres', name: input.name ?? 'postgres', ...common, database };
  }
  const type = 'http' in input ? 'http' : 'otlp';
  const given = 'http' in input ? input.http : input.otlp;
  return { type, name: input.name ?? type, ...common, receiver: await readReceiver(given, [...path, type], reading) };
}

async function readDatabase(
  input: unknown,
  path: KeyPath,
  { directory, document, problems }: Reading,
): Promise<Extract<RemoteSink, { type: 'postgres' }>['database']> {
  const { value, unavailable } = await resolveFiles(input, directory);
  const given = typeof value === 'string' ? { url: value } : (value as { url: string; tls?: TlsForm });
  const found = unavailable ?? readGiven(given.url, 'tls' in given ? given.tls : undefined);
  if (typeof found !== 'string') return found;
  problems.push(document.problem([...path, 'postgres'], found));
  return 'state';
}

const timeout_ms_max = 60_000;
const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/u;
/** They belong to the message itself. */
const ownHeaders: ReadonlySet<string> = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'host',
  'transfer-encoding',
  'user-agent',
]);

async function readReceiver(
  input: Extract<RemoteInput, { http: unknown }>['http'],
  path: KeyPath,
  { directory, document, problems }: Reading,
): Promise<SinkReceiver> {
  const refuse = (key: string, message: string) => problems.push(document.problem([...path, key], message));
  const { value, unavailable } = await resolveFiles(input, directory);
  const {
    url,
    headers = {},
    ca,
    timeout,
  } = value as {
    readonly url: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly ca?: string;
    readonly timeout?: string;
  };
  const timeout_ms = duration(timeout ?? '10s') ?? 10_000;
  if (unavailable !== undefined) problems.push(document.problem(path, unavailable));
  else {
    if (!isSafeUrl(url)) refuse('url', 'must be https://…, without a password; http:// is for loopback alone');
    if (ca !== undefined && !isCertificate(ca)) refuse('ca', 'holds no certificate (PEM)');
    for (const [name, header] of Object.entries(headers)) {
      if (!headerName.test(name) || ownHeaders.has(name.toLowerCase()))
        refuse('headers', 'has a name that is none of a header, or of one that the gateway sends itself');
      if (!/^[\t -~]*$/u.test(header)) refuse('headers', 'has a value with characters that no header may have');
    }
  }
  if (timeout_ms < 1 || timeout_ms > timeout_ms_max) refuse('timeout', 'must be more than nothing, and at most 1m');
  return { url, headers, timeout_ms, ...(ca === undefined ? {} : { ca }) };
}
