import type { KillQuery } from '../sessions.js';
import { isSame } from './access.js';
import { needed, type ApiParts } from './parts.js';
import { demand } from './caller.js';
import { recordAct } from './record.js';
import type { App } from './server.js';

const name = { type: 'string', minLength: 1, maxLength: 256 };
const killSchema = {
  type: 'object',
  additionalProperties: false,
  properties: { session: name, subject: name, issuer: name, purpose: name, prompt: name, target: name, why: name },
  anyOf: ['session', 'subject', 'purpose', 'prompt', 'target'].map((key) => ({ required: [key] })),
};

export function sessionRoutes(app: App, parts: ApiParts): void {
  const sessions = () => needed(parts.sessions, 'sessions');

  app.get('/sessions', async ({ caller }) => {
    const all = await sessions().list();
    const seen = caller.roles.has('auditor')
      ? all
      : all.filter(({ principal }) => isSame(principal, caller.identity.principal));
    return { sessions: seen };
  });

  app.post<{ Body: KillQuery & { why?: string } }>(
    '/sessions/kill',
    { schema: { body: killSchema } },
    async ({ caller, body }) => {
      demand(caller, 'administrator');
      const { why, ...query } = body;
      await recordAct(
        parts.audit,
        caller,
        'session_kill',
        { ...(query.session === undefined ? {} : { session_id: query.session }) },
        { query, ...(why === undefined ? {} : { why }) },
      );
      return sessions().kill(query, caller.identity, why);
    },
  );
}
