import type { Logger } from 'pino';
import type { Decision } from '#engine';
import { UpstreamError } from '../../errors.js';
import type { Circumstances, Enforced, Prompt } from '../../protocol.js';
import { ClientGone, type Admitted } from '../../web/index.js';
import type { Answer } from './answer.js';
import { Asking } from './asking.js';
import { Call, type Answered } from './call.js';
import { Catalogue } from './catalogue.js';
import {
  MessageRefusal,
  notificationText,
  requestText,
  rpc,
  type ClientNotification,
  type ClientRequest,
  type ClientResponse,
  type Id,
} from './codec.js';
import type { McpUpstream } from './config.js';
import type { Connection } from './connection.js';
import { LimitExceeded, refusalText } from './enforce.js';
import { Hearing, Listener, type AdmittedAsk } from './hearing.js';
import { MaskRefusal, masksOf, type Masks } from './masking.js';
import type { JsonObject } from './methods.js';
import { operationOf, withoutValues, type Asked } from './operation.js';
import { Uses, type Use } from './principals.js';
import { answerOf, askedOf } from './results.js';
import { pinProblem, type FirstSeen, type Tool } from './tools.js';
import type { McpTarget } from './upstream.js';
import { Waiting, type Waiter } from './waiting.js';

/** One session of MCP: a client on one side, a server on the other, and every message between them judged. */
export interface SessionParts {
  readonly target: McpTarget;
  readonly name: string;
  readonly log: Logger;
  readonly firstSeen: FirstSeen;
  readonly maskKey: () => string;
  readonly ended: (session: McpSession) => void;
}

/** Of a request that came: who it is from, and what it says of its prompt. */
export interface From {
  readonly use: Use;
  readonly prompt: Prompt | undefined;
  readonly gone: AbortSignal;
}

const calls_max = 128;
/** After its answer a server ends the way on which it came; else that is done for it. */
const linger_ms = 5_000;
const never = new AbortController().signal;

export class McpSession {
  readonly uses: Uses;
  readonly #parts: SessionParts;
  readonly #upstream: McpUpstream;
  #opened: Connection | undefined;
  readonly #hearing: Hearing;
  readonly #catalogue: Catalogue;
  readonly #waiting: Waiting;
  readonly #asking: Asking;
  readonly #calls = new Map<Id, Call>();
  #numbers = 0;
  #over = false;
  used_ms = Date.now();

