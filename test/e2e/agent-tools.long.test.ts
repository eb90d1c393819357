import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import type { CallToolResult, Progress } from '@modelcontextprotocol/sdk/types.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import type { TokenOptions } from '../support/idp.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';
import { answerAs, startWebUpstream, waitingRequest, type WebUpstream } from '../support/web.js';

/** `sallyport mcp`, whole: the SDK's own client over stdio, a real gateway, and behind it Postgres, a host and an API. */

const policy = {
  'all.rego': `package policy.all

# What is nobody's but the other's.
deny contains {"code": "not_for_guests"} if "guests" in input.principal.groups
`,
  'postgres.rego': `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

deny contains {"code": "no_secrets", "message": "app.secrets is not for agents"} if {
	some resource in input.operation.resources
	resource.name == "app.secrets"
	not "keepers" in input.principal.groups
}

mask contains {"code": "mail", "resource": "app.people.email", "with": "redact"} if input.version == 1

approval contains {"code": "deletes_wait", "groups": ["operators"]} if input.operation.action == "delete"
`,
  'ssh.rego': `package policy.ssh

allow contains {"code": "plain"} if not input.operation.opaque
`,
  'http.rego': `package policy.http

allow contains {"code": "offered"} if input.operation.action == "connect"

allow contains {"code": "machines"} if input.operation.http.segments[0] == "machines"
`,
};

const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const main = fileURLToPath(new URL('../../bin/sallyport.js', import.meta.url));

let folder: string;
let database: TestDatabase;
let state: TestDatabase;
let host: SshHost;
let web: WebUpstream;
let gateway: TestGateway;
const clients: Client[] = [];
let ada: Client;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-tools-')));
  await writeFile(join(folder, 'notes'), 'plain words\n');
  database = await createDatabase({
    sql: `create schema app;
      create table app.people (id int, email text, born date);
      insert into app.people select n, 'ada' || n || '@example.com', '1815-12-10' from generate_series(1, 150) n;
      create table app.secrets (value text); insert into app.secrets values ('canary');
      create table app.kept (n int); insert into app.kept select generate_series(1, 5);`,
  });
  [state, host, web] = await Promise.all([createDatabase(), startSshHost(folder), startWebUpstream()]);
  const { database: name, user, password, port } = database;
  gateway = await startTestGateway({
    policy,
    database,
    config: {
      listen: { postgres: '127.0.0.1:0', ssh: '127.0.0.1:0', https: '127.0.0.1:0' },
      targets: [
        {
          ...{ name: 'orders', protocol: 'postgres' },
          upstream: { host: database.host, port, database: name, user, password, tls: 'disable' },
        },
        {
          ...{ name: 'build', protocol: 'ssh' },
          upstream: { host: host.host, port: host.port, user: host.user, password: host.password, host_key: host.fingerprint }, // prettier-ignore
        },
        { name: 'cloud', protocol: 'http', upstream: { url: `http://127.0.0.1:${String(web.port)}` } },
        { name: 'closed', protocol: 'kubernetes', upstream: { kubeconfig: kubeconfig } },
      ],
      state: { directory: './.sallyport', postgres: state.url },
    },
  });
  ada = await agent({ subject: 'agent:ada', groups: ['agents'] });
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await gateway?.close();
  await host?.close();
  await web?.close();
  await Promise.all([database?.drop(), state?.drop()]);
  await rm(folder, { recursive: true, force: true });
});

const kubeconfig = JSON.stringify({
  ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'it' },
  clusters: [{ name: 'it', cluster: { server: 'http://127.0.0.1:1' } }],
  contexts: [{ name: 'it', context: { cluster: 'it', user: 'it' } }],
  users: [{ name: 'it', user: { token: 'x' } }],
});

async function agent(token: TokenOptions = {}, args: readonly string[] = []): Promise<Client> {
  const port = gateway.gateway.listeners.find(({ protocol }) => protocol === 'https')!.address.port;
  const client = new Client({ name: 'tests', version: '1.0.0' });
  const ca = join(gateway.folder, '.sallyport', 'https.pem');
  await client.connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [main, 'mcp', '--gateway', `https://127.0.0.1:${String(port)}`, '--ca', ca, ...args],
      env: { PATH: process.env['PATH'] ?? '', HOME: folder, SALLYPORT_TOKEN: await gateway.token(token) },
    }),
  );
  clients.push(client);
  return client;
}

type Args = Record<string, unknown>;
const call = async (client: Client, name: string, args: Args, meta?: Args): Promise<CallToolResult> =>
  (await client.callTool({ name, arguments: args, ...(meta === undefined ? {} : { _meta: meta }) })) as CallToolResult;
const refusalOf = ({ structuredContent }: CallToolResult) => structuredContent?.['sallyport'] as Args;

