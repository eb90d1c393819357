import { access, constants, stat } from 'node:fs/promises';
import { createPublicKey } from 'node:crypto';
import type { BundleConfig, OciConfig, PolicyConfig, PolicySource } from './config.js';
import { readStatus } from './policy-status.js';
import type { KeyPath } from './document.js';
import type { Reading } from './load.js';
import type { BundleInput, OciInput, PolicyInput, SourceInput } from './policy-schema.js';
import { duration } from './duration.js';
import { absolute, resolveFiles, whyUnreadable } from './references.js';

const secret_chars_min = 16;
const poll_ms_min = 1_000;
const age_ms_min = 60_000;

/** The part `policy`: paths made absolute, and looked at. */
export async function readPolicy(input: PolicyInput, reading: Reading): Promise<PolicyConfig> {
  const own = await readSource(input, ['policy'], reading);
  const { age_max, base, shadow, status } = input;
  const age_ms_max = age_max === undefined ? undefined : duration(age_max);
  if (age_ms_max !== undefined && age_ms_max < age_ms_min)
    reading.problems.push(
      reading.document.problem(['policy', 'age_max'], 'must be at least 1m: sources are asked now and then'),
    );
  const source = {
    ...own,
    ...(base === undefined ? {} : { base: await readSource(base, ['policy', 'base'], reading) }),
    ...(status === undefined ? {} : { status: await readStatus(status, reading) }),
    ...(age_ms_max === undefined ? {} : { age_ms_max }),
  };
  if (shadow === undefined) return source;
  const tried = await readSource(shadow, ['policy', 'shadow'], reading);
  const { canary } = shadow;
  return { ...source, shadow: { ...tried, ...(canary === undefined ? {} : { canary }) } };
}

async function readSource(input: SourceInput, at: KeyPath, reading: Reading): Promise<PolicySource> {
  const { directory, document, problems } = reading;
  const refuse = (path: KeyPath, message: string) => problems.push(document.problem([...at, ...path], message));
  if ('directory' in input) {
    const folder = absolute(directory, input.directory);
    const wrong = await whyNoFolder(folder);
    if (wrong !== undefined) refuse(['directory'], `the folder ${folder} ${wrong}`);
    return { directory: folder };
  }
  if ('bundle' in input) return { bundle: await readBundle(input.bundle, [...at, 'bundle'], reading) };
  if ('oci' in input) return { oci: await readOci(input.oci, [...at, 'oci'], reading) };
  const { url, branch = 'main', path = '.', poll, webhook, token, ssh_key, known_hosts, ca } = input.git;
  // "host:path" and "scheme://…" are git's own forms for what is elsewhere; all else is a path.
  const elsewhere = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/|^[^/\s]+:/u.test(url);
  const location = elsewhere ? url : absolute(directory, url);
  const wrong = elsewhere ? undefined : await whyNoFolder(location);
  if (wrong !== undefined) refuse(['git', 'url'], `the repository ${location} ${wrong}`);
  const secrets = await resolveFiles({ token, secret: webhook?.secret }, directory);
  if (secrets.unavailable !== undefined) refuse(['git'], secrets.unavailable);
  const { token: password, secret } = secrets.value as { token?: string; secret?: string };
  if (secret !== undefined && secret.length < secret_chars_min)
    refuse(['git', 'webhook', 'secret'], `has fewer than ${secret_chars_min} characters, and could be guessed`);
  const files = Object.entries({ ssh_key, known_hosts, ca }).flatMap(([key, given]) =>
    given === undefined ? [] : [[key, absolute(directory, given.file)] as const],
  );
  for (const [key, file] of files) {
    const unreadable = await access(file, constants.R_OK).then(() => undefined, whyUnreadable);
    if (unreadable !== undefined) refuse(['git', key], `the file ${file} ${unreadable}`);
  }
  return {
    git: {
      ...{ url: location, branch, path, ...Object.fromEntries(files) },
      ...(password === undefined ? {} : { token: password }),
      ...(poll === undefined ? {} : { poll_ms: Math.max(duration(poll) ?? 0, poll_ms_min) }),
      ...(secret === undefined ? {} : { webhook: { secret } }),
    },
    ...(input.signing === undefined ? {} : { signing: input.signing }),
  };
}

async function readBundle(input: BundleInput, at: KeyPath, reading: Reading): Promise<BundleConfig> {
  const { url, long_poll } = input;
  const { values, ...fetched } = await readFetched(input, { token: input.token }, at, reading);
  return {
    ...{ url, ...fetched },
    ...(values['token'] === undefined ? {} : { token: values['token'] }),
    ...(long_poll === undefined ? {} : { long_poll_ms: duration(long_poll) ?? 0 }),
  };
}

async function readOci(input: OciInput, at: KeyPath, reading: Reading): Promise<OciConfig> {
  const { url, user } = input;
  const { values, ...fetched } = await readFetched(input, { token: input.token, password: input.password }, at, reading); // prettier-ignore
  const { token, password } = values;
  if ((user === undefined) !== (input.password === undefined) || (user !== undefined && input.token !== undefined))
    reading.problems.push(reading.document.problem([...at], 'has user and password together, or a token, or none of them')); // prettier-ignore
  return {
    ...{ url, ...fetched },
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ...(token === undefined ? {} : { token }),
  };
}

type Fetched = Pick<BundleConfig, 'ca' | 'poll_ms' | 'signing'> & { readonly values: Readonly<Record<string, string | undefined>> }; // prettier-ignore

/** Keys are read at the start: without one of them nothing could be told from a forgery. */
async function readFetched(
  { ca, poll, signing }: Pick<BundleInput, 'ca' | 'poll' | 'signing'>,
  secrets: Readonly<Record<string, unknown>>,
  at: KeyPath,
  { directory, document, problems }: Reading,
): Promise<Fetched> {
  const keysNamed = (signing?.keys ?? []).map(({ key }, index) => [`key${index}`, key] as const);
  const read = await resolveFiles({ ...secrets, ca, ...Object.fromEntries(keysNamed) }, directory);
  if (read.unavailable !== undefined) problems.push(document.problem([...at], read.unavailable));
  const values = read.value as Record<string, string | undefined>;
  const keys = (signing?.keys ?? []).map(({ algorithm = 'RS256', id }, index) => {
    const pem = values[`key${index}`] ?? '';
    const key = { algorithm, pem: `${pem}\n`, ...(id === undefined ? {} : { id }) };
    if (read.unavailable === undefined && !isPublicKey(pem))
      problems.push(document.problem([...at, 'signing', 'keys', index, 'key'], 'is no public key in PEM'));
    return key;
  });
  return {
    values,
    ...(values['ca'] === undefined ? {} : { ca: values['ca'] }),
    ...(poll === undefined ? {} : { poll_ms: Math.max(duration(poll) ?? 0, poll_ms_min) }),
    ...(signing === undefined
      ? {}
      : { signing: { keys, ...(signing.scope === undefined ? {} : { scope: signing.scope }) } }),
  };
}

function isPublicKey(pem: string): boolean {
  try {
    return pem.includes('BEGIN PUBLIC KEY') && createPublicKey(pem).type === 'public';
  } catch {
    return false;
  }
}

async function whyNoFolder(path: string): Promise<string | undefined> {
  try {
    if (!(await stat(path)).isDirectory()) return 'is no folder';
    await access(path, constants.R_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return whyUnreadable(error);
  }
}
