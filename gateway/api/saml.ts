import { IdentityError } from '../errors.js';
import type { OwnTokens } from '../identity/index.js';
import { clientOf, form_bytes_max, formOf, secondsUntil, takeForms } from './forms.js';
import { needed, type ApiParts } from './parts.js';
import { recordAct } from './record.js';
import type { HttpGate } from './server.js';

/**
 * POST /v1/saml/acs: where an identity provider sends people's browsers to with an assertion (saml-bindings, 3.5), and
 * programs bring one. What they get is a token of the gateway's own, as from an exchange; no cookie is set.
 */
export function samlGate(parts: ApiParts, own: OwnTokens): HttpGate {
  return {
    name: 'saml',
    async register(app) {
      const refused = takeForms(app, parts.now);
      app.post('/v1/saml/acs', { bodyLimit: form_bytes_max }, async (request, reply) => {
        const client = clientOf(request);
        void reply.header('cache-control', 'no-store');
        if (!refused.has(client.address)) return reply.code(429).send({ error: 'too_many' });
        try {
          const identity = await needed(parts.assert, 'assertions')(responseOf(formOf(request)), client);
          const caller = { identity, roles: new Set<never>(), through: 'saml', client };
          await recordAct(parts.audit, caller, 'token_exchange', {}, {});
          const { token, expires_ms } = await own.issue({ identity });
          const expires_in = secondsUntil(expires_ms, parts.now());
          return await reply.send({ access_token: token, token_type: 'Bearer', expires_in });
        } catch (error) {
          if (!(error instanceof IdentityError)) throw error;
          refused.take(client.address);
          return reply.code(400).send({ error: error.reason, error_description: error.message });
        }
      });
    },
  };
}

/** One response and nothing beside it but the provider's RelayState, which means nothing here. */
function responseOf(form: URLSearchParams): string {
  const [response, ...more] = form.getAll('SAMLResponse');
  if (response === undefined || more.length > 0)
    throw new IdentityError('malformed', 'send one SAMLResponse, as a form');
  return response;
}