describe('an agent without drivers', () => {
  test('is shown the tools that it has targets for, and who it is', async () => {
    const { tools } = await ada.listTools();
    expect(tools.map(({ name }) => name)).toEqual([
      'query',
      'run',
      'request',
      'whoami',
      'explain',
      'what_would_i_need',
    ]);
    expect(tools[0]?.inputSchema.properties?.['target']).toMatchObject({ enum: ['orders'] });
    const { structuredContent } = await call(ada, 'whoami', {});
    expect(structuredContent).toMatchObject({
      subject: 'agent:ada',
      targets: [{ name: 'orders', protocol: 'postgres' }, { name: 'build' }, { name: 'cloud', path: '/http/cloud' }],
    });
  });

  test('is shown no target that policy lets it do nothing with', async () => {
    const guest = await agent({ subject: 'agent:guest', groups: ['guests'] });
    expect((await guest.listTools()).tools.map(({ name }) => name)).toEqual(['whoami', 'explain', 'what_would_i_need']);
    const denied = await call(guest, 'query', { target: 'orders', sql: 'select 1' });
    expect(denied.isError).toBe(true);
    expect(JSON.stringify(refusalOf(denied))).toContain('not_for_guests');
  });

  test('gets rows as JSON, masked as for every other client, and no more than it asked for', async () => {
    const sql = 'select id, email, born, true as yes from app.people where id > $1 order by id';
    const { structuredContent } = await call(ada, 'query', { target: 'orders', sql, parameters: [5], rows_max: 2 });
    expect(structuredContent).toEqual({
      columns: ['id', 'email', 'born', 'yes'],
      rows: [
        [6, '***', '1815-12-10', true],
        [7, '***', '1815-12-10', true],
      ],
      row_count: 2,
      truncated: true,
    });
    const all = await call(ada, 'query', { target: 'orders', sql: 'select id from app.people', rows_max: 1_000 });
    expect(all.structuredContent).toMatchObject({ row_count: 150, truncated: false, tag: 'SELECT 150' });
  });

  test('is denied in words that it can act on, and can ask for the rule and for what would have to differ', async () => {
    const denied = await call(ada, 'query', { target: 'orders', sql: 'select value from app.secrets' });
    const refusal = refusalOf(denied);
    expect(denied.isError).toBe(true);
    expect(refusal).toMatchObject({ code: 'denied', sqlstate: '42501', reasons: [{ code: 'no_secrets' }] });
    expect(refusal['next']).toEqual(expect.any(String));
    const decision = refusal['decision'] as string;
    const explained = await call(ada, 'explain', { decision });
    expect(JSON.stringify(explained.structuredContent)).toContain('select value from app.secrets');
    const needed = await call(ada, 'what_would_i_need', { decision });
    expect(needed.structuredContent).toMatchObject({
      outcome: 'deny',
      otherwise: [{ change: { 'groups with': 'keepers' }, outcome: 'allow' }],
    });
    const other = await agent({ subject: 'agent:other' });
    expect(refusalOf(await call(other, 'explain', { decision }))).toMatchObject({ code: 'unknown' });
    expect(refusalOf(await call(other, 'what_would_i_need', { decision }))).toMatchObject({ code: 'unknown' });
  });

  test('asks what it would need for a statement that it has not run', async () => {
    const sql = 'select value from app.secrets';
    const { structuredContent } = await call(ada, 'what_would_i_need', { target: 'orders', sql });
    expect(structuredContent).toMatchObject({ outcome: 'deny', reasons: [{ code: 'no_secrets' }] });
  });

  test('is told what its statement lacks in the database', async () => {
    const wrong = await call(ada, 'query', { target: 'orders', sql: 'select 1 / 0' });
    expect(refusalOf(wrong)).toMatchObject({ code: '22012', message: 'division by zero' });
  });

  test('runs commands, and is refused those that policy does not allow', async () => {
    const ran = await call(ada, 'run', { target: 'build', command: 'cat -n', stdin: 'words\n' });
    expect(ran.structuredContent).toMatchObject({ exit_code: 0, stdout: expect.stringContaining('words') as unknown });
    const denied = await call(ada, 'run', { target: 'build', command: 'eval id' });
    expect(refusalOf(denied)).toMatchObject({ code: 'denied', decision: expect.stringMatching(/^d-/) as unknown });
    expect(host.log).not.toContain('exec eval id');
  });

  test('sends requests below the target, and nowhere else', async () => {
    const sent = await call(ada, 'request', { target: 'cloud', method: 'POST', path: '/machines?n=1', body: { n: 1 } });
    expect(sent.structuredContent).toMatchObject({ status: 200, body: { method: 'POST', url: '/machines?n=1' } });
    expect(web.heard.at(-1)?.body.toString()).toBe('{"n":1}');
    const denied = await call(ada, 'request', { target: 'cloud', method: 'GET', path: '/secrets' });
    expect(refusalOf(denied)).toMatchObject({ code: 'denied', decision: expect.stringMatching(/^d-/) as unknown });
  });

  test.each(['/../../v1/whoami', '/machines/../x', '/./machines', '/..', '/machines\\..\\x', 'machines', '/a#b'])(
    'cannot leave the target by the path %s',
    async (path) => {
      const heard = web.heard.length;
      const refusal = refusalOf(await call(ada, 'request', { target: 'cloud', method: 'GET', path }));
      expect(refusal).toMatchObject({ code: 'invalid' });
      expect(web.heard).toHaveLength(heard);
    },
  );

  test.each([{ authorization: 'Bearer x' }, { 'X-Sallyport-Prompt': 'x' }, { Host: 'x' }])(
    'cannot say %j for itself',
    async (headers) => {
      const args = { target: 'cloud', method: 'GET', path: '/machines', headers };
      expect(refusalOf(await call(ada, 'request', args))).toMatchObject({ code: 'invalid' });
    },
  );

  test.each([
    ['query', { target: 'orders' }],
    ['query', { target: 'orders', sql: 'select 1', more: 1 }],
    ['query', { target: 'nowhere', sql: 'select 1' }],
    ['query', { target: 'build', sql: 'select 1' }],
    ['explain', { decision: '../whoami' }],
    ['erase', {}],
  ])('%s with %j is refused', async (name, args) => {
    expect((await call(ada, name, args)).isError).toBe(true);
  });

  test('says one prompt for all it does, and the records name it', async () => {
    const meta = { 'sallyport/prompt': { text: 'tidy the machines up' }, traceparent: trace };
    await call(ada, 'query', { target: 'orders', sql: 'select 17' }, meta);
    await call(ada, 'run', { target: 'build', command: 'uname' }, meta);
    await call(ada, 'request', { target: 'cloud', method: 'GET', path: '/machines' }, meta);
    const said = (await gateway.records())
      .filter(({ kind, action }) => kind === 'intent' && action !== 'connect')
      .map(({ target, personal }) => [target, (personal as Args)['prompt'] as Args | undefined] as const)
      .filter(([, prompt]) => prompt !== undefined);
    const prompt = { id: expect.stringMatching(/^p-/) as unknown, text: 'tidy the machines up', trace };
    expect(said).toEqual([
      ['orders', prompt],
      ['build', prompt],
      ['cloud', prompt],
    ]);
    expect(new Set(said.map(([, one]) => one?.['id'])).size).toBe(1);
  });
});

