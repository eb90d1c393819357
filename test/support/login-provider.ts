import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createIdentityProvider, type IdentityProvider, type TokenOptions } from './idp.js';

/**
 * An OpenID provider for public clients, over real HTTP: code with PKCE, device flow, refresh tokens that are good once,
 * revocation. It is strict about what a client sends, and can be told what to answer, or to lie.
 */
export interface LoginProvider {
  readonly issuer: string;
  readonly clientId: string;
  readonly idp: IdentityProvider;
  person: TokenOptions;
  /** What a device is answered, in this order; with nothing left: the tokens. */
  readonly device: ('authorization_pending' | 'slow_down' | 'access_denied' | 'expired_token')[];
  device_expires_s: number;
  /** What comes back to the client's redirect in place of the truth; undefined in a field takes it away. */
  lies: Readonly<Record<string, string | undefined>>;
  /** Whether a code is taken back. */
  takesCodes: boolean;
  opaque: boolean;
  readonly revoked: string[];
  /** Grants that were asked for, with what came along. */
  readonly asked: URLSearchParams[];
  close(): Promise<void>;
}

type Answer = { readonly status: number; readonly json?: unknown; readonly location?: string };

export async function startLoginProvider(): Promise<LoginProvider> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  const idp = await createIdentityProvider({ issuer });
  const codes = new Map<string, { challenge: string; redirect: string; nonce: string }>();
  const refreshes = new Set<string>();
  const devices = new Set<string>();
  const provider: LoginProvider = {
    issuer,
    clientId: 'sallyport-cli',
    idp,
    person: { subject: 'ada@example.com', kind: 'human' },
    device: [],
    device_expires_s: 600,
    lies: {},
    takesCodes: true,
    opaque: false,
    revoked: [],
    asked: [],
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const refuse = (error: string, status = 400): Answer => ({ status, json: { error } });
  const tokens = async (nonce?: string): Promise<Answer> => {
    const refresh = randomUUID();
    refreshes.add(refresh);
    const accessToken = provider.opaque ? 'opaque' : await idp.issueToken(provider.person);
    const idToken = await idp.issueToken({ ...provider.person, audience: provider.clientId, claims: { nonce } });
    const json = { token_type: 'Bearer', expires_in: 300, access_token: accessToken, id_token: idToken };
    return { status: 200, json: { ...json, refresh_token: refresh } };
  };
  const authorize = (query: URLSearchParams): Answer => {
    const redirect = new URL(query.get('redirect_uri') ?? '');
    const strict =
      query.get('client_id') === provider.clientId &&
      query.get('code_challenge_method') === 'S256' &&
      redirect.hostname === '127.0.0.1';
    if (!strict) return refuse('invalid_request');
    const code = randomUUID();
    const challenge = query.get('code_challenge') ?? '';
    codes.set(code, { challenge, redirect: redirect.href, nonce: query.get('nonce') ?? '' });
    const said = { code, state: query.get('state') ?? '', iss: issuer, ...provider.lies };
    for (const [name, value] of Object.entries(said)) if (value !== undefined) redirect.searchParams.set(name, value);
    return { status: 302, location: redirect.href };
  };
  const grant = (form: URLSearchParams): Promise<Answer> | Answer => {
    provider.asked.push(form);
    if (form.get('client_id') !== provider.clientId) return refuse('invalid_client', 401);
    switch (form.get('grant_type')) {
      case 'authorization_code': {
        const given = codes.get(form.get('code') ?? '');
        codes.delete(form.get('code') ?? '');
        const challenge = createHash('sha256')
          .update(form.get('code_verifier') ?? '')
          .digest('base64url');
        const good = given?.challenge === challenge && given.redirect === form.get('redirect_uri');
        return good && provider.takesCodes ? tokens(given.nonce) : refuse('invalid_grant');
      }
      case 'refresh_token':
        return refreshes.delete(form.get('refresh_token') ?? '') ? tokens() : refuse('invalid_grant');
      case 'urn:ietf:params:oauth:grant-type:device_code': {
        if (!devices.has(form.get('device_code') ?? '')) return refuse('invalid_grant');
        const next = provider.device.shift();
        return next === undefined ? tokens() : refuse(next);
      }
      default:
        return refuse('unsupported_grant_type');
    }
  };
  const begin = (): Answer => {
    const device = randomUUID();
    devices.add(device);
    const json = { device_code: device, user_code: 'WDJB-MJHT', verification_uri: `${issuer}/device`, interval: 5 };
    return { status: 200, json: { ...json, expires_in: provider.device_expires_s } };
  };
  const metadata = {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    device_authorization_endpoint: `${issuer}/device_authorization`,
    revocation_endpoint: `${issuer}/revoke`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
  };
  const answer = async (request: IncomingMessage): Promise<Answer> => {
    const url = new URL(request.url ?? '/', issuer);
    const form = async () => new URLSearchParams(await bodyOf(request));
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return { status: 200, json: metadata };
      case '/jwks':
        return { status: 200, json: idp.jwks };
      case '/authorize':
        return authorize(url.searchParams);
      case '/device_authorization':
        return begin();
      case '/token':
        return grant(await form());
      case '/revoke': {
        const token = (await form()).get('token') ?? '';
        provider.revoked.push(token);
        refreshes.delete(token);
        return { status: 200 };
      }
      default:
        return { status: 404, json: {} };
    }
  };
  server.on('request', (request, response) => {
    const send = ({ status, json, location }: Answer) => {
      response.writeHead(status, {
        'content-type': 'application/json',
        ...(location === undefined ? {} : { location }),
      });
      response.end(json === undefined ? '' : JSON.stringify(json));
    };
    answer(request).then(send, () => send({ status: 500, json: {} }));
  });
  return provider;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
