import type { Logger } from 'pino';
import { UpstreamError } from '../../errors.js';
import type { Submission } from '../../protocol.js';
import { findInJson } from '../../content/index.js';
import type { Answer } from './answer.js';
import type { Asking } from './asking.js';
import { Call, type Answered } from './call.js';
import { errorText, notificationText, requestText, resultText, rpc, type Id } from './codec.js';
import type { Listening, Receiver } from './connection.js';
import type { Masks } from './masking.js';
import { isId, isObject, serverNotifications, serverRequests, type JsonObject } from './methods.js';
import type { Asked } from './operation.js';
import type { Use } from './principals.js';

/** What a server says, and where it goes: answers to what was asked, progress, what it tells, and what it asks itself. */
export interface HearingParts {
  readonly log: Logger;
  readonly asking: Asking;
  /** Says something to the server. Resolves when it was taken, or cannot be; never rejects. */
  readonly reply: (text: string) => Promise<void>;
  /** What the server asks is an operation, too. Throws NotAdmitted. */
  readonly admit: (use: Use, asked: Asked, shown: JsonObject) => Promise<AdmittedAsk>;
  /** Keeps what the client is asked now, and gives the id under which. */
  readonly hold: (serverId: Id, admitted: AdmittedAsk) => string;
  readonly toolsChanged: () => void;
  readonly gone: (why: string) => void;
}

export interface AdmittedAsk {
  readonly submission: Submission;
  /** What the client is asked: as it would be shown, masked as policy says. */
  readonly said: JsonObject;
  /** How long the client may take for its answer; undefined: as long as the server may for its own. */
  readonly seconds_max: number | undefined;
}

/** A client that listens to what the server says by itself. */
export class Listener {
  readonly use: Use;
  readonly masks: Masks | undefined;
  /** It missed answers, and the server repeats them here. */
  readonly resumes: boolean;

  constructor(
    readonly answer: Answer,
    parts: { readonly use: Use; readonly masks: Masks | undefined; readonly resumes: boolean },
  ) {
    this.use = parts.use;
    this.masks = parts.masks;
    this.resumes = parts.resumes;
  }
}

/** The gateway's own question. */
interface Own {
  readonly settle: (answered: Answered) => void;
  readonly fail: (error: Error) => void;
}

const missed_chars_max = 4_194_304;
/** Of questions of a server that policy or people have not answered; of all that it asks and has not taken the answer to. */
const questions_max = 64;
const asks_max = 1_024;

export class Hearing implements Receiver {
  readonly #parts: HearingParts;
  readonly #underway = new Map<number, Call | Own>();
  #listener: Listener | undefined;
  /** Of everything that was asked in this session. */
  readonly #masks = new Map<string, Masks>();
  #questions = 0;
  #asks = 0;
  #over = false;
  /** Answers that nobody took, or that may be lost on their way, by the number of their request. */
  readonly #missed = new Map<number, string>();
  #missed_chars = 0;

  constructor(parts: HearingParts) {
    this.#parts = parts;
  }

  get listens(): boolean {
    return this.#listener !== undefined;
  }

  expect(call: Call): void {
    this.#underway.set(call.number, call);
    const { masks } = call;
    if (masks !== undefined) this.#masks.set(masks.asideKey, masks);
    const forget = () => this.forget(call);
    call.answered.then(forget, forget);
  }

  forget(call: Call): void {
    this.#underway.delete(call.number);
  }

  /** A question of the gateway's own. Its result rejects with UpstreamError. */
  own(number: number, timeout_ms: number) {
    let own: Own | undefined;
    const answered = new Promise<Answered>((settle, fail) => (own = { settle, fail }));
    const { fail } = own!;
    const timer = setTimeout(() => fail(new UpstreamError('the server did not answer in time')), timeout_ms);
    this.#underway.set(number, own!);
    const result = answered
      .then(({ part, raw }) => {
        if (part === 'error') throw new UpstreamError('the server does not say which tools it has');
        return JSON.parse(raw) as JsonObject;
      })
      .finally(() => {
        clearTimeout(timer);
        this.#underway.delete(number);
      });
    return { origin: own!, result, fail };
  }

