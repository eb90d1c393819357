import type { RevokeQuery } from '../live/index.js';
import { demand } from './caller.js';
import { needed, type ApiParts } from './parts.js';
import { Problem } from './problem.js';
import { recordAct } from './record.js';
import type { App } from './server.js';

const name = { type: 'string', minLength: 1, maxLength: 256 };
const revokeSchema = {
  type: 'object',
  additionalProperties: false,
  properties: { jti: name, subject: name, issuer: name, issued_before: { type: 'string', maxLength: 40 }, why: name },
  oneOf: [{ required: ['jti'] }, { required: ['subject'] }],
};

interface RevokeBody {
  readonly jti?: string;
  readonly subject?: string;
  readonly issuer?: string;
  /** RFC 3339; of a subject. */
  readonly issued_before?: string;
  readonly why?: string;
}

export function tokenRoutes(app: App, parts: ApiParts): void {
  app.post<{ Body: RevokeBody }>('/tokens/revoke', { schema: { body: revokeSchema } }, async ({ caller, body }) => {
    demand(caller, 'administrator');
    const { issued_before, why, ...named } = body;
    const issuedBefore_ms = issued_before === undefined ? undefined : Date.parse(issued_before);
    if (Number.isNaN(issuedBefore_ms) || (issuedBefore_ms !== undefined && body.subject === undefined)) {
      throw new Problem(400, 'invalid', 'issued_before is a time (RFC 3339), and goes with a subject');
    }
    const query: RevokeQuery = { ...named, ...(issuedBefore_ms === undefined ? {} : { issuedBefore_ms }) };
    await recordAct(parts.audit, caller, 'token_revoke', {}, { query, ...(why === undefined ? {} : { why }) });
    const { kept, expires_ms } = await needed(parts.revocations, 'revocations').revoke(query, caller.identity);
    return { kept, expires: new Date(expires_ms).toISOString() };
  });
}
