import type { Logger } from 'pino';
import type { ApprovalRequest, AnswerInput, Approvers } from '../approvals/approvals.js';
import type { Audit } from '../audit/index.js';
import type { Webhook } from '../config/index.js';
import { ApprovalError, AuditError, StateError } from '../errors.js';
import type { Database } from '../state/database.js';
import { Directory } from './people.js';
import { Seen } from './seen.js';
import { checkOwn, checkSlack, HookError, window_ms_max, type Headers } from './signature.js';
import { readInteraction, SlackReplies } from './slack/interaction.js';
import { throughOf } from './slack/message.js';
import { Places } from './slack/places.js';
import { readRecorded } from './outbox.js';
import type { Post } from './post.js';
import { toldOf } from './told.js';

/**
 * Answers that come in by POST /v1/hooks/NAME. A right signature says that the message is the other side's own; who the person
 * is, and what they may answer, is said by the configuration, and judged at the counter as for everybody.
 */
export interface IncomingParts {
  readonly database: Database;
  readonly approvers: Approvers;
  readonly audit: Audit;
  readonly log: Logger;
  readonly now: () => number;
  readonly webhooks: readonly Webhook[];
  readonly link?: ((hold: string) => string | undefined) | undefined;
  readonly post: Post;
}

export interface Incoming {
  readonly headers: Headers;
  readonly body: Buffer;
  readonly address: string;
}

/** What is said to whoever sent it; Slack wants nothing. */
export type Reply = { readonly request: string; readonly status: string } | undefined;

interface Said {
  readonly request: string;
  readonly person: string;
  readonly answer: Omit<AnswerInput, 'through'>;
}

interface Door {
  readonly hook: Webhook;
  readonly directory: Directory;
}

export class IncomingHooks {
  readonly #parts: IncomingParts;
  readonly #doors: ReadonlyMap<string, Door>;
  readonly #seen: Seen;
  readonly #replies: SlackReplies;
  readonly #places: Places;
  readonly #unsubscribe: () => void;

