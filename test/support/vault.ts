import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A stand-in for Vault: as much of its HTTP API as the gateway asks, in the shapes that the API has
 * (https://developer.hashicorp.com/vault/api-docs). Times are in seconds, as there.
 */
export interface TestVault {
  readonly address: string;
  /** A token that is taken, without an end. */
  readonly rootToken: string;
  /** What was asked: "GET database/creds/shop". */
  readonly asked: string[];
  /** By path ("secret/data/orders"): what stands there, in the shape of its engine. Removed: 404. */
  readonly kv: Map<string, Readonly<Record<string, unknown>>>;
  /** By path ("database/creds/shop"): makes credentials. */
  readonly roles: Map<string, () => Promise<DynamicRole> | DynamicRole>;
  /** Roles or role ids that may sign in: what is checked of them, and how long their tokens live. */
  readonly logins: Map<string, Login>;
  /** Answers every question with this status in the place of an answer; undefined: as usual. */
  fails(status: number | undefined): void;
  /** No lease and no token can be prolonged any more. */
  readonly final: { leases: boolean; tokens: boolean };
  /** Of tokens that were given at sign-ins. */
  revokeTokens(): void;
  close(): Promise<void>;
}

interface DynamicRole {
  readonly username: string;
  readonly password: string;
  readonly lease_duration: number;
  readonly renewable?: boolean;
}

interface Login {
  /** "jwt" or "secret_id" in the body has to be this. */
  readonly secret: string;
  readonly lease_duration: number;
}

export async function startVault(): Promise<TestVault> {
  const rootToken = `hvs.${randomUUID()}`;
  const tokens = new Map<string, number>([[rootToken, 0]]);
  const leases = new Map<string, number>();
  const asked: string[] = [];
  const kv: TestVault['kv'] = new Map();
  const roles: TestVault['roles'] = new Map();
  const logins: TestVault['logins'] = new Map();
  const final = { leases: false, tokens: false };
  let failing: number | undefined;

  const authOf = (client_token: string, lease_duration: number) => ({
    ...{ client_token, accessor: randomUUID(), policies: ['default'], token_policies: ['default'], metadata: {} },
    ...{ lease_duration, renewable: true, entity_id: '', token_type: 'service', orphan: true },
  });
  const envelope = (more: Readonly<Record<string, unknown>>) => ({
    ...{ request_id: randomUUID(), lease_id: '', renewable: false, lease_duration: 0 },
    ...{ data: null, wrap_info: null, warnings: null, auth: null },
    ...more,
  });
  const answer = async (method: string, path: string, token: string, body: Record<string, unknown>) => {
    if (failing !== undefined) return { status: failing, body: { errors: ['Vault is sealed'] } };
    const denied = { status: 403, body: { errors: ['permission denied'] } };
    if (method === 'POST' && /^auth\/[^/]+\/login$/u.test(path)) {
      const login = logins.get(String(body['role'] ?? body['role_id']));
      if (login === undefined || login.secret !== (body['jwt'] ?? body['secret_id']))
        return { status: 400, body: { errors: [`invalid secret ${String(body['jwt'] ?? body['secret_id'])}`] } };
      const client_token = `hvs.${randomUUID()}`;
      tokens.set(client_token, login.lease_duration);
      return { status: 200, body: envelope({ auth: authOf(client_token, login.lease_duration) }) };
    }
    const life = tokens.get(token);
    if (life === undefined) return denied;
    if (path === 'auth/token/lookup-self')
      return {
        status: 200,
        body: envelope({ data: { id: token, ttl: life, renewable: life > 0, path: 'auth/token' } }),
      };
    if (method === 'POST' && path === 'auth/token/renew-self')
      return final.tokens
        ? { status: 200, body: envelope({ auth: authOf(token, life / 10) }) }
        : { status: 200, body: envelope({ auth: authOf(token, life) }) };
    if (method === 'POST' && path === 'sys/leases/renew') {
      const duration = leases.get(String(body['lease_id']));
      if (duration === undefined || final.leases) return { status: 400, body: { errors: ['lease not found'] } };
      return {
        status: 200,
        body: envelope({ lease_id: body['lease_id'], renewable: true, lease_duration: duration }),
      };
    }
    const secret = kv.get(path);
    if (secret !== undefined) return { status: 200, body: envelope({ data: secret, lease_duration: 2_764_800 }) };
    const role = await roles.get(path)?.();
    if (role === undefined) return { status: 404, body: { errors: [] } };
    const { username, password, lease_duration, renewable = true } = role;
    const lease_id = `${path}/${randomUUID()}`;
    leases.set(lease_id, lease_duration);
    return { status: 200, body: envelope({ lease_id, lease_duration, renewable, data: { username, password } }) };
  };
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString('utf8');
    const path = (request.url ?? '').replace(/^\/v1\//u, '');
    asked.push(`${request.method ?? ''} ${path}`);
    const token = String(request.headers['x-vault-token'] ?? '');
    const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
    const found = await answer(request.method ?? '', path, token, body);
    response.writeHead(found.status, { 'content-type': 'application/json' }).end(JSON.stringify(found.body));
  };
  const server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ rootToken, asked, kv, roles, logins, final },
    fails: (status) => (failing = status),
    revokeTokens() {
      for (const token of tokens.keys()) if (token !== rootToken) tokens.delete(token);
    },
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
