import type { Logger } from 'pino';
import type { AnswerKind } from '../../approvals/approvals.js';
import type { Webhook } from '../../config/index.js';
import type { Post } from '../post.js';
import { HookError } from '../signature.js';
import type { Told } from '../told.js';
import { actions, outcomeMessage, requestMessage } from './message.js';
import { escaped, visible } from './text.js';

/** A press of a button, as Slack sends it (docs.slack.dev, "block_actions payload"), and what is said back. */
export interface Interaction {
  /** Slack's id of the user. */
  readonly person: string;
  readonly request: string;
  readonly kind: AnswerKind;
  /** Where the message can be changed: for 30 minutes, five times. Absent where it is not Slack's own. */
  readonly reply: string | undefined;
}

const reply_host = 'hooks.slack.com';

/** Throws HookError for a payload that is none, and for one of another workspace. */
export function readInteraction(body: Buffer, team: string | undefined): Interaction {
  const payload = parse(new URLSearchParams(body.toString('utf8')).getAll('payload'));
  const user = part(payload['user']);
  // A channel may be shared between workspaces: whose user it is counts, and not where the button stands.
  const theirs = [user['team_id'], part(payload['team'])['id']].filter((id) => id !== undefined && id !== null);
  if (team === undefined || theirs.length === 0 || theirs.some((id) => id !== team)) {
    throw new HookError('other_team', 'the message is of another workspace than the configured one');
  }
  const pressed = payload['actions'];
  if (payload['type'] !== 'block_actions' || !Array.isArray(pressed) || pressed.length !== 1) throw wrong();
  const { action_id, value } = part(pressed[0]);
  const kind = action_id === actions.approve ? 'approve' : action_id === actions.refuse ? 'refuse' : undefined;
  const person = user['id'];
  if (kind === undefined || typeof value !== 'string' || typeof person !== 'string') throw wrong();
  return { person, request: value, kind, reply: replyOf(payload['response_url']) };
}

const wrong = () => new HookError('malformed', 'the body is no press of a button of ours');

function parse([text, ...more]: readonly string[]): Readonly<Record<string, unknown>> {
  if (text === undefined || more.length > 0) throw wrong();
  try {
    return part(JSON.parse(text));
  } catch {
    throw wrong();
  }
}

function part(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw wrong();
  return value as Readonly<Record<string, unknown>>;
}

/** Only Slack is answered, whatever the message says. */
function replyOf(url: unknown): string | undefined {
  if (typeof url !== 'string' || !URL.canParse(url)) return undefined;
  const { protocol, host, username, password } = new URL(url);
  return protocol === 'https:' && host === reply_host && username === '' && password === '' ? url : undefined;
}

/** What waits to be said; beyond that nothing is said: the answer counts all the same. */
const replies_max = 100;

/** Says back to Slack what became of a press. Nobody waits for it, and what does not arrive is only logged. */
export class SlackReplies {
  readonly #parts: { readonly post: Post; readonly log: Logger };
  readonly #open = new Set<Promise<void>>();

  constructor(parts: { readonly post: Post; readonly log: Logger }) {
    this.#parts = parts;
  }

  /** The message as the request stands now, in the place of what it was. */
  show(url: string | undefined, told: Told, hook: Webhook): void {
    const message = told.request.status === 'waiting' ? requestMessage(told, true) : outcomeMessage(told);
    this.#send(url, { replace_original: true, ...message }, hook);
  }

  /** To who pressed the button, and nobody else. */
  say(url: string | undefined, text: string, hook: Webhook): void {
    this.#send(url, { response_type: 'ephemeral', replace_original: false, text: escaped(visible(text)) }, hook);
  }

  async close(): Promise<void> {
    await Promise.all(this.#open);
  }

  #send(url: string | undefined, message: object, hook: Webhook): void {
    if (url === undefined || this.#open.size >= replies_max) return;
    const { post, log } = this.#parts;
    const body = Buffer.from(JSON.stringify(message));
    const sending = post({ url, body, headers: { 'content-type': 'application/json' }, timeout_ms: hook.timeout_ms })
      .then(
        (status) => {
          if (status < 200 || status > 299) log.warn({ hook: hook.name, status }, 'Slack did not take a reply');
        },
        (error: unknown) => log.warn({ err: error, hook: hook.name }, 'Slack did not take a reply'),
      )
      .then(() => void this.#open.delete(sending));
    this.#open.add(sending);
  }
}
