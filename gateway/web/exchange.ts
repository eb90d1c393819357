import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Decision } from '#engine';
import { ProtocolError } from '../errors.js';
import type { Client, Identity, Mount, Obligation, Result, Services, SessionEnd, Target } from '../protocol.js';
import { ClientGone, nobodyThere, type Admitted } from './admission.js';
import { fail, goneProblem, sendProblem, type Problem } from './answer.js';
import type { Passed } from './passing.js';
import { checkVersion, RequestRefusal } from './refusal.js';
import { ConnectionSessions, type WebSession } from './sessions.js';
import { answerOf, type Upgrade } from './upgrading.js';

/** One request to a mount and its answer, as it is for every protocol: who asks, of which target, in which session, and how it ended. */

export interface ExchangeParts {
  readonly services: Services;
  readonly sessions: ConnectionSessions;
}

/** What became of a request that was let through: how its answer was passed, and the upstream's status. */
export interface Forwarded extends Passed, Pick<Result, 'warnings'> {
  readonly code: string;
}

/** Clients wait for people without a byte in either direction: the kernel finds out who is gone. */
const keep_alive_ms = 30_000;

export abstract class Exchange {
  protected readonly request: IncomingMessage;
  protected readonly response: ServerResponse;
  protected readonly services: Services;
  readonly #sessions: ConnectionSessions;
  readonly #gone = new AbortController();
  #ended: SessionEnd | undefined;
  /** The name of the target, once it is known. */
  protected target = '';

