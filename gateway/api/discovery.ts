import type { LoginConfig } from '../config/index.js';
import type { OwnTokens } from '../identity/index.js';
import type { HttpGate } from './server.js';

/**
 * What others need to verify tokens of the gateway's own: the keys (RFC 7517), and the metadata that says where they are
 * (RFC 8414; OpenID Connect Discovery 1.0, for those that look there). What `sallyport login` needs stands beside. Public,
 * and nothing in it is secret.
 */
export function discoveryGate(own: OwnTokens, login: LoginConfig | undefined): HttpGate {
  return {
    name: 'discovery',
    register(app) {
      app.get('/.well-known/jwks.json', async (_request, reply) => {
        void reply.header('cache-control', 'public, max-age=60');
        return own.published();
      });
      app.get('/.well-known/sallyport', async () => ({
        issuer: own.issuer,
        ...(login === undefined ? {} : { login }),
      }));
      for (const path of ['oauth-authorization-server', 'openid-configuration']) {
        app.get(`/.well-known/${path}`, async () => ({
          issuer: own.issuer,
          jwks_uri: `${own.issuer}/.well-known/jwks.json`,
          token_endpoint: `${own.issuer}/v1/token`,
          token_endpoint_auth_methods_supported: ['none'],
          grant_types_supported: ['urn:ietf:params:oauth:grant-type:token-exchange'],
          response_types_supported: [],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: [...own.provider.algorithms],
        }));
      }
    },
  };
}
