import { createHmac, timingSafeEqual } from 'node:crypto';

/**
 * Who sent a message, and when. Two forms: our own, which is that of Standard Webhooks 1.0
 * (github.com/standard-webhooks/standard-webhooks), and Slack's (docs.slack.dev, "Verifying requests from Slack", version v0).
 */

/** A message is refused that says it was sent longer ago than this, or further ahead. */
export const window_ms_max = 300_000;

/** Why a message is not taken. `message` is safe to show to whoever sent it. */
export class HookError extends Error {
  readonly reason: HookProblem;
  constructor(reason: HookProblem, message: string) {
    super(message);
    this.reason = reason;
  }
}

export type HookProblem =
  | 'unsigned'
  | 'stale'
  | 'signature'
  | 'replayed'
  | 'malformed'
  | 'unknown_person'
  | 'other_team'
  | 'people_unreadable'
  | 'too_many';

export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** "whsec_" and base64, as Standard Webhooks writes secrets, else the text itself. */
const keyOf = (secret: string): Buffer =>
  secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret);

const ownMac = (secret: string, id: string, timestamp: string, body: Buffer): string =>
  createHmac('sha256', keyOf(secret)).update(`${id}.${timestamp}.`).update(body).digest('base64');

/** One signature for each secret, so that a receiver may know the old one or the new one while they are changed. */
export function signOwn(id: string, at_ms: number, body: Buffer, secrets: readonly string[]): Record<string, string> {
  const timestamp = String(Math.floor(at_ms / 1000));
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': secrets.map((secret) => `v1,${ownMac(secret, id, timestamp, body)}`).join(' '),
  };
}

/** The message's id. Throws HookError for one that is unsigned, stale, or signed with no secret of these. */
export function checkOwn(headers: Headers, body: Buffer, secrets: readonly string[], now_ms: number): string {
  const id = one(headers, 'webhook-id');
  const timestamp = one(headers, 'webhook-timestamp');
  const signatures = one(headers, 'webhook-signature').split(' ');
  if (!/^[\x21-\x7e]{1,128}$/u.test(id)) throw new HookError('malformed', 'webhook-id has to be 1 to 128 characters');
  checkTime(timestamp, now_ms);
  const expected = secrets.map((secret) => `v1,${ownMac(secret, id, timestamp, body)}`);
  // Few are looked at: whoever sends has at most two secrets, too.
  checkAny(expected, signatures.slice(0, signatures_max));
  return id;
}

const signatures_max = 4;

/** What tells this message from every other. Throws HookError as `checkOwn` does. */
export function checkSlack(headers: Headers, body: Buffer, secrets: readonly string[], now_ms: number): string {
  const timestamp = one(headers, 'x-slack-request-timestamp');
  const signature = one(headers, 'x-slack-signature');
  checkTime(timestamp, now_ms);
  const expected = secrets.map(
    (secret) => `v0=${createHmac('sha256', secret).update(`v0:${timestamp}:`).update(body).digest('hex')}`,
  );
  checkAny(expected, [signature]);
  return signature;
}

function one(headers: Headers, name: string): string {
  const value = headers[name];
  if (typeof value !== 'string' || value === '') throw new HookError('unsigned', `the header ${name} is missing`);
  return value;
}

function checkTime(timestamp: string, now_ms: number): void {
  if (!/^[0-9]{1,12}$/u.test(timestamp)) throw new HookError('malformed', 'the time is not in seconds since 1970');
  if (Math.abs(now_ms - Number(timestamp) * 1000) > window_ms_max) {
    throw new HookError('stale', `the message is not of the last ${String(window_ms_max / 60_000)} minutes`);
  }
}

/** In a time that does not depend on where they differ. */
function checkAny(expected: readonly string[], given: readonly string[]): void {
  let fits = false;
  for (const right of expected) {
    for (const signature of given) {
      const [one, other] = [Buffer.from(right), Buffer.from(signature)];
      if (one.length === other.length && timingSafeEqual(one, other)) fits = true;
    }
  }
  if (!fits) throw new HookError('signature', 'the signature is not that of the message');
}
