import { IdentityError, ProtocolError } from '../errors.js';
import { demandWhole } from './caller.js';
import { needed, type ApiParts } from './parts.js';
import { Problem } from './problem.js';
import { recordAct } from './record.js';
import type { App } from './server.js';
import { checkPurpose } from './tickets.js';

const name = { type: 'string', minLength: 1, maxLength: 256 };
const issueSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['target', 'public_key'],
  properties: {
    target: name,
    public_key: { type: 'string', minLength: 1, maxLength: 1_024 },
    purpose: name,
    lifetime_s: { type: 'integer', minimum: 1, maximum: 86_400 },
    source_addresses: {
      type: 'array',
      minItems: 1,
      maxItems: 16,
      items: { type: 'string', pattern: '^[0-9A-Fa-f.:]{2,45}(/[0-9]{1,3})?$' },
    },
  },
};

interface IssueBody {
  readonly target: string;
  readonly public_key: string;
  readonly purpose?: string;
  readonly lifetime_s?: number;
  readonly source_addresses?: readonly string[];
}

/** POST /v1/ssh-certificates: an OpenSSH user certificate for a key of whoever has a token, at one target. */
export function certificateRoutes(app: App, parts: ApiParts): void {
  app.post<{ Body: IssueBody }>(
    '/ssh-certificates',
    { schema: { body: issueSchema } },
    async ({ caller, body }, reply) => {
      demandWhole(caller);
      const { target, public_key: publicKey, purpose, lifetime_s, source_addresses: sources } = body;
      const { identity } = caller;
      if (parts.reachable?.(target)?.protocol !== 'ssh')
        throw new Problem(400, 'no_target', `there is no SSH target "${target}"`);
      checkPurpose(identity.principal.purpose, purpose);
      await recordAct(
        parts.audit,
        caller,
        'ssh_certificate_issue',
        { target },
        purpose === undefined ? {} : { purpose },
      );
      const lifetime_ms = lifetime_s === undefined ? undefined : lifetime_s * 1000;
      const certificates = needed(parts.certificates, 'certificates');
      try {
        const issued = await certificates.issue({ identity, target, publicKey, purpose, lifetime_ms, sources });
        const { expires_ms, ...rest } = issued;
        return await reply.code(201).send({ ...rest, expires: new Date(expires_ms).toISOString() });
      } catch (error) {
        if (error instanceof ProtocolError) throw new Problem(400, 'public_key', error.message);
        if (error instanceof IdentityError && error.reason === 'address')
          throw new Problem(400, 'source_addresses', error.message);
        throw error;
      }
    },
  );
}