  /** Nothing is sent, and no program is started, before the first request was allowed. */
  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#upstream = parts.target.upstream;
    this.#waiting = new Waiting(this.#upstream.hold_ms);
    this.#asking = new Asking(this.#upstream.timeout_ms);
    this.uses = new Uses(() => this.close('killed'));
    this.#hearing = new Hearing({
      log: parts.log,
      asking: this.#asking,
      reply: (text) => this.#connection.send(text).catch(() => undefined),
      admit: (use, asked, shown) => this.#admitServer(use, asked, shown),
      hold: (id, admitted) => this.#asking.add(id, admitted, this.#connection),
      toolsChanged: () => this.#catalogue.stale(),
      gone: () => this.close('upstream gone'),
    });
    this.#catalogue = new Catalogue(this.#upstream, parts.firstSeen, async (cursor) => this.#ownTools(cursor));
  }

  /** Throws UpstreamError where the server's program cannot be started, or the session is over. */
  get #connection(): Connection {
    if (this.#opened === undefined && this.#over) throw new UpstreamError('the session with the server is over');
    const { target, name, log } = this.#parts;
    return (this.#opened ??= target.connect(this.#hearing, (line) =>
      log.info({ target: name, line }, 'the program of an MCP target says'),
    ));
  }

  get idle(): boolean {
    return this.#calls.size === 0 && !this.#hearing.listens;
  }

  /** A request of the client; answered in any case. Resolves to whether it was let through and answered by the server. */
  async request(request: ClientRequest, answer: Answer, from: From): Promise<boolean> {
    this.used_ms = Date.now();
    const { use } = from;
    if (this.#calls.has(request.id))
      throw new MessageRefusal(400, 'id_in_use', 'a request with this id is still open', rpc.invalid, request.id);
    if (this.#calls.size >= calls_max)
      throw new MessageRefusal(429, 'busy', 'too many requests are open in this session', rpc.internal, request.id);
    const call = new Call(request, { answer, use, number: ++this.#numbers });
    this.#calls.set(request.id, call);
    const leave = use.enter((end) => {
      this.#takeBack(call);
      call.cancel(end);
    });
    let tool: Tool | undefined;
    try {
      if (request.method === 'tools/call') tool = await this.#catalogue.find(request.params['name'] as string);
      const { submission, decision } = await this.#admit(call, tool, from);
      const { text, event } = await this.#forward(call, { submission, decision }, from.prompt);
      const streamed = answer.streams;
      if (!answer.final(text, event)) await this.#hearing.missed(call.number, text, event);
      // What was handed over may be lost on its way, and a client that was told before knows where to go on.
      else if (streamed) this.#hearing.remember(call.number, text, event);
      return true;
    } catch (error) {
      if (error instanceof ClientGone) {
        if (!('end' in error)) answer.end();
        throw error;
      }
      if (error instanceof UpstreamError)
        this.#parts.log.warn({ err: error, target: this.#parts.name }, 'an MCP server failed');
      answer.final(refusalText(error, request, this.#parts.name, tool?.has_output_schema !== true));
      return false;
    } finally {
      leave();
      call.stop();
      this.#calls.delete(request.id);
      this.used_ms = Date.now();
    }
  }

  /** Something that the client tells. Throws NotAdmitted. */
  async notify(message: ClientNotification, { use, prompt, gone }: From): Promise<void> {
    this.used_ms = Date.now();
    const { method, params } = message;
    const call = method === 'notifications/cancelled' ? this.#calls.get(params['requestId'] as Id) : undefined;
    const asked: Asked = { method, from: 'client', params, action: message.means.action, access: message.means.access };
    const waiter: Waiter = { cancelled: gone, gone, tell: () => false };
    const { submission } = await this.#judge(use, asked, circumstancesOf(prompt), () => ({}), waiter);
    submission.settle({ status: 'ok' });
    if (method === 'notifications/progress') return;
    if (method !== 'notifications/cancelled') return this.#connection.send(notificationText(method, params));
    // What is over, or was never asked, is no news to anybody.
    if (call === undefined || call.request.method === 'initialize') return;
    this.#takeBack(call, params['reason']);
    call.cancel();
  }

  /** The client answers what the server asked. */
  async respond(response: ClientResponse): Promise<void> {
    this.used_ms = Date.now();
    await this.#asking.answer(response, this.#connection);
  }

  /** Opens the stream of what the server says by itself; false where it has none. Resolves when it is over. */
  async listen(answer: Answer, lastEvent: string | undefined, { use, prompt, gone }: From): Promise<boolean> {
    const asked: Asked = {
      ...{ method: 'stream', from: 'client', action: 'session', access: 'use' },
      params: lastEvent === undefined ? {} : { lastEventId: lastEvent },
    };
    let masks: Masks | undefined;
    const enforce = (decision: Decision) => this.#enforced(() => (masks = this.#masks(decision, undefined)));
    const waiter: Waiter = { cancelled: gone, gone, tell: () => false };
    const over = new AbortController();
    const leave = use.enter(() => over.abort());
    try {
      const { submission, decision } = await this.#judge(use, asked, circumstancesOf(prompt), enforce, waiter);
      let exceeded = false;
      const stop = () => {
        exceeded = true;
        over.abort();
      };
      const { bytes, seconds } = decision.limits;
      if (bytes !== undefined) answer.limit(bytes, stop);
      const timer = seconds === undefined ? undefined : setTimeout(stop, seconds * 1_000);
      try {
        const signal = AbortSignal.any([gone, over.signal]);
        const listener = new Listener(answer, { use, masks, resumes: lastEvent !== undefined });
        const listening = await this.#connection.listen(listener, lastEvent, signal);
        if (listening === undefined) return false;
        answer.begin();
        await this.#hearing.listen(listener, listening);
        answer.end();
        return true;
      } finally {
        clearTimeout(timer);
        submission.settle(exceeded ? { status: 'error', code: 'limit_exceeded' } : { status: 'ok' });
        this.used_ms = Date.now();
      }
    } finally {
      leave();
    }
  }

  close(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#parts.ended(this);
    for (const call of this.#calls.values()) call.fail(new UpstreamError('the session with the server is over'));
    this.#asking.close();
    this.#hearing.close();
    this.#opened?.close();
    this.uses.close(reason);
  }

  #admit(call: Call, tool: Tool | undefined, { use, prompt, gone }: From): Promise<Admitted> {
    const { method, means, params } = call.request;
    const { action, access } = means;
    const isTool = method === 'tools/call';
    const name = isTool ? (params['name'] as string) : undefined;
    const enforce = (decision: Decision) =>
      this.#enforced(() => {
        if (isTool) checkTool(tool, params);
        call.masks = this.#masks(decision, name);
      });
    const tell: Waiter['tell'] = (hold, { approvals }) => {
      const groups = [...new Set(approvals.flatMap((approval) => approval.groups))].join(', ');
      const where = hold.link === undefined ? '' : `: ${hold.link}`;
      const params = call.progress(0, undefined, `waiting for an approval: request ${hold.id}, ${groups}${where}`);
      if (params === undefined || !call.answer.tells) return false;
      void call.answer.event(notificationText('notifications/progress', params));
      return true;
    };
    return this.#judge(
      use,
      { method, from: 'client', action, access, params, tool },
      circumstancesOf(prompt),
      enforce,
      // What waits for people waits on when nobody listens: whoever asked may come back for it.
      { cancelled: call.cancelled.signal, gone, tell },
    );
  }

  #judge(
    use: Use,
    asked: Asked,
    circumstances: Circumstances,
    enforce: (decision: Decision) => Enforced,
    waiter: Waiter,
  ): Promise<Admitted> {
    return this.#waiting.admit(use.session, operationOf(asked, this.#upstream), circumstances, enforce, waiter);
  }

  /** @param shown What the client would be asked, to be masked as the decision says. */
  async #admitServer(use: Use, asked: Asked, shown: JsonObject): Promise<AdmittedAsk> {
    const waiter: Waiter = { cancelled: never, gone: never, tell: () => false };
    let said = shown;
    const enforce = (decision: Decision) =>
      this.#enforced(() => {
        const masks = this.#masks(decision, undefined);
        said = masks === undefined ? shown : (masks.aside(shown) ?? {});
      });
    const { submission, decision } = await this.#judge(use, asked, circumstancesOf(undefined), enforce, waiter);
    const { bytes = Infinity, seconds } = decision.limits;
    if (Buffer.byteLength(JSON.stringify(said)) <= bytes) return { submission, said, seconds_max: seconds };
    submission.settle({ status: 'error', code: 'limit_exceeded' });
    throw new LimitExceeded(decision, 'bytes');
  }

  #masks(decision: Decision, tool: string | undefined): Masks | undefined {
    return masksOf(decision.masks, tool, this.#parts.maskKey);
  }

  /** What is wrong beside policy is a refusal, and recorded as one. */
  #enforced(check: () => void): Enforced {
    try {
      check();
      return {};
    } catch (error) {
      if (error instanceof MaskRefusal) return { refusal: { code: 'mask_unenforceable', message: error.message } };
      if (error instanceof ToolRefusal) return { refusal: { code: error.code, message: error.message } };
      throw error;
    }
  }

  /** Sends what was let through, and gives the answer as the client may have it. The outcome is recorded, however it ends. */
  async #forward(
    call: Call,
    { submission, decision }: Admitted,
    prompt: Prompt | undefined,
  ): Promise<{ readonly text: string; readonly event: string | undefined }> {
    const { bytes: bytes_max, seconds } = decision.limits;
    const stop = (limit: 'bytes' | 'seconds') => {
      this.#takeBack(call);
      call.fail(new LimitExceeded(decision, limit));
    };
    const timer = seconds === undefined ? undefined : setTimeout(() => stop('seconds'), seconds * 1_000);
    // What is told on the way to an answer is part of what the call brings.
    if (bytes_max !== undefined) call.answer.limit(bytes_max, () => stop('bytes'));
    try {
      this.#send(call, prompt?.trace);
      const answered = await call.answered;
      const bytes = Buffer.byteLength(answered.raw);
      if (bytes > call.answer.left_bytes) throw new LimitExceeded(decision, 'bytes');
      const text = await this.#answerOf(call, answered);
      const status = answered.part === 'result' ? 'ok' : 'error';
      const warnings = call.repeats ? { warnings: ['credential_repeated'] as const } : {};
      submission.settle({ status, bytes, code: outcomeOf(answered), ...warnings });
      return { text, event: answered.event };
    } catch (error) {
      const status = error instanceof ClientGone ? 'cancelled' : error instanceof UpstreamError ? 'lost' : 'error';
      submission.settle({ status, ...(error instanceof LimitExceeded ? { code: 'limit_exceeded' } : {}) });
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #send(call: Call, trace: string | undefined): void {
    const { method, params } = call.request;
    this.#hearing.expect(call);
    call.sent = true;
    call.limit(this.#upstream.timeout_ms, () => this.#takeBack(call));
    const sent = {
      ...askedOf(method, params),
      ...(call.token === undefined ? {} : { _meta: { progressToken: call.number } }),
    };
    const over = new AbortController();
    let late: NodeJS.Timeout | undefined;
    call.answered.then(
      () => (late = setTimeout(() => over.abort(), linger_ms)),
      () => over.abort(),
    );
    const done = this.#connection.send(requestText(call.number, method, sent), call, trace, over.signal);
    done
      .finally(() => clearTimeout(late))
      .then(
        () => {
          // The way is over, and the server does not say how to go on: there will be no answer.
          if (this.#upstream.kind === 'http' && !call.resumable)
            call.fail(new UpstreamError('the server ended its answer before it was whole'));
        },
        (error: unknown) =>
          call.fail(error instanceof Error ? error : new UpstreamError('the server could not be asked')),
      );
  }

  async #answerOf(call: Call, answered: Answered): Promise<string> {
    const { method } = call.request;
    if (answered.part === 'error') return call.text(answered);
    const raw = await answerOf(method, answered.raw, {
      upstream: this.#upstream,
      session: call.use.session,
      catalogue: this.#catalogue,
      agreed: (version) => this.#connection.agreed(version),
    });
    return call.text({ ...answered, raw });
  }

  /** The server may stop working on it. */
  #takeBack(call: Call, reason?: unknown): void {
    if (!call.sent) return;
    call.sent = false;
    this.#hearing.forget(call);
    const params = { requestId: call.number, ...(typeof reason === 'string' ? { reason } : {}) };
    void this.#opened?.send(notificationText('notifications/cancelled', params)).catch(() => undefined);
  }

  /** What the gateway itself asks of the server: which tools there are, and what arguments they take. */
  async #ownTools(cursor: string | undefined): Promise<JsonObject> {
    const connection = this.#connection;
    const number = ++this.#numbers;
    const { origin, result, fail } = this.#hearing.own(number, this.#upstream.timeout_ms);
    const text = requestText(number, 'tools/list', cursor === undefined ? {} : { cursor });
    connection.send(text, origin).then(() => {
      if (this.#upstream.kind === 'http') fail(new UpstreamError('the server ended its answer before it was whole'));
    }, fail);
    return result;
  }
}

