import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { ProtocolError } from '../../../errors.js';
import type { Session as GatewaySession, SessionEnd, Withdrawal } from '../../../protocol.js';
import * as codec from '../codec.js';
import { frontend, type FrameReader } from '../codec.js';
import { Claim } from './claim.js';
import { Copying } from './copying.js';
import { ended, failureResponse, functionCall, sqlstates, unmasked } from '../enforce.js';
import type { Kinds } from '../../../content/index.js';
import { Exchange, type Awaitable } from './exchange.js';
import { ExtendedProtocol } from './extended.js';
import { Farewells } from '../wire/farewells.js';
import { Unmasked } from '../enforcing/guard.js';
import { Judge } from '../judging/judge.js';
import { Limiting } from './limiting.js';
import { Looking } from './looking.js';
import { Namespace } from './namespace.js';
import type { Onlooker } from '../onlooker.js';
import type { Place } from '../operation.js';
import { Present } from './present.js';
import type { Permit } from '../judging/permit.js';
import { unsafeSetting } from '../wire/startup.js';
import type { Ask, Interpreter } from '../judging/statement.js';
import { SimpleProtocol } from './simple.js';
import type { Upstream } from '../upstream.js';
import { Waiting } from './waiting.js';

/**
 * One signed-in client and its connection to the server: every message judged, and nothing else forwarded.
 *
 *     client ──frames──▶ message ──interpret──▶ template ──submit──▶ decision ──▶ upstream     (judge.ts)
 *     client ◀──────────────────── responses ◀──frames───────────────────────────── upstream   (responses.ts)
 *
 * Messages are handled one at a time and in order. What needs no waiting (a template that is known, a decision, a record
 * that need not be durable) is handled at once; while something has to be waited for, the client is not read.
 */

/** Encodings whose bytes the server reads as the gateway does. UNICODE is UTF8's other name, which the server reports where a client said it. */
const readAsUtf8 = new Set(['UTF8', 'UNICODE', 'SQL_ASCII']);

/** How long a closed connection may take to deliver its last bytes. */
const linger_ms_max = 2_000;

/** What a client may send behind an operation that waits for people; more stays in its own socket. */
const read_ahead_bytes_max = 1024 * 1024;

/** A driver sends the end of a batch with it: what has not come by then is waited for by the client. */
const behind_ms_max = 500;

export interface SessionParts {
  readonly client: Socket;
  readonly upstream: Upstream;
  readonly session: GatewaySession;
  readonly place: Place;
  readonly log: Logger;
  /** Patterns that are looked for from the start. */
  readonly content: Kinds;
  /** Whether it named its prompt in the start-up packet's settings. */
  readonly claimed: boolean;
  /** What a transaction with an older snapshot cannot be asked. */
  readonly onlooker: Onlooker;
  makeInterpreter(ask: Ask): Interpreter;
  /** Stops what the server runs for this session; resolves when the server has been told. */
  cancel(): Promise<void>;
  /** The connection is gone, on both sides. */
  closed(): void;
}

export class PostgresSession {
  readonly #parts: SessionParts;
  readonly #client: Socket;
  readonly #upstream: Socket;
  readonly #exchange: Exchange;
  readonly #names: Namespace;
  readonly #judge: Judge;
  readonly #simple: SimpleProtocol;
  readonly #extended: ExtendedProtocol;
  readonly #interpreter: Interpreter;
  readonly #fromClient = new codec.FrameReader((type) => type === frontend.copyData);
  readonly #fromUpstream: FrameReader;

