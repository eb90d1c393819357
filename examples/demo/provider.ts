import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import type OidcProvider from 'oidc-provider';
import { createMemory } from './memory.js';
import { listenNear } from './ports.js';
import { createSignInPage, signInPath, type DemoPerson } from './sign-in-page.js';

/**
 * The company's identity provider: a real OpenID provider, with keys that live as long as the demo. The agent gets its
 * token by the client-credentials grant (RFC 6749, 4.4), as a JWT (RFC 9068); people sign in to the console with a password.
 */
export interface DemoProvider {
  readonly issuer: string;
  /** Said where the usual port was taken. */
  readonly moved: boolean;
  /** Asks the token endpoint for a fresh token, over the network as any client would. */
  token(client: DemoClient): Promise<string>;
  /** Makes the console of the gateway at this address one of its clients. */
  admitConsole(origin: string): Promise<void>;
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

/** What the console is to the provider. */
export const consoleClient = { id: 'sallyport-console', secret: randomBytes(16).toString('hex') };

const algorithm = 'ES256';
/** A sign-in at the console holds for so long. */
const session_seconds = 60 * 60;

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

export async function startProvider(
  clients: readonly DemoClient[],
  people: readonly DemoPerson[],
  port: number,
): Promise<DemoProvider> {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
  const key = { ...(await exportJWK(privateKey)), alg: algorithm, use: 'sig', kid: randomBytes(8).toString('hex') };

  const server = createServer();
  const moved = await listenNear(server, port);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the identity provider has no address');
  const issuer = `http://127.0.0.1:${String(address.port)}`;

  const Provider = await loadProvider();
  const memory = createMemory();
  const provider: OidcProvider = new Provider(issuer, {
    adapter: memory,
    ttl: {
      ClientCredentials: token_seconds,
      AccessToken: session_seconds,
      Grant: session_seconds,
      IdToken: session_seconds,
      Interaction: session_seconds,
      Session: session_seconds,
    },
    ...signingIn(people, () => provider),
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
        // What the console gets is for the console: people's tokens open nothing else.
        defaultResource: (_context: unknown, { clientId }: { clientId: string }) =>
          clientId === consoleClient.id ? undefined : resource,
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
  const signInPage = createSignInPage(provider, people);
  const others = provider.callback();
  server.on('request', (request, response) => {
    if (request.url?.startsWith(signInPath) !== true) return others(request, response);
    signInPage(request, response).catch(() => response.destroy());
  });

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
    async admitConsole(origin) {
      await memory('Client').upsert(consoleClient.id, {
        client_id: consoleClient.id,
        client_secret: consoleClient.secret,
        redirect_uris: [`${origin}/console/callback`],
        post_logout_redirect_uris: [`${origin}/console/`],
        grant_types: ['authorization_code'],
        response_types: ['code'],
        id_token_signed_response_alg: algorithm,
      });
    },
    async close() {
      server.closeAllConnections();
      await new Promise((settle) => server.close(settle));
    },
  };
}

/** The part of the provider's configuration that is about people. */
function signingIn(people: readonly DemoPerson[], provider: () => OidcProvider) {
  return {
    interactions: { url: (_context: unknown, { uid }: { uid: string }) => `${signInPath}${uid}` },
    findAccount: (_context: unknown, id: string) => {
      const person = people.find((one) => one.id === id);
      return person && { accountId: id, claims: async () => ({ sub: id, ...person.claims }) };
    },
    claims: { openid: ['sub', 'kind', 'groups', 'roles'] },
    // The ID token is all that the console looks at.
    conformIdTokenClaims: false,
    /** Nobody is asked whether the console may know who they are: it belongs to the same shop. */
    loadExistingGrant: async ({ oidc }: SignInContext) => {
      const grant = new (provider().Grant)({ accountId: oidc.session?.accountId, clientId: oidc.client?.clientId });
      grant.addOIDCScope('openid');
      await grant.save();
      return grant;
    },
  };
}

interface SignInContext {
  readonly oidc: {
    readonly session?: { readonly accountId?: string };
    readonly client?: { readonly clientId: string };
  };
}
