import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import { listenNear } from './ports.js';

/**
 * The company's identity provider: a real OpenID provider, with keys that live as long as the demo. The agent gets its
 * token by the client-credentials grant (RFC 6749, 4.4), as a JWT (RFC 9068).
 */
export interface DemoProvider {
  readonly issuer: string;
  /** Said where the usual port was taken. */
  readonly moved: boolean;
  /** Asks the token endpoint for a fresh token, over the network as any client would. */
  token(client: DemoClient): Promise<string>;
  close(): Promise<void>;
}

/** A client of the provider, and what its tokens say of it. */
export interface DemoClient {
  readonly id: string;
  readonly secret: string;
  readonly claims: Readonly<Record<string, unknown>>;
}

export const audience = 'sallyport';
export const token_seconds = 15 * 60;

/** The resource that tokens are asked for (RFC 8707). It must be a URI; the audience in the token is the short name. */
const resource = 'urn:sallyport';

/** What the provider would remember of its clients' logins. Tokens that verify by themselves leave nothing to remember. */
class Nothing {
  async upsert(): Promise<void> {}
  async find(): Promise<undefined> {}
  async findByUid(): Promise<undefined> {}
  async findByUserCode(): Promise<undefined> {}
  async consume(): Promise<void> {}
  async destroy(): Promise<void> {}
  async revokeByGrantId(): Promise<void> {}
}

/** The package warns, as it is loaded, of a Node older than its own first choice. Nobody who sees the demo can act on it. */
async function loadProvider() {
  const { warn } = console;
  console.warn = () => undefined;
  try {
    return (await import('oidc-provider')).default;
  } finally {
    console.warn = warn;
  }
}

export async function startProvider(clients: readonly DemoClient[], port: number): Promise<DemoProvider> {
  const algorithm = 'ES256';
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
  const key = { ...(await exportJWK(privateKey)), alg: algorithm, use: 'sig', kid: randomBytes(8).toString('hex') };

  const server = createServer();
  const moved = await listenNear(server, port);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the identity provider has no address');
  const issuer = `http://127.0.0.1:${String(address.port)}`;

  const Provider = await loadProvider();
  const provider = new Provider(issuer, {
    adapter: Nothing,
    ttl: { ClientCredentials: token_seconds },
    clients: clients.map(({ id, secret }) => ({
      client_id: id,
      client_secret: secret,
      token_endpoint_auth_method: 'client_secret_post',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: algorithm,
    })),
    jwks: { keys: [key] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: '',
          audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: token_seconds,
          jwt: { sign: { alg: algorithm } },
        }),
      },
    },
    extraTokenClaims: (_context: unknown, token: { clientId?: string }) =>
      clients.find(({ id }) => id === token.clientId)?.claims,
  });
  server.on('request', provider.callback());

  return {
    issuer,
    moved,
    async token({ id, secret }) {
      const answer = await fetch(`${issuer}/token`, {
        method: 'POST',
        body: new URLSearchParams({ grant_type: 'client_credentials', client_id: id, client_secret: secret, resource }),
      });
      const body = (await answer.json()) as { access_token?: string; error_description?: string };
      if (body.access_token === undefined) {
        throw new Error(
          `the identity provider gave no token: ${String(answer.status)} ${body.error_description ?? ''}`,
        );
      }
      return body.access_token;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((settle) => server.close(settle));
    },
  };
}
