import type { Logger } from 'pino';
import type { Approvers } from '../approvals/approvals.js';
import type { Audit } from '../audit/index.js';
import type { Webhook } from '../config/index.js';
import { AuditError, StateError } from '../errors.js';
import type { Database } from '../state/database.js';
import type { Replica } from '../state/replica.js';
import { Outbox, readRecorded, type Delivery, type DeliveryEnd } from './outbox.js';
import type { Message, Post } from './post.js';
import { signOwn } from './signature.js';
import { slackMessage } from './slack/message.js';
import { ownForm, toldOf, type Told } from './told.js';

/** Tells webhooks what happened to requests: in the background, one message at a time for each, until it arrives or is given up. */
export interface DeliveriesParts {
  readonly database: Database;
  readonly replica: Replica;
  readonly approvers: Approvers;
  readonly audit: Audit;
  readonly log: Logger;
  readonly now: () => number;
  readonly webhooks: readonly Webhook[];
  readonly link?: ((hold: string) => string | undefined) | undefined;
  readonly post: Post;
}

/** The second attempt comes after this, each further one after twice as long. */
const wait_ms_first = 5_000;
const wait_ms_max = 600_000;
/** Longer than an attempt takes: meanwhile no other replica makes one. */
const lease_ms_more = 15_000;
/** In one go; then whatever else has come is looked at first. */
const messages_max = 100;

export class Deliveries {
  readonly #parts: DeliveriesParts;
  readonly #outbox: Outbox;
  /** What is being sent now, by webhook; true: somebody has asked again meanwhile. */
  readonly #running = new Map<string, { again: boolean; work: Promise<void> }>();
  readonly #unsubscribe: () => void;
  #closed = false;

  constructor(parts: DeliveriesParts) {
    this.#parts = parts;
    this.#outbox = new Outbox(parts.database);
    this.#unsubscribe = parts.approvers.subscribe(({ type, id }) => {
      if (type !== 'granted' && type !== 'revoked') for (const hook of this.#told()) this.#run(hook, id);
    });
    // What nobody heard of, and what is due again. Nothing waits for it: a beat is for other things, too.
    parts.replica.onBeat(async () => {
      for (const hook of this.#told()) this.#run(hook);
      await this.#outbox.forget();
    });
  }

  /** Waits for what is being sent; the rest stays for another replica, or the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unsubscribe();
    await Promise.all([...this.#running.values()].map(({ work }) => work));
  }

  #told(): readonly Webhook[] {
    return this.#parts.webhooks.filter(({ url }) => url !== undefined);
  }

  #run(hook: Webhook, request?: string): void {
    if (this.#closed) return;
    const running = this.#running.get(hook.name);
    if (running !== undefined) {
      running.again = true;
      return;
    }
    const state = { again: false, work: Promise.resolve() };
    this.#running.set(hook.name, state);
    state.work = this.#work(hook, request)
      .catch((error: unknown) => {
        // Without the state nothing is known; the next beat looks again.
        if (!(error instanceof StateError)) this.#parts.log.error({ err: error, hook: hook.name }, 'a webhook failed');
        state.again = false;
      })
      .then(() => {
        this.#running.delete(hook.name);
        if (state.again) this.#run(hook);
      });
  }

  async #work(hook: Webhook, request: string | undefined): Promise<void> {
    for (const dropped of await this.#outbox.fill(hook, request)) this.#note(dropped, 'dropped', 'too many wait');
    for (let sent = 0; sent < messages_max && !this.#closed; sent += 1) {
      const delivery = await this.#outbox.take(hook.name, hook.timeout_ms + lease_ms_more);
      if (delivery === undefined) return;
      await this.#deliver(hook, delivery);
    }
  }

  async #deliver(hook: Webhook, delivery: Delivery): Promise<void> {
    const { approvers, database, link, post } = this.#parts;
    const request = await approvers.get(delivery.request);
    const told = request && toldOf(request, await readRecorded(database, delivery.request), link?.(delivery.request));
    const message = told && this.#message(hook, delivery, told);
    if (message === undefined) return this.#end(delivery, 'obsolete');
    let why: string;
    try {
      const status = await post(message);
      if (status >= 200 && status < 300) return await this.#end(delivery, 'delivered');
      why = `status ${String(status)}`;
    } catch (error) {
      if (error instanceof StateError) throw error;
      why = (error as Error).message;
    }
    if (delivery.attempts >= hook.attempts_max) return this.#end(delivery, 'failed', why);
    this.#parts.log.warn(
      { hook: hook.name, event: delivery.event, attempts: delivery.attempts, why },
      'a webhook did not take a message; it is sent again',
    );
    const wait_ms = Math.min(wait_ms_first * 2 ** (delivery.attempts - 1), wait_ms_max);
    // Not all at once, where many failed together.
    return this.#outbox.again(delivery, wait_ms * (0.8 + Math.random() * 0.4));
  }

  /** Undefined: it need not be told any more. */
  #message(hook: Webhook, delivery: Delivery, told: Told): Message | undefined {
    const { url, timeout_ms, ca, secrets } = hook;
    if (url === undefined) return undefined;
    const send = (value: unknown, headers: (body: Buffer) => Record<string, string>): Message => {
      const body = Buffer.from(JSON.stringify(value));
      return { url, timeout_ms, ca, body, headers: { 'content-type': 'application/json', ...headers(body) } };
    };
    if (hook.type === 'slack') {
      const message = slackMessage(hook, delivery.type, told);
      return message && send(message, () => ({}));
    }
    const value = {
      type: `request.${delivery.type}`,
      timestamp: new Date(delivery.made_ms).toISOString(),
      request: ownForm(told),
    };
    // Each attempt is signed anew: receivers refuse what is old.
    return send(value, (body) => signOwn(delivery.event.replaceAll(' ', '.'), this.#parts.now(), body, secrets));
  }

  async #end(delivery: Delivery, end: DeliveryEnd, why?: string): Promise<void> {
    await this.#outbox.end(delivery, end);
    this.#note(delivery, end, why);
  }

  #note({ hook, event, type, request, attempts }: Delivery, outcome: DeliveryEnd, why?: string): void {
    const { audit, log } = this.#parts;
    if (outcome === 'failed' || outcome === 'dropped')
      log.error({ hook, event, attempts, why }, 'a webhook was not told');
    try {
      const fields = { hook, event: type, hold_id: request, outcome, attempts, ...(why === undefined ? {} : { why }) };
      audit.write({ kind: 'webhook', fields });
    } catch (error) {
      if (!(error instanceof AuditError)) throw error;
      log.error({ err: error, hook, event }, 'what became of a message could not be recorded');
    }
  }
}
