import { engineCodes, type Decision } from '#engine';
import type { Obligation } from '../../protocol.js';
import type { Problem } from '../../web/index.js';

/** What policy may ask of a request beside a yes or a no. */
export const obligations: ReadonlySet<Obligation> = new Set(['mask', 'approval', 'limit.bytes', 'limit.seconds']);

/** An answer that is larger, or takes longer, than policy allows. */
export function limitProblem(decision: Decision, target: string, limit: 'bytes' | 'seconds'): Problem {
  const amount = String(decision.limits[limit] ?? 0);
  const said = `the answer has more than ${amount} ${limit}`;
  return {
    status: 403,
    code: 'limit_exceeded',
    title: 'Stopped by policy',
    detail: `stopped by policy: ${said}`,
    fields: { 'x-sallyport-decision': decision.id },
    more: {
      decision: decision.id,
      outcome: 'deny',
      revision: decision.revision,
      target,
      reasons: [{ code: 'limit_exceeded', title: engineCodes.limit_exceeded, message: said }],
      next: 'Ask for less, or ask the owners of the policy with the decision id.',
      explain: `sallyport explain ${decision.id}`,
    },
  };
}
