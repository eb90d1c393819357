import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Challenged } from './registry.js';

/** Who hands out tokens for a registry, as Docker Hub, GitHub and Harbor have it. */
export interface TokenService {
  readonly port: number;
  /** What it was asked for, in order. */
  readonly asked: { readonly scopes: readonly string[]; readonly service: string; readonly authorization?: string }[];
  /** USER:PASSWORD that it takes; undefined: it gives to everybody. */
  login: string | undefined;
  lifetime_seconds: number;
  /** In the place of a token. */
  answers: string | undefined;
  /** What the registry says to a request; undefined where its token is good for it. */
  challenge(request: Challenged): string | undefined;
  /** Where the registry sends to; by default here. */
  realm: string;
  /** No token that was given is good any longer. */
  revoke(): void;
  close(): Promise<void>;
}

const actions: Readonly<Record<string, string>> = { GET: 'pull', HEAD: 'pull', DELETE: 'delete' };

export async function startTokenService(): Promise<TokenService> {
  const given = new Map<string, readonly string[]>();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://tokens');
    const { authorization } = request.headers;
    const scopes = url.searchParams.getAll('scope');
    const said = authorization === undefined ? {} : { authorization };
    service.asked.push({ scopes, service: url.searchParams.get('service') ?? '', ...said });
    const wanted = service.login === undefined ? undefined : `Basic ${Buffer.from(service.login).toString('base64')}`;
    if (url.pathname !== '/token' || (wanted !== undefined && authorization !== wanted)) {
      return void response.writeHead(401).end('{"details":"incorrect username or password"}');
    }
    if (service.answers !== undefined) return void response.end(service.answers);
    const token = `token-${randomUUID()}`;
    given.set(token, scopes);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ token, expires_in: service.lifetime_seconds, issued_at: new Date().toISOString() }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const service: TokenService = {
    port,
    asked: [],
    login: undefined,
    lifetime_seconds: 300,
    answers: undefined,
    realm: `http://127.0.0.1:${String(port)}/token`,
    challenge: ({ authorization = '', method, repository }) => {
      const action = actions[method] ?? 'push';
      const scopes = given.get(authorization.replace(/^Bearer /, '')) ?? [];
      const good = scopes.some((one) => {
        const [, name, may = ''] = one.split(':');
        return name === repository && may.split(',').includes(action);
      });
      // A registry may say that it wanted more.
      const scope = 'registry:catalog:*';
      return good ? undefined : `Bearer realm="${service.realm}",service="registry.test",scope="${scope}"`;
    },
    revoke: () => given.clear(),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return service;
}
