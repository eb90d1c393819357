import type { Decision, Operation } from '#engine';
import { noKinds, type Kinds } from '../../content/index.js';
import type { Circumstances, Enforced, Prompt, Result, Session } from '../../protocol.js';
import { denial, failure, notApproved, stopped, waiting } from './enforce.js';
import type { Limits } from './limits.js';
import type { SshOperation } from './schema.js';
import { contentOf, MaskRefusal, namedIn, withhold } from './masking.js';

/** An operation that may go on, or the words for why it may not. */
export interface Permitted {
  readonly allowed: true;
  readonly settle: (result: Result) => void;
  /** The decision's id. */
  readonly decision: string;
  readonly limits: Limits;
  /** What is masked in what comes back. */
  readonly kinds: Kinds;
  /** That a copy is kept of what is transferred, and what is masked in what goes to the host there; undefined: none is. */
  readonly keep: { readonly kinds: Kinds } | undefined;
  /** The words for the client whose operation was stopped at a limit. */
  readonly stopped: (what: string) => string;
}
export type Permit = Permitted | { readonly allowed: false; readonly said: string };

export interface Asking {
  /** Tells the client that people are asked. */
  readonly wait: (said: string) => void;
  readonly prompt?: Prompt | undefined;
  /** What of the policy's data it was understood by. */
  readonly understoodBy?: Circumstances['understoodBy'];
  /** The client no longer waits for it. */
  readonly gone: AbortSignal;
}

/** An approved operation is judged anew, and so is one that waits when policy changes; but not without end. */
const rounds_max = 16;

/** Submits an operation and waits for its record and, where policy says so, for people. Never throws. */
export async function permit(session: Session, operation: Operation, asking: Asking): Promise<Permit> {
  const { wait, gone, prompt, understoodBy } = asking;
  const target = session.target.input.name;
  const because = (operation['ssh'] as { because?: readonly string[] }).because;
  try {
    for (let round = 0; round < rounds_max; round++) {
      let kinds = noKinds;
      let keep: Permitted['keep'];
      const circumstances = {
        withhold,
        ...(prompt === undefined ? {} : { prompt }),
        ...(understoodBy === undefined ? {} : { understoodBy }),
      };
      const submission = await session.submit(operation, circumstances, (judged) =>
        enforced(() => {
          kinds = contentOf(judged, operation);
          keep = keepOf(judged, operation);
        }),
      );
      const { decision, hold } = submission;
      if (decision.outcome === 'allow') {
        await submission.recorded;
        if (gone.aborted) {
          submission.settle({ status: 'cancelled' });
          return { allowed: false, said: '' };
        }
        return {
          allowed: true,
          settle: (result) => submission.settle(result),
          decision: decision.id,
          limits: decision.limits,
          kinds,
          keep,
          stopped: (what) => stopped(decision, target, what),
        };
      }
      if (hold === undefined) return { allowed: false, said: denial(decision, target, because) };
      const leave = () => hold.withdraw('client_gone');
      gone.addEventListener('abort', leave, { once: true });
      if (gone.aborted) leave();
      else wait(waiting(decision, hold));
      const end = await hold.ended;
      gone.removeEventListener('abort', leave);
      if (end.how !== 'approved' && end.how !== 'superseded') return { allowed: false, said: notApproved(end) };
    }
    return { allowed: false, said: failure(undefined) };
  } catch (error) {
    return { allowed: false, said: failure(error) };
  }
}

/** What policy asks for and cannot be done. */
class KeepRefusal extends Error {}

/** @throws KeepRefusal for what nobody keeps. */
function keepOf(decision: Decision, operation: Operation): Permitted['keep'] {
  if (decision.keeps === undefined) return undefined;
  const { request } = operation['ssh'] as SshOperation;
  if (request === 'forward' || request === 'ssh_agent')
    throw new KeepRefusal(
      `policy asks for a copy (${decision.keeps.map(({ code }) => code).join(', ')}), and what goes through a forwarding is not kept`,
    );
  return { kinds: namedIn(decision, operation) };
}

/** What does not fit is a refusal. */
function enforced(apply: () => void): Enforced {
  try {
    apply();
    return {};
  } catch (error) {
    if (error instanceof KeepRefusal) return { refusal: { code: 'obligation_unsupported', message: error.message } };
    if (!(error instanceof MaskRefusal)) throw error;
    return { refusal: { code: 'mask_unenforceable', message: error.message } };
  }
}
