import type { Tickets } from '../identity/index.js';
import { demandWhole } from './caller.js';
import { needed, type ApiParts } from './parts.js';
import { notFound, Problem } from './problem.js';
import { recordAct } from './record.js';
import type { App } from './server.js';

const name = { type: 'string', minLength: 1, maxLength: 256 };
const issueSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['target'],
  properties: { target: name, purpose: name, lifetime_s: { type: 'integer', minimum: 1, maximum: 86_400 } },
};

interface IssueBody {
  readonly target: string;
  readonly purpose?: string;
  readonly lifetime_s?: number;
}

/** Tickets for whoever has a token: POST, GET and DELETE /v1/tickets. */
export function ticketRoutes(app: App, parts: ApiParts): void {
  const tickets = (): Tickets => needed(parts.tickets, 'tickets');

  app.post<{ Body: IssueBody }>('/tickets', { schema: { body: issueSchema } }, async ({ caller, body }, reply) => {
    demandWhole(caller);
    const { target, purpose, lifetime_s } = body;
    const { identity } = caller;
    if (!tickets().isTarget(target)) throw new Problem(400, 'no_target', `there is no target "${target}"`);
    checkPurpose(identity.principal.purpose, purpose);
    await recordAct(parts.audit, caller, 'ticket_issue', { target }, purpose === undefined ? {} : { purpose });
    const lifetime_ms = lifetime_s === undefined ? undefined : lifetime_s * 1000;
    const { expires_ms, ...issued } = await tickets().issue({ identity, target, purpose, lifetime_ms });
    return reply.code(201).send({ ...issued, expires: new Date(expires_ms).toISOString() });
  });

  app.get('/tickets', async ({ caller }) => ({ tickets: await tickets().list(caller.identity) }));

  app.delete<{ Params: { id: string } }>('/tickets/:id', async ({ caller, params }, reply) => {
    const administrator = caller.roles.has('administrator');
    await recordAct(parts.audit, caller, 'ticket_revoke', { ticket: params.id });
    if (!(await tickets().remove(params.id, administrator ? undefined : caller.identity))) throw notFound('ticket');
    // Whoever signed in with it goes, on every gateway.
    await needed(parts.revocations, 'revocations').revoke({ jti: params.id }, caller.identity);
    return reply.code(204).send();
  });
}

/** What an issuer vouches for stands: another purpose needs another token of its. */
export function checkPurpose(vouched: string | undefined, asked: string | undefined): void {
  if (vouched === undefined || asked === undefined || vouched === asked) return;
  throw new Problem(403, 'other_purpose', 'the token is for another purpose: ask its issuer for one that is for this');
}
