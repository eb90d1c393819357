import type { Decision, Operation } from '#engine';
import { GatewayError } from '../errors.js';
import type { Circumstances, Enforced, Hold, HoldEnd, Session, Submission } from '../protocol.js';

/** From an operation to its allow: judged, waited for where people have to answer, and recorded. */
export interface Admitted {
  readonly submission: Submission;
  readonly decision: Decision;
}

/** The operation may not go on: denied, or not approved. */
export class NotAdmitted extends Error {
  readonly decision: Decision;
  /** Where people were asked: the request, and how it ended. */
  readonly asked: { readonly hold: Hold; readonly end: HoldEnd } | undefined;

  constructor(decision: Decision, asked?: NotAdmitted['asked']) {
    super('the operation was not let through');
    this.decision = decision;
    this.asked = asked;
  }
}

/** Nobody is there any more to be answered. */
export class ClientGone extends GatewayError {
  readonly code = 'protocol';
  constructor() {
    super('the client went away');
  }
}

/** What happens to an operation between its submissions, where that is more than to wait. */
export interface Meanwhile {
  /** It waits for people from now on. */
  held(hold: Hold): void;
  /** They let it through, or another policy is in force: what is submitted now. What it throws is the answer. */
  again(end: HoldEnd): Promise<Operation>;
}

/** Why a request is given up. One for all: an abort without a reason makes an error with its stack, for every answer that ends. */
export const nobodyThere = new ClientGone();

/** An approval sends an operation round again; a policy that changes with every round ends it. */
const rounds_max = 8;

/**
 * Resolves once the operation may leave and its intent is recorded. Throws NotAdmitted, AuditError, or ClientGone where the
 * signal was aborted.
 */
export async function admit(
  session: Session,
  operation: Operation,
  circumstances: Circumstances,
  enforce: (decision: Decision) => Enforced,
  signal: AbortSignal,
  meanwhile?: Meanwhile,
): Promise<Admitted> {
  let submitted = operation;
  for (let round = 0; ; round++) {
    const submission = await session.submit(submitted, circumstances, enforce);
    const { decision, hold } = submission;
    if (decision.outcome === 'allow') {
      await submission.recorded;
      if (!signal.aborted) return { submission, decision };
      submission.settle({ status: 'cancelled' });
      throw new ClientGone();
    }
    if (hold === undefined) throw new NotAdmitted(decision);
    meanwhile?.held(hold);
    const end = await waitFor(hold, signal);
    if (signal.aborted) throw new ClientGone();
    const again = end.how === 'approved' || end.how === 'superseded';
    if (!again || round >= rounds_max) throw new NotAdmitted(decision, { hold, end });
    if (meanwhile !== undefined) submitted = await meanwhile.again(end);
  }
}

/** A client that leaves takes its request back. */
async function waitFor(hold: Hold, signal: AbortSignal): Promise<HoldEnd> {
  const leave = () => hold.withdraw('client_gone');
  if (signal.aborted) leave();
  signal.addEventListener('abort', leave, { once: true });
  try {
    return await hold.ended;
  } finally {
    signal.removeEventListener('abort', leave);
  }
}
