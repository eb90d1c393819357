import type { Decision, Operation } from '#engine';
import type { Circumstances, Session } from '../../../protocol.js';
import { NotAdmitted, RequestRefusal } from '../../../web/index.js';
import { found } from '../objects.js';
import type { KubernetesRequest } from '../codec.js';
import { maskedStatus } from '../masking.js';
import { refusedBy, unmasked, type Masks } from '../masks.js';
import type { Becoming } from '../operation.js';
import { becomes } from './result.js';
import { tryOut, type Send, type Tried } from './trying.js';

/**
 * A write that policy wants to judge by what it would become. It is judged twice: at `prepare`, by what it says, where it has to
 * be allowed or held as any other, and a record of it is made; then it is tried out, and judged at `execute` with what came of that.
 */
export interface TrialParts {
  readonly session: Session;
  readonly request: KubernetesRequest;
  /** As it is judged without its result. */
  readonly operation: Operation;
  readonly circumstances: Circumstances;
  readonly send: Send;
  /** The masks that hold for what it answers. Throws MaskRefusal or RequestRefusal. */
  readonly masksOf: (decision: Decision) => Masks;
}

export interface Outcome {
  readonly tried: Tried;
  readonly becoming: Becoming;
  /** What the result was masked by. */
  readonly masks: Masks;
}

/** The API server refused the trial as it would have refused the request. */
export class RefusedThere extends Error {
  constructor(
    readonly status: number,
    readonly text: string,
  ) {
    super('the API server refused it');
  }
}

/**
 * Undefined where policy does not ask for it, or denies the operation without it.
 *
 * @throws {NotAdmitted} where policy denies it as it is recorded
 * @throws {RefusedThere} for what is allowed here, and refused by the API server
 */
export async function tryIfAsked(parts: TrialParts): Promise<Outcome | undefined> {
  const { session, circumstances } = parts;
  const prepared: Operation = { ...parts.operation, stage: 'prepare' };
  if (!asks(session.decide(prepared, circumstances))) return undefined;
  const submission = await session.submit(prepared, circumstances, (decision) => ({
    refusal: refusedBy(() => parts.masksOf(decision)),
  }));
  const { decision } = submission;
  if (decision.outcome === 'deny') throw new NotAdmitted(decision);
  await submission.recorded;
  let tried: Tried | undefined;
  let masks = unmasked;
  // Of what is held nobody has asked yet: it is refused as it is judged for good.
  if (refusedBy(() => (masks = parts.masksOf(decision))) !== undefined) {
    submission.settle({ status: 'error' });
    return undefined;
  }
  try {
    tried = await tryOut(parts.request, parts.send);
  } finally {
    submission.settle({ status: tried?.known === true ? 'ok' : 'error' });
  }
  // Whoever waits for people is not told before they have answered: what the API server says tells of what is there.
  const refusal = tried.known || decision.outcome === 'hold' ? undefined : tried.refusal;
  if (refusal !== undefined) throw refusedThere(refusal, masks);
  return { tried, becoming: becomes(tried, parts.request, masks), masks };
}

const asks = ({ outcome, previews, approvals }: Decision): boolean =>
  outcome !== 'deny' && (previews !== undefined || approvals.some(({ preview }) => preview !== undefined));

/** In its own words, but where these may quote what is masked. */
function refusedThere({ status, text }: { status: number; text: string }, { fields, kinds }: Masks): RefusedThere {
  return new RefusedThere(status, found(fields === undefined ? text : maskedStatus(text), kinds));
}

/** It was approved as it would have become then. */
export const effectChanged = () =>
  new RequestRefusal(
    409,
    'effect_changed',
    'what this would become is not what was approved: the object, or what the API server makes of it, changed meanwhile. Nothing was done; ask again',
  );

/** It was judged as it would have become a moment ago. */
export const objectChanged = () =>
  new RequestRefusal(
    409,
    'object_changed',
    'the object changed while policy looked at what this would become. Nothing was done; send it again',
  );
