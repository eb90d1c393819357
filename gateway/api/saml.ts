import { IdentityError } from '../errors.js';
import type { OwnTokens } from '../identity/index.js';
import type { Client } from '../protocol.js';
import { needed, type ApiParts } from './parts.js';
import { addressOf } from './problem.js';
import { Rates } from './rates.js';
import { recordAct } from './record.js';
import type { HttpGate } from './server.js';

/**
 * POST /v1/saml/acs: where an identity provider sends people's browsers to with an assertion (saml-bindings, 3.5), and
 * programs bring one. What they get is a token of the gateway's own, as from an exchange; no cookie is set.
 */
const body_bytes_max = 262_144;
const refused_burst = 30;
const refused_perSecond = 0.5;

export function samlGate(parts: ApiParts, own: OwnTokens): HttpGate {
  return {
    name: 'saml',
    async register(app) {
      const refused = new Rates({ burst: refused_burst, perSecond: refused_perSecond, now: parts.now });
      app.removeAllContentTypeParsers();
      app.addContentTypeParser(
        'application/x-www-form-urlencoded',
        { parseAs: 'string', bodyLimit: body_bytes_max },
        (_request, body, done) => done(null, body),
      );
      app.post('/v1/saml/acs', { bodyLimit: body_bytes_max }, async (request, reply) => {
        const { remotePort: port = 0 } = request.socket;
        const client: Client = { address: addressOf(request), port, confidential: true };
        void reply.header('cache-control', 'no-store');
        if (!refused.has(client.address)) return reply.code(429).send({ error: 'too_many' });
        try {
          const identity = await needed(parts.assert, 'assertions')(responseOf(request.body), client);
          const caller = { identity, roles: new Set<never>(), through: 'saml', client };
          await recordAct(parts.audit, caller, 'token_exchange', {}, {});
          const { token, expires_ms } = await own.issue({ identity });
          const expires_in = Math.max(0, Math.floor((expires_ms - parts.now()) / 1000));
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
function responseOf(body: unknown): string {
  const form = new URLSearchParams(typeof body === 'string' ? body : '');
  const [response, ...more] = form.getAll('SAMLResponse');
  if (response === undefined || more.length > 0)
    throw new IdentityError('malformed', 'send one SAMLResponse, as a form');
  return response;
}