  /** Resolves when it is over: the client left, another one listens, or the server said all. */
  async listen(listener: Listener, { over }: Listening): Promise<void> {
    this.#listener?.answer.end();
    this.#listener = listener;
    await over;
    if (this.#listener === listener) this.#listener = undefined;
  }

  close(): void {
    this.#over = true;
    this.#listener?.answer.end();
    this.#listener = undefined;
    for (const one of this.#underway.values()) one.fail(new UpstreamError('the session with the server is over'));
    this.#underway.clear();
  }

  gone(why: string): void {
    this.#parts.log.warn({ why }, 'an MCP server is gone');
    this.#parts.gone(why);
  }

  /** An answer that could not be handed over: the client may come back for it, where the server can repeat it. */
  async missed(number: number, text: string, event: string | undefined): Promise<void> {
    const listener = this.#listener;
    if (listener?.resumes === true && (await listener.answer.event(text, event))) return;
    this.remember(number, text, event);
  }

  /** Until the server repeats it, or others take its room. */
  remember(number: number, text: string, event: string | undefined): void {
    if (event === undefined || text.length > missed_chars_max) return;
    this.#missed.set(number, text);
    this.#missed_chars += text.length;
    for (const [oldest, old] of this.#missed) {
      if (this.#missed_chars <= missed_chars_max) break;
      this.#missed.delete(oldest);
      this.#missed_chars -= old.length;
    }
  }

  async message(text: string, origin: object | undefined, event: string | undefined, repeats = false): Promise<void> {
    if (this.#over) return;
    if (repeats) {
      this.#parts.log.warn("an MCP server repeated the gateway's own credential; it was concealed");
      if (origin instanceof Call) origin.repeats = true;
    }
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    if (!isObject(json) || json['jsonrpc'] !== '2.0') {
      this.#parts.log.warn('an MCP server said something that is no message');
      return;
    }
    if (origin instanceof Call && event !== undefined) origin.resumable = true;
    const { id, method } = json;
    if (typeof method !== 'string') return this.#answered({ id, json, text, repeats }, origin, event);
    const params = isObject(json['params']) ? json['params'] : {};
    if (!('id' in json)) return this.#told(method, params, origin, event);
    // It may wait for people: what comes behind it does not.
    if (!isId(id)) return;
    if (this.#asks >= asks_max) return this.gone('the server asks, and does not take the answers');
    void this.#asked(id, method, params, origin);
  }

  async #answered(
    { id, json, text, repeats }: { id: unknown; json: JsonObject; text: string; repeats: boolean },
    origin: object | undefined,
    event: string | undefined,
  ): Promise<void> {
    if (typeof id !== 'number') return;
    const one = this.#underway.get(id);
    // An answer comes on the way of its own question, or where what was missed is repeated.
    if (origin !== undefined && origin !== one && !(origin instanceof Listener)) return;
    const missed = this.#missed.get(id);
    if (one === undefined && missed !== undefined && origin instanceof Listener) {
      this.#missed.delete(id);
      this.#missed_chars -= missed.length;
      await origin.answer.event(missed, event);
      return;
    }
    if (one === undefined) return;
    if (repeats && one instanceof Call) one.repeats = true;
    const part = 'result' in json ? 'result' : 'error';
    const raw = 'result' in json && 'error' in json ? undefined : memberOf(text, part);
    if (raw === undefined) one.fail(new UpstreamError('the server answered in a form that is not understood'));
    else one.settle({ part, raw, event });
  }

  async #told(
    method: string,
    params: JsonObject,
    origin: object | undefined,
    event: string | undefined,
  ): Promise<void> {
    if (method === 'notifications/progress') return this.#progressed(params, event);
    if (method === 'notifications/cancelled') {
      const id = this.#parts.asking.withdraw(params['requestId']);
      if (id !== undefined)
        await this.#client(origin)?.answer.event(notificationText(method, { requestId: id }), event);
      return;
    }
    if (!serverNotifications.has(method)) return;
    if (method === 'notifications/tools/list_changed') this.#parts.toolsChanged();
    const { _meta: _, ...said } = params;
    const masked = this.#masked(said, origin);
    if (masked !== undefined) await this.#client(origin)?.answer.event(notificationText(method, masked), event);
  }

  async #progressed(params: JsonObject, event: string | undefined): Promise<void> {
    const { progressToken, progress, total, message } = params;
    const call = typeof progressToken === 'number' ? this.#underway.get(progressToken) : undefined;
    if (!(call instanceof Call) || typeof progress !== 'number') return;
    call.alive();
    const said = call.progress(
      progress,
      typeof total === 'number' ? total : undefined,
      typeof message === 'string' ? this.#message(message, call) : undefined,
    );
    if (said !== undefined) await call.answer.event(notificationText('notifications/progress', said), event);
  }

  #message(message: string, call: Call): string | undefined {
    const masked = this.#masked({ message }, call)?.['message'];
    return typeof masked === 'string' ? masked : undefined;
  }

  /** Never rejects: nobody waits for it. */
  async #asked(id: Id, method: string, params: JsonObject, origin: object | undefined): Promise<void> {
    const { reply, log } = this.#parts;
    this.#asks++;
    try {
      const answer = method === 'ping' ? resultText(id, {}) : await this.#question(id, method, params, origin);
      if (answer !== undefined) await reply(answer);
    } catch (error) {
      log.info({ err: error, method }, 'an MCP server asked the client, and may not');
      await reply(errorText(id, rpc.denied, 'this may not be asked of the client'));
    } finally {
      this.#asks--;
    }
  }

