import type { Operation, TargetInput } from '#engine';
import { readRequest, readStatement } from '../asking/index.js';
import { findDecision } from '../audit/index.js';
import { ConfigError } from '../errors.js';
import type { Foreseen } from '../pipeline/foresight.js';
import { recordedOperation } from '../replay/recorded.js';
import { maySeeDecision } from './access.js';
import type { Caller } from './caller.js';
import { needed, type ApiParts } from './parts.js';
import { notFound, Problem } from './problem.js';
import { Rates } from './rates.js';
import type { App } from './server.js';

const text = { type: 'string', minLength: 1 };
const schema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    decision: { ...text, maxLength: 64 },
    target: { ...text, maxLength: 256 },
    sql: { ...text, maxLength: 65_536 },
    request: { ...text, maxLength: 8_192 },
  },
};

interface AskBody {
  readonly decision?: string;
  readonly target?: string;
  readonly sql?: string;
  readonly request?: string;
}

/** Of one person: so many at once, and one every two seconds; of everybody, twice that. An answer takes some 30 ms of the gateway. */
const burst = 5;
const perSecond = 0.5;

/** POST /v1/ask: what policy says of an operation of the caller's own, and what would have to differ. */
export function askingRoutes(app: App, parts: ApiParts): void {
  const each = new Rates({ burst, perSecond, now: parts.now });
  const all = new Rates({ burst: 2 * burst, perSecond: 2 * perSecond, now: parts.now });

  app.post<{ Body: AskBody }>('/ask', { schema: { body: schema } }, async ({ caller, body }) => {
    const { principal } = caller.identity;
    if (!each.take(JSON.stringify([principal.issuer, principal.subject])) || !all.take('all'))
      throw new Problem(429, 'too_many', 'too many questions; ask again in a moment', { 'retry-after': '4' });
    const foresight = needed(parts.foresight, 'questions');
    const asked = await askedOf(body, caller, parts);
    return answerOf(await foresight.ask(caller, asked));
  });
}

/** An operation as it was recorded, or one that is read from its text alone. Throws Problem. */
async function askedOf(
  { decision, target: name, sql, request }: AskBody,
  caller: Caller,
  parts: ApiParts,
): Promise<{ readonly target: TargetInput; readonly operation: Operation }> {
  const given = [decision, sql, request].filter((one) => one !== undefined).length;
  if (given !== 1 || (decision === undefined) !== (name !== undefined))
    throw new Problem(400, 'invalid', 'give a decision, or a target with one of sql and request');
  if (decision !== undefined) return recorded(decision, caller, parts);
  const target = parts.foresight?.offered(caller).find(({ input }) => input.name === name)?.input;
  if (target === undefined) throw notFound('target');
  if (target.protocol !== (sql === undefined ? 'http' : 'postgres'))
    throw new Problem(400, 'invalid', `of ${target.protocol} only a recorded decision can be asked for`);
  try {
    return { target, operation: sql === undefined ? readRequest(request!) : await readStatement(sql) };
  } catch (error) {
    if (error instanceof ConfigError || error instanceof URIError) throw new Problem(400, 'invalid', error.message);
    throw error;
  }
}

async function recorded(id: string, caller: Caller, parts: ApiParts) {
  const found = await findDecision(await parts.auditFiles(), id);
  const intent = found?.records.find(({ kind }) => kind === 'intent');
  if (intent === undefined || !maySeeDecision(caller, found!.records)) throw notFound('decision');
  const operation = recordedOperation(intent, parts.foresight?.labels ?? {});
  if (operation === 'other' || operation === 'erased')
    throw new Problem(409, 'ended', 'what this decision was about is not recorded any more');
  return operation.input;
}

/** What the asker may know: codes and words of rules, and names that the policy compares with; not where its rules stand. */
function answerOf({ revision, decision, search }: Foreseen) {
  const { outcome, reasons, approvals, masks, limits } = decision;
  return {
    ...{ revision, outcome },
    reasons: reasons.map(({ code, title, message }) => ({ code, title, message })),
    approvals: approvals.map(({ code, groups, quorum, reason }) => ({ code, groups, quorum, reason })),
    masks: masks.map(({ resource, with: how }) => ({ resource, with: how })),
    limits,
    otherwise: search?.differences ?? [],
    complete: search?.complete ?? outcome === 'allow',
  };
}