  /** The client's text is only sure to be the server's where it is ASCII. */
  #ascii = false;
  readonly #copying: Copying;
  /** A message waits for something: what comes behind it stays unread. */
  #busy = false;
  readonly #chunks: Buffer[] = [];
  readonly #waiting: Waiting;
  /** An operation waits for people: what the client sends meanwhile is looked through, and kept. */
  #readAhead: Farewells | undefined;
  #clientEnded = false;
  /** Something has come behind an operation that waits. */
  #arrived: () => void = () => undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#client = parts.client;
    this.#upstream = parts.upstream.socket;
    const ownProcess = parts.upstream.cancelKey?.readInt32BE(0);
    const interpreter = () => this.#interpreter;
    const exchange: Exchange = new Exchange(this.#client, this.#upstream, {
      ready: (status, hidden) => {
        if (status === 'I' && !hidden) this.#names.idle();
        if (status !== 'I') return;
        this.#judge.outstanding.idle();
        claim.idle();
      },
      parameterStatus: (name, value) => this.#parameterStatus(name, value),
      outdated: () => this.#interpreter.outdated(),
      // What others put into it may be of any column: nobody can tell.
      withheld: (process) => process !== ownProcess && parts.session.masks(),
      batchFailed: () => this.#waiting.abandon('batch_failed'),
      batchEnded: () => this.#names.endBatch(),
      unnamedDropped: () => this.#names.unnamedDropped(),
    });
    this.#exchange = exchange;
    exchange.responses.search(parts.content);
    this.#copying = new Copying(exchange, () => this.end('client_left'));
    this.#names = new Namespace(exchange, interpreter);
    const claim = new Claim(exchange, parts.claimed, (prompt) => parts.session.claim(prompt));
    this.#waiting = new Waiting(
      () => this.#holdBegan(),
      () => this.#holdEnded(),
      () => exchange.poke(),
    );
    const looking = new Looking(exchange, this.#names, interpreter);
    const present = new Present(exchange, this.#names, parts.onlooker, interpreter);
    this.#judge = new Judge({
      exchange,
      names: this.#names,
      claim,
      session: parts.session,
      place: parts.place,
      waiting: this.#waiting,
      interpreter,
      present,
      readable: (text) => this.#readable(text),
      cancel: () => parts.cancel(),
    });
    this.#simple = new SimpleProtocol({
      exchange,
      names: this.#names,
      judge: this.#judge,
      looking,
      present,
      copying: this.#copying,
      limit: (permit) => this.#limit(permit),
    });
    this.#extended = new ExtendedProtocol({
      exchange,
      names: this.#names,
      judge: this.#judge,
      looking,
      present,
      copyIn: () => this.#copying.clear(true),
      untilCopyIsClear: () => this.#copying.untilClear(),
      executed: (until) => this.#copying.clear(false, until),
      limit: (permit) => this.#limit(permit),
      behind: () => this.#behind(),
    });
    this.#fromUpstream = new codec.FrameReader((type) => exchange.responses.streams(type));
    this.#interpreter = parts.makeInterpreter((sql, parameters) =>
      exchange.ask(sql, parameters, { interpreted: true }),
    );
  }

  /** Takes over both sockets; what was read of either before stands in the two buffers. */
  start(fromClient: Buffer, fromUpstream: Buffer): void {
    this.#client.on('data', (chunk: Buffer) => this.#clientData(chunk));
    this.#client.on('drain', () => this.#upstream.resume());
    this.#client.on('error', () => this.end('client_error'));
    this.#client.on('close', () => this.end('client_gone'));
    this.#client.on('end', () => {
      this.#clientEnded = true;
      if (!this.#busy || this.#readAhead !== undefined) this.end('client_gone');
    });
    this.#upstream.on('data', (chunk: Buffer) => this.#upstreamData(chunk));
    this.#upstream.on('drain', () => {
      if (!this.#busy) this.#client.resume();
    });
    this.#upstream.on('error', (error) => this.#upstreamGone(error));
    this.#upstream.on('close', () => this.#upstreamGone());
    this.#parts.session.onEnd((end) => this.#endedFromOutside(end));
    for (const [name, value] of this.#parts.upstream.parameters) this.#parameterStatus(name, value);
    if (!this.#exchange.over && fromUpstream.length > 0) this.#upstreamData(fromUpstream);
    if (!this.#exchange.over && fromClient.length > 0) this.#clientData(fromClient);
    if (this.#exchange.over) return;
    if (!this.#busy) this.#client.resume();
    this.#upstream.resume();
  }

  // ── from the client ────────────────────────────────────────────────────────────────────────────────────────────

  #clientData(chunk: Buffer): void {
    if (this.#exchange.over) return;
    if (this.#busy) {
      this.#chunks.push(chunk);
      this.#lookAhead(chunk);
      this.#arrived();
      return;
    }
    this.#interpreter.turn();
    this.#fromClient.push(chunk);
    this.#work();
  }

  /** An operation waits for people: the client is read on, to notice that it leaves. */
  #holdBegan(): void {
    this.#readAhead = new Farewells();
    this.#client.resume();
    for (const chunk of [this.#fromClient.rest(), ...this.#chunks]) this.#lookAhead(chunk);
    if (this.#clientEnded) this.end('client_gone');
  }

  #lookAhead(chunk: Buffer): void {
    if (this.#readAhead === undefined) return;
    if (this.#readAhead.read(chunk)) this.end('client_left');
    else if (this.#readAhead.bytes > read_ahead_bytes_max) this.#client.pause();
  }

  /** The type of the next message of a client that waits; undefined where none comes soon. */
  async #behind(): Promise<number | undefined> {
    const first = () => [this.#fromClient.rest(), ...this.#chunks].find((chunk) => chunk.length > 0)?.[0];
    const found = first();
    if (found !== undefined) return found;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, behind_ms_max);
      this.#arrived = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#arrived = () => undefined;
    return first();
  }

  #holdEnded(): void {
    this.#readAhead = undefined;
    if (!this.#exchange.over) this.#client.pause();
  }

  /** A CancelRequest for this session. False: nothing waits for people here, and it is for the server. */
  cancelHeld(): boolean {
    return this.#waiting.cancel();
  }

  /** Handles messages until there are none, or one has to wait. */
  #work(): void {
    try {
      for (;;) {
        while (this.#fromClient.next()) {
          const waiting = this.#message(this.#fromClient);
          if (this.#exchange.over) return;
          if (waiting !== undefined) {
            this.#wait(waiting);
            return;
          }
        }
        const chunk = this.#chunks.shift();
        if (chunk === undefined) break;
        this.#interpreter.turn();
        this.#fromClient.push(chunk);
      }
      this.#exchange.flush();
      if (this.#clientEnded) this.end('client_gone');
    } catch (error) {
      this.#violated(error);
    }
  }

  #wait(waiting: Promise<void>): void {
    this.#busy = true;
    this.#client.pause();
    this.#exchange.flush();
    waiting.then(
      () => {
        this.#busy = false;
        if (this.#exchange.over) return;
        this.#client.resume();
        this.#work();
      },
      (error: unknown) => {
        this.#busy = false;
        this.#violated(error);
      },
    );
  }

  #message(frame: FrameReader): Awaitable {
    if (this.#copying.active) return this.#copying.message(frame);
    const exchange = this.#exchange;
    exchange.dropsUnnamed = false;
    switch (frame.type) {
      case frontend.sync:
        return this.#extended.sync(frame);
      case frontend.terminate:
        this.end('client_left');
        return;
      case frontend.copyData:
      case frontend.copyDone:
      case frontend.copyFail:
        this.#copying.leftOver(frame);
        return;
      case frontend.query:
        return this.#simple.query(frame);
      case frontend.functionCall:
        if (!exchange.skipping) exchange.refuse(functionCall, 'query');
        return;
      case frontend.parse:
      case frontend.bind:
      case frontend.describe:
      case frontend.execute:
      case frontend.close:
      case frontend.flush:
        if (exchange.skipping) return;
        if (!exchange.responses.full) return this.#extended.message(frame);
        return exchange
          .drained()
          .then(() => (exchange.skipping || exchange.over ? undefined : this.#extended.message(frame)));
      default:
        throw new ProtocolError(`invalid frontend message type ${frame.type}`);
    }
  }

  #limit(permit: Permit): Limiting {
    return new Limiting(permit, this.#parts.session.target.input.name, () => this.#parts.cancel());
  }

  /** The parser reads UTF-8. Under another encoding only ASCII is sure to be the same text for the server. */
  #readable(text: string): boolean {
    return !this.#ascii || !/[^\x00-\x7f]/.test(text);
  }

  // ── from the server ────────────────────────────────────────────────────────────────────────────────────────────

  #upstreamData(chunk: Buffer): void {
    const exchange = this.#exchange;
    if (exchange.over) return;
    try {
      this.#fromUpstream.push(chunk);
      while (this.#fromUpstream.next()) {
        exchange.responses.frame(this.#fromUpstream);
        if (exchange.over) return;
      }
      if (!exchange.toClient.flush()) this.#upstream.pause();
    } catch (error) {
      if (error instanceof Unmasked) {
        this.#parts.log.error({ err: error }, 'a masked column was about to be shown: the session ends');
        this.#fail(unmasked, 'unmasked');
        return;
      }
      this.#parts.log.error({ err: error }, 'the upstream broke the protocol');
      this.#fail(failureResponse(error, 'FATAL'), 'upstream_protocol');
    }
  }

  #parameterStatus(name: string, value: string): void {
    const unsafe = unsafeSetting(name, value);
    if (unsafe !== undefined) {
      const error = { severity: 'FATAL', sqlstate: sqlstates.unsupported, message: unsafe } as const;
      this.#fail(codec.errorResponse(error), 'unsafe_setting');
      return;
    }
    if (name === 'client_encoding') this.#ascii = !readAsUtf8.has(value);
    this.#interpreter.parameterStatus(name, value);
  }

  // ── the end ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The gateway stops. */
  shutDown(): void {
    this.#endedFromOutside({ code: 'shutdown', message: 'terminating connection: the gateway shuts down' });
  }

  #endedFromOutside(end: SessionEnd): void {
    if (!this.#exchange.responses.empty) void this.#parts.cancel();
    this.#fail(ended(end), end.code);
  }

  #violated(error: unknown): void {
    if (this.#exchange.over) return;
    const violated = error instanceof ProtocolError;
    if (!violated) this.#parts.log.error({ err: error }, 'the session broke');
    this.#fail(failureResponse(error, 'FATAL'), violated ? 'protocol_violation' : 'internal_error');
  }

  #upstreamGone(error?: Error): void {
    if (this.#exchange.over) return;
    if (error !== undefined) this.#parts.log.warn({ err: error }, 'the upstream connection failed');
    if (this.#exchange.responses.fatal) {
      this.end('upstream_gone');
      return;
    }
    this.#fail(
      codec.errorResponse({
        severity: 'FATAL',
        sqlstate: sqlstates.upstream,
        message: `target "${this.#parts.session.target.input.name}" closed the connection`,
      }),
      'upstream_gone',
    );
  }

  #fail(lastWords: Buffer, reason: string): void {
    if (this.#exchange.over) return;
    this.#exchange.toClient.push(lastWords);
    this.#exchange.toClient.flush();
    this.end(reason);
  }

  /** Ends both connections. What was under way has no known outcome. */
  end(reason: string): void {
    const exchange = this.#exchange;
    if (exchange.over) return;
    exchange.over = true;
    this.#waiting.abandon(withdrawal(reason));
    this.#judge.abandon();
    exchange.responses.abandon({ code: sqlstates.upstream, message: reason });
    this.#copying.wake();
    exchange.wake();
    this.#client.end();
    this.#client.resume();
    destroyLater(this.#client);
    // What was sent before is still the server's to finish: it reads the Terminate after it.
    if (this.#upstream.writable) {
      exchange.toUpstream.flush();
      this.#upstream.end(codec.terminate);
    }
    this.#upstream.resume();
    destroyLater(this.#upstream);
    this.#parts.session.close(reason);
    this.#parts.closed();
  }
}

/** Why the request of an operation that waits is taken back, by why its session ends. */
function withdrawal(reason: string): Withdrawal {
  if (reason.startsWith('client_')) return 'client_gone';
  return reason === 'shutdown' ? 'shutdown' : 'session_ended';
}

function destroyLater(socket: Socket): void {
  const timer = setTimeout(() => socket.destroy(), linger_ms_max);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
}