  constructor(request: IncomingMessage, response: ServerResponse, { services, sessions }: ExchangeParts) {
    this.request = request;
    this.response = response;
    this.services = services;
    this.#sessions = sessions;
    request.socket.setKeepAlive(true, keep_alive_ms);
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    response.once('close', () => this.#gone.abort(nobodyThere));
  }

  /** Whose targets are asked for, and what its enforcement can do. */
  protected abstract readonly protocol: string;
  protected abstract readonly supports: ReadonlySet<Obligation>;

  /** Judges the request and answers it; what it throws is answered as a refusal. */
  protected abstract serve(): Promise<void>;

  /** A refusal, in the words of the protocol. */
  protected refuse(problem: Problem): void {
    sendProblem(this.response, problem);
  }

  /** Aborted where there is nobody any more to be answered, or the time is over that policy gives. */
  protected get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** There is nobody any more. */
  protected leave(): void {
    this.#gone.abort(nobodyThere);
  }

  stop(): void {
    this.response.destroy();
  }

  /** Never throws. */
  async run(): Promise<void> {
    try {
      checkVersion(this.request);
      await this.serve();
    } catch (error) {
      if (this.#ended !== undefined) return this.refuse(goneProblem(this.#ended));
      if (error instanceof ClientGone || this.response.destroyed) return;
      this.failed(error);
    }
  }

  /** Answers what was thrown. */
  protected failed(error: unknown): void {
    this.refuse(this.problemOf(error));
  }

  /** What was thrown, in words that are safe to show; what is nobody's fault is logged. */
  protected problemOf(error: unknown): Problem {
    const { log } = this.services;
    const problem = fail(error, this.target);
    if (problem.status >= 500) log.error({ err: error, target: this.target }, 'a request failed');
    else if (error instanceof ProtocolError) {
      log.info({ reason: problem.code, target: this.target, client: this.client.address }, 'request refused');
    }
    return problem;
  }

  protected get client(): Client {
    const { remoteAddress = '', remotePort = 0 } = this.request.socket;
    return { address: remoteAddress.replace(/^::ffff:/, ''), port: remotePort, confidential: true };
  }

  /** Throws RequestRefusal where there is no such target, or it cannot be used. */
  protected find(name: string): Target {
    const target = this.services.target(this.protocol, name);
    if (target === undefined) {
      throw new RequestRefusal(404, 'unknown_target', `there is no ${this.protocol} target "${name}"`);
    }
    if (target.unavailable !== undefined) {
      throw new RequestRefusal(503, 'target_unavailable', `target "${name}" is not available: ${target.unavailable}`);
    }
    return target;
  }

  /** The decision inside of which the connection stands, if it does. */
  protected get within(): string | undefined {
    return undefined;
  }

  protected session(identity: Identity, target: Target, token: string, application: string | undefined): WebSession {
    return this.#sessions.of(this.request.socket, token, target.input.name, () =>
      this.services.openSession({
        identity,
        target,
        client: this.client,
        ...(application === undefined ? {} : { application }),
        ...(identity.prompt === undefined ? {} : { prompt: identity.prompt }),
        ...(this.within === undefined ? {} : { within: this.within }),
        supports: this.supports,
      }),
    );
  }

  /** Where the session ends meanwhile, so does the request. */
  protected async during(held: WebSession, run: () => Promise<void>): Promise<void> {
    const leave = held.enter((end) => {
      this.#ended = end;
      this.#gone.abort(nobodyThere);
      this.refuse(goneProblem(end));
    });
    try {
      await run();
    } finally {
      leave();
    }
  }

  /**
   * Sends what was let through, within the time that policy gives, and records the outcome, however it ends.
   *
   * @param late Says that the time is over.
   */
  protected async forward(
    { submission, decision }: Admitted,
    late: (seconds: number) => Problem,
    run: () => Promise<Forwarded | Result>,
  ): Promise<void> {
    const { seconds } = decision.limits;
    let tooLate = false;
    const stop = (): void => {
      tooLate = true;
      this.refuse(late(seconds ?? 0));
      this.#gone.abort(nobodyThere);
    };
    const timer = seconds === undefined ? undefined : setTimeout(stop, seconds * 1_000);
    try {
      const result = resultOf(await run());
      if (result.warnings !== undefined) this.#warn(decision);
      submission.settle(tooLate ? { ...result, code: 'limit_exceeded' } : result);
    } catch (error) {
      const cancelled = this.signal.aborted;
      submission.settle({ status: cancelled ? 'cancelled' : 'error', ...(tooLate ? { code: 'limit_exceeded' } : {}) });
      if (cancelled) throw new ClientGone();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #warn({ id }: Decision): void {
    this.services.log.warn(
      { target: this.target, decision: id },
      "an upstream repeated the gateway's own credential in an answer; it was concealed",
    );
  }
}

const outcomes = { whole: 'ok', gone: 'cancelled', cut: 'lost', limit: 'error' } as const satisfies Record<
  Passed['how'],
  string
>;

function resultOf(ended: Forwarded | Result): Result {
  if (!('how' in ended)) return ended;
  const { how, bytes, code, warnings } = ended;
  return {
    ...(warnings === undefined ? {} : { warnings }),
    status: outcomes[how],
    bytes,
    code: how === 'limit' ? 'limit_exceeded' : code,
  };
}

/**
 * Everything below a path: each request is an exchange of its own.
 *
 * @param exchange Gets the bare connection of a request that asks for another protocol, where `upgrades` is true; where it is
 *   not, such a request is one like any other.
 */
export function mountOf(
  prefix: string,
  services: Services,
  exchange: (request: IncomingMessage, response: ServerResponse, parts: ExchangeParts, upgrade?: Upgrade) => Exchange,
  close: () => void,
  upgrades = false,
): Mount {
  const parts = { services, sessions: new ConnectionSessions() };
  const exchanges = new Set<Exchange>();
  const run = (one: Exchange) => {
    exchanges.add(one);
    void one.run().finally(() => exchanges.delete(one));
  };
  const mount: Mount = {
    prefix,
    serve: (request, response) => run(exchange(request, response, parts)),
    close: async () => {
      for (const one of exchanges) one.stop();
      close();
    },
  };
  if (!upgrades) return mount;
  return {
    ...mount,
    upgrade: (request, socket, head) => run(exchange(request, answerOf(request, socket), parts, { socket, head })),
  };
}