  /** What a server asks of the client is put to policy, and then to the client under an id of the gateway's. Gives why it is not. */
  async #question(id: Id, method: string, all: JsonObject, origin: object | undefined): Promise<string | undefined> {
    if (!serverRequests.has(method)) return errorText(id, rpc.method, 'the client is not asked this');
    const { _meta: _, ...params } = all;
    const client = this.#client(origin);
    const shown = this.#masked(params, origin);
    if (client === undefined || shown === undefined || this.#parts.asking.full || this.#questions >= questions_max)
      return errorText(id, rpc.denied, 'the client cannot be asked now');
    const asked: Asked = { method, from: 'server', action: 'transfer', access: 'use', params };
    this.#questions++;
    try {
      const admitted = await this.#parts.admit(client.use, asked, shown);
      const own = this.#parts.hold(id, admitted);
      if (await client.answer.event(requestText(own, method, admitted.said))) return undefined;
      this.#parts.asking.withdraw(id);
      return errorText(id, rpc.denied, 'the client cannot be asked any more');
    } finally {
      this.#questions--;
    }
  }

  /** Who hears what belongs to `origin`: the request it came with, or whoever listens. */
  #client(origin: object | undefined): Call | Listener | undefined {
    if ((origin instanceof Call || origin instanceof Listener) && origin.answer.tells) return origin;
    if (this.#listener?.answer.tells === true) return this.#listener;
    return [...this.#underway.values()].filter((one) => one instanceof Call).find(({ answer }) => answer.tells);
  }

  /**
   * Masked as who hears it is, and as everything was that this session asked: a server may tell of one call on the way of another, or
   * where it tells of none. Undefined: it may not go on.
   */
  #masked(said: JsonObject, origin: object | undefined): JsonObject | undefined {
    const heard = origin instanceof Call || origin instanceof Listener ? [origin.masks] : [];
    let masked: JsonObject | undefined = said;
    for (const masks of [...heard, this.#listener?.masks, ...this.#masks.values()]) {
      if (masks !== undefined && masked !== undefined) masked = masks.aside(masked);
    }
    return masked;
  }
}

/** The text of a member on one line; undefined where it is not there once, or no object. */
function memberOf(text: string, name: string): string | undefined {
  try {
    const [found, ...more] = findInJson(text, [[{ member: name }]], new Set([0]));
    if (found?.kind !== 'tree' || more.length > 0 || text[found.start] !== '{') return undefined;
    // Line ends stand between values alone.
    return text.slice(found.start, found.end).replace(/[\r\n]+/g, ' ');
  } catch {
    return undefined;
  }
}
