import { engineCodes, type Decision } from '#engine';
import { GatewayError, UpstreamError } from '../../errors.js';
import type { Hold, Obligation } from '../../protocol.js';
import { denialOf, fail, NotAdmitted, type Problem } from '../../web/index.js';
import { errorText, MessageRefusal, resultText, rpc, type ClientRequest } from './codec.js';
import type { JsonObject } from './methods.js';

/**
 * Refusals as MCP says them. Of a tool's call they are results that say isError, for the model to read and act on; of all else
 * they are errors of JSON-RPC.
 */
export const obligations: ReadonlySet<Obligation> = new Set(['mask', 'approval', 'limit.bytes', 'limit.seconds']);

/** People have not answered yet, and the client cannot wait longer: it comes back with the same call. */
export class ComeBack extends GatewayError {
  readonly code = 'approval';
  constructor(
    readonly decision: Decision,
    readonly hold: Hold,
  ) {
    super('the operation waits for an approval');
  }
}

/** The answer went beyond what policy lets it take. */
export class LimitExceeded extends GatewayError {
  readonly code = 'protocol';
  constructor(
    readonly decision: Decision,
    readonly limit: 'bytes' | 'seconds',
  ) {
    super(`the answer has more than ${decision.limits[limit] ?? 0} ${limit}`);
  }
}

/** Whatever kept a request from being answered, as the message that answers it. */
export function refusalText(
  error: unknown,
  request: Pick<ClientRequest, 'id' | 'method'>,
  target: string,
  structured: boolean,
): string {
  const problem = problemOf(error, target);
  const code = error instanceof MessageRefusal ? error.rpc : problem.status >= 500 ? rpc.internal : rpc.denied;
  const { status: _, detail, fields: __, title: ___, more = {}, ...rest } = problem;
  const data: JsonObject = { ...rest, ...more, message: detail };
  if (request.method !== 'tools/call' || error instanceof MessageRefusal)
    return errorText(request.id, code, `sallyport: ${detail}`, data);
  return resultText(request.id, {
    isError: true,
    content: [{ type: 'text', text: inWords(detail, data) }],
    // Clients check it against the tool's own schema where it has one.
    ...(structured ? { structuredContent: { sallyport: data } } : {}),
    _meta: { 'sallyport/refusal': data },
  });
}

/** For a model: what happened, what follows, and where to look it up. */
function inWords(detail: string, { next, explain, decision }: JsonObject): string {
  const lines = [`sallyport: ${detail}. The tool was not run to an answer that you may have.`];
  if (typeof next === 'string') lines.push(next);
  if (typeof decision === 'string')
    lines.push(`Decision ${decision}${typeof explain === 'string' ? ` (${explain})` : ''}.`);
  return lines.join('\n');
}

export function problemOf(error: unknown, target: string): Problem {
  if (error instanceof ComeBack) return waitingProblem(error, target);
  if (error instanceof NotAdmitted) return denialOf(error.decision, target, error.asked);
  if (error instanceof LimitExceeded) {
    const { decision, limit, message } = error;
    return {
      status: 403,
      code: 'limit_exceeded',
      title: 'Stopped by policy',
      detail: `stopped by policy: ${message}`,
      more: {
        decision: decision.id,
        outcome: 'deny',
        revision: decision.revision,
        target,
        reasons: [{ code: 'limit_exceeded', title: engineCodes.limit_exceeded, message }],
        next: `Ask for what takes fewer ${limit}, or ask the owners of the policy with the decision id.`,
        explain: `sallyport explain ${decision.id}`,
      },
    };
  }
  if (error instanceof UpstreamError)
    return { status: 502, code: 'upstream', title: 'Upstream failed', detail: error.message };
  return fail(error, target);
}

function waitingProblem({ decision, hold }: ComeBack, target: string): Problem {
  const { id, link, expires_ms } = hold;
  const groups = [...new Set(decision.approvals.flatMap((approval) => approval.groups))];
  const until = new Date(expires_ms).toISOString();
  return {
    status: 403,
    code: 'approval_pending',
    title: 'Waiting for an approval',
    detail: `waiting for an approval: request ${id} may be answered by ${groups.join(', ')} until ${until}`,
    more: {
      decision: decision.id,
      outcome: 'hold',
      revision: decision.revision,
      target,
      reasons: decision.approvals.map(({ code, reason }) => ({ code, message: reason ?? code })),
      hold: { id, expires: until, groups, ...(link === undefined ? {} : { link }) },
      next: 'Nothing was sent to the target. Make the same call with the same arguments again, in this session, to go on waiting; once it is approved, that call is let through.',
      explain: `sallyport explain ${decision.id}`,
    },
  };
}
