import { X509Certificate } from 'node:crypto';
import type { Provider } from './config.js';
import type { KeyPath } from './document.js';
import { duration } from './duration.js';
import { isLoopback } from './loopback.js';
import type { Reading } from './load.js';
import { readPeople, type People } from './people.js';
import { absolute, isFileReference, resolveFiles } from './references.js';
import type { WebhookInput } from './schema.js';
import { hookEvents, type HookEvent } from './webhooks-schema.js';

/** What the configuration says of one webhook. */
export interface Webhook {
  readonly name: string;
  /** json: our own form. slack: Slack's messages and buttons. */
  readonly type: 'json' | 'slack';
  /** Where it is told; absent: only answers come in. */
  readonly url?: string;
  /** PEM, for the URL. */
  readonly ca?: string;
  /** The newer one first: each is good for what comes in, and what goes out is signed with all. */
  readonly secrets: readonly string[];
  readonly events: readonly HookEvent[];
  readonly timeout_ms: number;
  readonly attempts_max: number;
  readonly answers?: Answers;
}

/** On whose word people answer through it. */
export interface Answers {
  /** People are subjects of this issuer. */
  readonly issuer: string;
  /** Groups that it may speak for; whatever else people are said to be in does not count here. */
  readonly groups: readonly string[];
  /** By their name at the other side; a file is absolute. */
  readonly people: People | { readonly file: string };
  /** Slack: the one workspace that messages may come from. */
  readonly team?: string;
}

/** Fewer characters could be guessed by whoever has seen one message. */
const secret_chars_min = 32;
const timeout_ms_max = 30_000;

export async function readWebhooks(
  input: readonly WebhookInput[],
  providers: readonly Provider[],
  reading: Reading,
): Promise<Webhook[]> {
  const webhooks: Webhook[] = [];
  for (const [index, webhook] of input.entries()) {
    const path = ['approvals', 'webhooks', index];
    if (input.findIndex(({ name }) => name === webhook.name) < index) {
      reading.problems.push(reading.document.problem([...path, 'name'], 'another webhook has the same name'));
    }
    webhooks.push(await readWebhook(webhook, providers, path, reading));
  }
  return webhooks;
}

async function readWebhook(
  input: WebhookInput,
  providers: readonly Provider[],
  path: KeyPath,
  reading: Reading,
): Promise<Webhook> {
  const { directory, document, problems } = reading;
  const refuse = (key: KeyPath, message: string) => problems.push(document.problem([...path, ...key], message));
  const resolve = async (key: KeyPath, value: unknown): Promise<string> => {
    const { value: found, unavailable } = await resolveFiles(value, directory);
    if (unavailable !== undefined) refuse(key, unavailable);
    return typeof found === 'string' ? found : '';
  };
  const { name, type = 'json', events = hookEvents } = input;
  const url = input.url === undefined ? undefined : await resolve(['url'], input.url);
  if (url !== undefined && !isSafeUrl(url)) refuse(['url'], 'must be https://…; http:// is for loopback alone');
  const ca = input.ca === undefined ? undefined : await resolve(['ca'], input.ca);
  if (ca !== undefined && !isCertificate(ca)) refuse(['ca'], 'holds no certificate (PEM)');
  const secrets: string[] = [];
  for (const [index, secret] of input.secrets.entries()) {
    const text = await resolve(['secrets', index], secret);
    if (!isStrong(text)) refuse(['secrets', index], `has fewer than ${String(secret_chars_min)} characters, or bytes`);
    secrets.push(text);
  }
  const timeout_ms = duration(input.timeout ?? '5s') ?? 5_000;
  if (timeout_ms < 1 || timeout_ms > timeout_ms_max) refuse(['timeout'], 'must be more than nothing, and at most 30s');
  if (url === undefined && input.answers === undefined) refuse([], 'has neither url nor answers: it would do nothing');
  const answers = await readAnswers(input, providers, refuse, directory);
  return {
    name,
    type,
    ...(url === undefined ? {} : { url }),
    ...(ca === undefined ? {} : { ca }),
    secrets,
    events,
    timeout_ms,
    attempts_max: input.attempts ?? 8,
    ...(answers === undefined ? {} : { answers }),
  };
}

async function readAnswers(
  { answers, type }: WebhookInput,
  providers: readonly Provider[],
  refuse: (key: KeyPath, message: string) => void,
  directory: string,
): Promise<Answers | undefined> {
  if (answers === undefined) return undefined;
  const provider = providers.find(({ name }) => name === answers.provider);
  if (provider === undefined) refuse(['answers', 'provider'], 'is not the name of one of identity.providers');
  // A user's id says nothing without its workspace: an app that is installed twice hears of both.
  if (type === 'slack' && answers.team === undefined) refuse(['answers', 'team'], 'is missing: whose users these are');
  const given = answers.people;
  const people = isFileReference(given) ? { file: absolute(directory, given.file) } : (given as People);
  if (isFileReference(people)) {
    await readPeople(people.file).catch((error: unknown) => refuse(['answers', 'people'], (error as Error).message));
  }
  return {
    issuer: provider?.issuer ?? '',
    groups: answers.groups,
    people,
    ...(answers.team === undefined ? {} : { team: answers.team }),
  };
}

/** https, or loopback; no password in it. */
export function isSafeUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '') return false;
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname.replace(/^\[|\]$/gu, '')));
}

const isStrong = (secret: string): boolean =>
  secret.startsWith('whsec_')
    ? Buffer.from(secret.slice(6), 'base64').length >= secret_chars_min
    : secret.length >= secret_chars_min;

export function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).subject !== undefined;
  } catch {
    return false;
  }
}