class ToolRefusal extends Error {
  constructor(
    readonly code: 'definition_changed' | 'definition_unfit',
    message: string,
  ) {
    super(message);
  }
}

/** Throws ToolRefusal for a call that may not be, whatever policy says of it. */
function checkTool(tool: Tool | undefined, params: JsonObject): void {
  if (tool === undefined) throw new ToolRefusal('definition_unfit', 'the server has no tool of this name');
  const changed = pinProblem(tool);
  if (changed !== undefined) throw new ToolRefusal('definition_changed', changed);
  const wrong = tool.check(params['arguments'] ?? {});
  if (wrong !== undefined) throw new ToolRefusal('definition_unfit', `the arguments do not fit the tool: ${wrong}`);
}

const circumstancesOf = (prompt: Prompt | undefined): Circumstances => ({
  ...(prompt === undefined ? {} : { prompt }),
  withhold: withoutValues,
});

/** What the server says became of it: a tool that failed is a result, too. */
function outcomeOf({ part, raw }: Answered): string {
  if (part === 'error') {
    const { code } = JSON.parse(raw) as { readonly code?: unknown };
    return typeof code === 'number' ? String(code) : 'error';
  }
  return /"isError"\s*:\s*true/.test(raw) && (JSON.parse(raw) as { isError?: unknown }).isError === true
    ? 'isError'
    : 'result';
}