describe('an operation that waits for people', () => {
  test('tells of it as progress, and is answered in the same call', async () => {
    const told: Progress[] = [];
    let first: () => void = () => undefined;
    const heard = new Promise<void>((resolve) => (first = resolve));
    const args = { target: 'orders', sql: 'delete from app.kept where n = 1' };
    const answer = ada.callTool({ name: 'query', arguments: args }, undefined, {
      onprogress: (progress) => {
        told.push(progress);
        first();
      },
    });
    const { id } = await waitingRequest(gateway);
    await heard;
    expect(told[0]?.message).toContain(id);
    await answerAs(gateway, 'approve', id);
    expect((await answer).structuredContent).toMatchObject({ tag: 'DELETE 1' });
  });

  test('says how to come back to whom it cannot tell, and does it once', async () => {
    const client = await agent({ subject: 'agent:hurried' }, ['--hold-seconds', '0']);
    const args = { target: 'orders', sql: 'delete from app.kept where n = 2' };
    const first = refusalOf(await call(client, 'query', args));
    expect(first).toMatchObject({ code: 'approval_pending', hold: { id: expect.stringMatching(/^h-/) as unknown } });
    expect(first['next']).toMatch(/same call/);
    const { id } = await waitingRequest(gateway);
    expect((first['hold'] as Args)['id']).toBe(id);
    await answerAs(gateway, 'approve', id);
    let again = await call(client, 'query', args);
    while (again.isError === true) again = await call(client, 'query', args);
    expect(again.structuredContent).toMatchObject({ tag: 'DELETE 1' });
  });

  test('is taken back with the call', async () => {
    const over = new AbortController();
    const args = { target: 'orders', sql: 'delete from app.kept where n = 3' };
    const answer = ada.callTool({ name: 'query', arguments: args }, undefined, {
      signal: over.signal,
      onprogress: () => over.abort(),
    });
    await expect(answer).rejects.toThrow();
    await waitingRequest(gateway, 'withdrawn');
    expect(await database.sql('select n from app.kept where n = 3')).toHaveLength(1);
  });
});
