import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createIdentityProvider, type IdentityProvider, type TokenOptions } from './idp.js';

/**
 * An OpenID Connect provider for tests, on loopback: it signs in whoever `person` says, without asking, or shows a page
 * with a button. It is strict about what a client sends (redirect, PKCE, a code used once), and can be told to lie.
 */
export interface OidcProvider {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Also issues tokens for agents, with "sallyport" as their audience. */
  readonly idp: IdentityProvider;
  /** Who is signed in next. */
  person: TokenOptions;
  /** Where people may be sent back to; set once the gateway has its port. */
  redirect: string;
  /** What the next ID token says otherwise; undefined in a field takes it away. */
  lies: Readonly<Record<string, unknown>>;
  /** Signs in by a button on a page, as people do. */
  asks: boolean;
  readonly refused: string[];
  close(): Promise<void>;
}

interface Code {
  readonly challenge: string;
  readonly nonce: string;
  readonly redirect: string;
}

export async function startOidcProvider(): Promise<OidcProvider> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  const idp = await createIdentityProvider({ issuer });
  const codes = new Map<string, Code>();
  const provider: OidcProvider = {
    issuer,
    clientId: 'console',
    clientSecret: 'a secret of the console',
    idp,
    person: { subject: 'ada@example.com' },
    redirect: '',
    lies: {},
    asks: false,
    refused: [],
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  const authorize = (query: URLSearchParams): Answer => {
    const redirect = query.get('redirect_uri') ?? '';
    const wrong =
      (query.get('client_id') !== provider.clientId && 'client') ||
      (redirect !== provider.redirect && 'redirect') ||
      (query.get('response_type') !== 'code' && 'response type') ||
      (query.get('code_challenge_method') !== 'S256' && 'challenge');
    if (wrong !== false) return refuse(wrong);
    if (provider.asks && query.get('yes') !== '1') {
      query.set('yes', '1');
      return {
        status: 200,
        html: `<title>Provider</title><a id="yes" href="/authorize?${query.toString().replaceAll('&', '&amp;')}">Go on</a>`,
      };
    }
    const code = randomUUID();
    codes.set(code, { challenge: query.get('code_challenge') ?? '', nonce: query.get('nonce') ?? '', redirect });
    const back = new URL(redirect);
    back.searchParams.set('code', code);
    back.searchParams.set('state', query.get('state') ?? '');
    return { status: 302, location: back.href };
  };

  const token = async (headers: IncomingMessage['headers'], body: URLSearchParams): Promise<Answer> => {
    const given = codes.get(body.get('code') ?? '');
    codes.delete(body.get('code') ?? '');
    const basic = Buffer.from((headers.authorization ?? '').replace(/^Basic /u, ''), 'base64').toString('utf8');
    const [id, secret] = basic.split(':').map((part) => decodeURIComponent(part.replaceAll('+', ' ')));
    const challenge = createHash('sha256')
      .update(body.get('code_verifier') ?? '')
      .digest('base64url');
    const wrong =
      (given === undefined && 'code') ||
      ((id !== provider.clientId || secret !== provider.clientSecret) && 'client') ||
      (given?.challenge !== challenge && 'verifier') ||
      (body.get('redirect_uri') !== given?.redirect && 'redirect');
    if (wrong !== false) return refuse(wrong);
    const idToken = await idp.issueToken({
      kind: 'human',
      audience: provider.clientId,
      ...provider.person,
      claims: { nonce: given?.nonce, ...provider.lies },
    });
    return { status: 200, json: { access_token: 'opaque', token_type: 'Bearer', expires_in: 300, id_token: idToken } };
  };

  const refuse = (why: string): Answer => {
    provider.refused.push(why);
    return { status: 400, json: { error: 'invalid_request', error_description: why } };
  };

  const answer = async (request: IncomingMessage): Promise<Answer> => {
    const url = new URL(request.url ?? '/', issuer);
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return {
          status: 200,
          json: {
            issuer,
            authorization_endpoint: `${issuer}/authorize`,
            token_endpoint: `${issuer}/token`,
            jwks_uri: `${issuer}/jwks`,
            response_types_supported: ['code'],
            subject_types_supported: ['public'],
            id_token_signing_alg_values_supported: ['ES256'],
            code_challenge_methods_supported: ['S256'],
          },
        };
      case '/jwks':
        return { status: 200, json: idp.jwks };
      case '/authorize':
        return authorize(url.searchParams);
      case '/token':
        return token(request.headers, new URLSearchParams(await bodyOf(request)));
      default:
        return { status: 404, json: {} };
    }
  };
  server.on('request', (request, response) => {
    answer(request).then(
      (given) => send(response, given),
      () => send(response, { status: 500, json: {} }),
    );
  });
  return provider;
}

interface Answer {
  readonly status: number;
  readonly json?: unknown;
  readonly html?: string;
  readonly location?: string;
}

function send(response: ServerResponse, { status, json, html, location }: Answer): void {
  response.writeHead(status, {
    ...(location === undefined ? {} : { location }),
    'content-type': html === undefined ? 'application/json' : 'text/html',
  });
  response.end(html ?? (json === undefined ? '' : JSON.stringify(json)));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
