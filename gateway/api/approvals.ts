import type { GrantTerms } from '#engine';
import type { AnswerInput, ApprovalRequest, RequestStatus } from '../approvals/approvals.js';
import { isAsked, isSame, maySeeRequest } from './access.js';
import { needed, type ApiParts } from './parts.js';
import type { Caller } from './caller.js';
import { notFound } from './problem.js';
import type { App } from './server.js';

const statuses = ['waiting', 'approved', 'refused', 'expired', 'withdrawn'] as const satisfies RequestStatus[];
const listed_max = 200;
/** Among so many of the latest, a person's own are looked for. */
const own_among_max = 1_000;
const comment_chars_max = 2_000;

const querySchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    status: { type: 'string', enum: [...statuses, 'all'] },
    mine: { type: 'string', enum: ['true', 'false'] },
  },
};

const comment = { type: 'string', maxLength: comment_chars_max };
const approveSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    comment,
    break_glass: { type: 'boolean' },
    grant: {
      type: 'object',
      additionalProperties: false,
      properties: {
        same: { type: 'string', enum: ['operation', 'fingerprint'] },
        session: { type: 'boolean' },
        uses: { type: 'integer', minimum: 1, maximum: 1_000_000 },
        for_ms: { type: 'integer', minimum: 1, maximum: 31 * 86_400_000 },
      },
    },
  },
};
const refuseSchema = { type: 'object', additionalProperties: false, properties: { comment } };

interface ApproveBody {
  readonly comment?: string;
  readonly break_glass?: boolean;
  readonly grant?: Partial<GrantTerms>;
}

export function approvalRoutes(app: App, parts: ApiParts): void {
  const approvers = () => needed(parts.approvers, 'approvals');

  const visible = async (caller: Caller, id: string): Promise<ApprovalRequest> => {
    const request = await approvers().get(id);
    if (request === undefined || !maySeeRequest(caller, request)) throw notFound('request');
    return request;
  };

  app.get<{ Querystring: { status?: RequestStatus | 'all'; mine?: 'true' | 'false' } }>(
    '/approvals',
    { schema: { querystring: querySchema } },
    async ({ caller, query }) => {
      const { principal } = caller.identity;
      const status = query.status ?? 'waiting';
      const of = status === 'all' ? {} : { status };
      const all = await approvers().list({ ...of, limit: own_among_max });
      const wanted = all.filter((request) =>
        query.mine === 'true' ? isSame(request.principal, principal) : maySeeRequest(caller, request),
      );
      return { approvals: wanted.slice(0, listed_max).map((request) => shown(request, caller)) };
    },
  );

  app.get<{ Params: { id: string } }>('/approvals/:id', async ({ caller, params }) =>
    shown(await visible(caller, params.id), caller),
  );

  const answer = async (caller: Caller, id: string, input: Omit<AnswerInput, 'through'>) => {
    await visible(caller, id);
    const answered = await approvers().answer(id, caller.identity, { ...input, through: caller.through });
    return shown(answered, caller);
  };
  app.post<{ Params: { id: string }; Body: ApproveBody | null }>(
    '/approvals/:id/approve',
    { schema: { body: approveSchema } },
    async ({ caller, params, body }) => answer(caller, params.id, { kind: 'approve', ...body }),
  );
  app.post<{ Params: { id: string }; Body: { comment?: string } | null }>(
    '/approvals/:id/refuse',
    { schema: { body: refuseSchema } },
    async ({ caller, params, body }) => answer(caller, params.id, { kind: 'refuse', ...body }),
  );
}

/** What callers are told of a request beside what it is: what they themselves can do about it. */
function shown({ effect, ...request }: ApprovalRequest, { identity, roles }: Caller) {
  const { principal } = identity;
  const own = isSame(request.principal, principal);
  const glass = request.approvals.some(({ break_glass }) =>
    break_glass?.groups.some((group) => principal.groups.includes(group)),
  );
  const answered = request.answers.some(({ by }) => isSame(by, principal));
  // What it does says what may be learnt by it, which is what the requester waits for.
  const seesEffect = !own && (roles.has('auditor') || isAsked(request, principal) || answered);
  return {
    ...request,
    ...(effect === undefined || !seesEffect ? {} : { effect }),
    yours: {
      own,
      answered,
      may_answer: request.status === 'waiting' && !own && !answered && isAsked(request, principal),
      may_break_glass: request.status === 'waiting' && own && glass,
    },
  };
}