  constructor(parts: IncomingParts) {
    this.#parts = parts;
    this.#seen = new Seen(parts.database);
    this.#replies = new SlackReplies(parts);
    this.#places = new Places(parts.now);
    this.#unsubscribe = parts.approvers.subscribe(({ type, id }) => {
      if (type === 'answered' || type === 'ended') void this.#answeredElsewhere(id);
    });
    this.#doors = new Map(
      parts.webhooks.flatMap((hook) =>
        hook.answers === undefined ? [] : [[hook.name, { hook, directory: new Directory(hook.answers) }] as const],
      ),
    );
  }

  has(name: string): boolean {
    return this.#doors.has(name);
  }

  /** Rejects with HookError for what is not to be believed, ApprovalError for what is not theirs to answer; StateError, AuditError. */
  async receive(name: string, message: Incoming): Promise<Reply> {
    const door = this.#doors.get(name);
    if (door === undefined) throw new ApprovalError('unknown', 'nobody answers through this');
    try {
      return door.hook.type === 'slack' ? await this.#slack(door, message) : await this.#own(door, message);
    } catch (error) {
      if (error instanceof HookError) this.#turnedAway(name, message, error);
      throw error;
    }
  }

  async #own({ hook, directory }: Door, { headers, body }: Incoming): Promise<Reply> {
    const id = checkOwn(headers, body, hook.secrets, this.#parts.now());
    const said = readSaid(body);
    const { id: request, status } = await this.#once(`${hook.name} ${id}`, () => this.#answer(hook, directory, said));
    return { request, status };
  }

  async #slack({ hook, directory }: Door, message: Incoming): Promise<Reply> {
    const { headers, body } = message;
    const key = checkSlack(headers, body, hook.secrets, this.#parts.now());
    const { person, request, kind, reply } = readInteraction(body, hook.answers?.team);
    await this.#once(`${hook.name} ${key}`, async () => {
      try {
        const answered = await this.#answer(hook, directory, { request, person, answer: { kind } });
        this.#replies.show(reply, await this.#told(answered), hook);
        if (answered.status === 'waiting') this.#places.keep(`${hook.name} ${request}`, reply);
      } catch (error) {
        if (!(error instanceof ApprovalError || error instanceof HookError)) throw error;
        // What is over is shown as it ended; whoever pressed the button is told why it did nothing.
        const over =
          error instanceof ApprovalError && error.reason === 'ended'
            ? await this.#parts.approvers.get(request)
            : undefined;
        if (over !== undefined) this.#replies.show(reply, await this.#told(over), hook);
        else if (error instanceof ApprovalError && error.reason !== 'unknown')
          this.#places.keep(`${hook.name} ${request}`, reply);
        this.#replies.say(reply, error.message, hook);
        if (error instanceof HookError) this.#turnedAway(hook.name, message, error);
      }
    });
    return undefined;
  }

  /** Where somebody has pressed a button, the message shows what became of the request by whatever way. */
  async #answeredElsewhere(id: string): Promise<void> {
    try {
      const request = await this.#parts.approvers.get(id);
      if (request === undefined) return;
      const by = request.answers.at(-1)?.through;
      for (const { hook } of this.#doors.values()) {
        // A press of its own is shown where it is taken.
        if (hook.type !== 'slack' || by === throughOf(hook)) continue;
        const url = this.#places.use(`${hook.name} ${id}`, request.status !== 'waiting');
        if (url !== undefined) this.#replies.show(url, await this.#told(request), hook);
      }
    } catch (error) {
      // The state is lost: the message stays as it is, and whoever presses it is told.
      if (!(error instanceof StateError)) this.#parts.log.error({ err: error }, 'a message in Slack was not changed');
    }
  }

  async #answer(hook: Webhook, directory: Directory, { request, person, answer }: Said): Promise<ApprovalRequest> {
    const { approvers, now } = this.#parts;
    const who = await directory.identify(person, now() + window_ms_max);
    return approvers.answer(request, who, { ...answer, through: throughOf(hook) });
  }

  /** Where it could not be tried, the same message may come again. */
  async #once<T>(key: string, work: () => Promise<T>): Promise<T> {
    await this.#seen.take(key);
    try {
      return await work();
    } catch (error) {
      if (error instanceof StateError || error instanceof AuditError)
        await this.#seen.release(key).catch(() => undefined);
      throw error;
    }
  }

  async #told(request: ApprovalRequest) {
    const { database, link } = this.#parts;
    return toldOf(request, await readRecorded(database, request.id), link?.(request.id));
  }

  #turnedAway(hook: string, { address }: Incoming, { reason, message }: HookError): void {
    const { audit, log } = this.#parts;
    log.warn({ hook, reason, why: message }, 'a message to a webhook was turned away');
    try {
      audit.write({
        kind: 'webhook',
        fields: { hook, event: 'incoming', refused: reason },
        personal: { client: { address } },
      });
    } catch (error) {
      if (!(error instanceof AuditError)) throw error;
      log.error({ err: error, hook }, 'a message that was turned away could not be recorded');
    }
  }

  close(): Promise<void> {
    this.#unsubscribe();
    return this.#replies.close();
  }
}

const ids = /^h-[0-9a-f]{1,64}$/u;
const known = new Set(['request', 'person', 'answer', 'comment', 'break_glass']);

/** {request, person, answer: "approve" | "refuse", comment?, break_glass?}; throws HookError for anything else. */
function readSaid(body: Buffer): Said {
  const wrong = () =>
    new HookError(
      'malformed',
      'the body has to be {"request": "h-…", "person": "…", "answer": "approve" or "refuse", "comment"?, "break_glass"?}',
    );
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    throw wrong();
  }
  if (typeof value !== 'object' || value === null || Object.keys(value).some((key) => !known.has(key))) throw wrong();
  const { request, person, answer, comment, break_glass } = value as Record<string, unknown>;
  if (typeof request !== 'string' || !ids.test(request) || typeof person !== 'string') throw wrong();
  if (answer !== 'approve' && answer !== 'refuse') throw wrong();
  if (comment !== undefined && typeof comment !== 'string') throw wrong();
  if (break_glass !== undefined && typeof break_glass !== 'boolean') throw wrong();
  return {
    request,
    person,
    answer: {
      kind: answer,
      ...(comment === undefined ? {} : { comment }),
      ...(break_glass === undefined ? {} : { break_glass }),
    },
  };
}
