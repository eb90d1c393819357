import type { Decision, Operation } from '#engine';
import type { Circumstances, Enforced, Hold, HoldEnd, Session } from '../../protocol.js';
import { ClientGone, NotAdmitted, type Admitted } from '../../web/index.js';
import { ComeBack } from './enforce.js';

/**
 * From an operation to its allow, for clients that cannot wait as long as people need: whoever comes back with the same operation in the
 * same session goes on waiting, or gets what was answered meanwhile.
 */
export interface Waiter {
  /** The client took the request back. */
  readonly cancelled: AbortSignal;
  /** Nobody is there to be answered. What was asked waits on: they may come back. */
  readonly gone: AbortSignal;
  /** Tells the client that it waits; false where it cannot be told, and so will give up before people have answered. */
  readonly tell: (hold: Hold, decision: Decision) => boolean;
}

interface Request {
  readonly hold: Hold;
  readonly decision: Decision;
  end?: HoldEnd;
}

/** An approval sends an operation round again; a policy that changes with every round ends it. */
const rounds_max = 8;
const requests_max = 64;
const tell_ms = 10_000;

export class Waiting {
  readonly #requests = new Map<string, Request>();
  readonly #hold_ms: number;

  constructor(hold_ms: number) {
    this.#hold_ms = hold_ms;
  }

  /** Resolves once the operation may leave and its intent is recorded. Throws NotAdmitted, ComeBack, AuditError or ClientGone. */
  async admit(
    session: Session,
    operation: Operation,
    circumstances: Circumstances,
    enforce: (decision: Decision) => Enforced | Promise<Enforced>,
    waiter: Waiter,
  ): Promise<Admitted> {
    const key = `${session.id} ${operation.hash}`;
    for (let round = 0; ; round++) {
      const request =
        this.#requests.get(key) ?? (await this.#submit(key, session, operation, circumstances, enforce, waiter));
      if ('submission' in request) return request;
      const end = request.end ?? (await this.#wait(request, waiter));
      this.#requests.delete(key);
      const again = end.how === 'approved' || end.how === 'superseded';
      if (!again || round >= rounds_max) throw new NotAdmitted(request.decision, { hold: request.hold, end });
    }
  }

  async #submit(
    key: string,
    session: Session,
    operation: Operation,
    circumstances: Circumstances,
    enforce: (decision: Decision) => Enforced | Promise<Enforced>,
    { cancelled, gone }: Waiter,
  ): Promise<Admitted | Request> {
    const submission = await session.submit(operation, circumstances, enforce);
    const { decision, hold } = submission;
    if (decision.outcome === 'allow') {
      await submission.recorded;
      if (!cancelled.aborted && !gone.aborted) return { submission, decision };
      submission.settle({ status: 'cancelled' });
      throw new ClientGone();
    }
    if (hold === undefined) throw new NotAdmitted(decision);
    const request: Request = { hold, decision };
    void hold.ended.then((end) => (request.end = end));
    for (const [oldest] of this.#requests) {
      if (this.#requests.size < requests_max) break;
      this.#requests.delete(oldest);
    }
    this.#requests.set(key, request);
    return request;
  }

  /** Until people have answered, or the client has to be. */
  async #wait(request: Request, { cancelled, gone, tell }: Waiter): Promise<HoldEnd> {
    const { hold, decision } = request;
    const leave = () => hold.withdraw('cancelled');
    if (cancelled.aborted) leave();
    cancelled.addEventListener('abort', leave, { once: true });
    let late: NodeJS.Timeout | undefined;
    let left: (() => void) | undefined;
    const telling = tell(hold, decision) ? setInterval(() => tell(hold, decision), tell_ms) : undefined;
    try {
      const end = await Promise.race([
        hold.ended,
        new Promise<'left'>((resolve) => {
          left = () => resolve('left');
          gone.addEventListener('abort', left, { once: true });
          if (gone.aborted) left();
        }),
        ...(telling !== undefined
          ? []
          : [new Promise<'late'>((resolve) => (late = setTimeout(() => resolve('late'), this.#hold_ms)))]),
      ]);
      if (cancelled.aborted || end === 'left') throw new ClientGone();
      if (end === 'late') throw new ComeBack(decision, hold);
      return end;
    } finally {
      clearTimeout(late);
      clearInterval(telling);
      cancelled.removeEventListener('abort', leave);
      if (left !== undefined) gone.removeEventListener('abort', left);
    }
  }
}
