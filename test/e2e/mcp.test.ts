import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { connectClient, startMcpServer, text, type McpServerSide, type ServedTool } from '../support/mcp.js';
import { startWeb, type Web } from '../support/web.js';

/** The gate to MCP servers, whole: the SDK's own client over TLS, a policy, the SDK's own server. */

const policy = {
  'mcp.rego': `package policy.mcp

own := input.operation.mcp

allow contains {"code": "session"} if input.operation.action in {"connect", "session", "read"}

allow contains {"code": "tools"} if {
	own.method == "tools/call"
	own.from == "client"
}

deny contains {"code": "no_drop", "message": "nothing is dropped here"} if own.tool == "drop"

deny contains {"code": "only_small", "message": "ask for at most 10 at once"} if own.arguments.limit > 10

deny contains {"code": "secret"} if own.uri == "file:///secret.txt"

deny contains {"code": "forbidden"} if own.prompt == "forbidden"

allow contains {"code": "asks"} if {
	own.method == "sampling/createMessage"
	"sampled" in input.principal.groups
}

approval contains {"code": "pay_waits", "groups": ["operators"]} if own.tool == "pay"

mask contains {"code": "mail", "resource": "lookup:customer.email", "with": "redact"} if own.tool == "lookup"

mask contains {"code": "patterns", "resource": "*", "with": "pattern", "parameters": {"kinds": ["email"]}} if "masked" in input.principal.groups

limit contains {"bytes": 200} if own.tool == "large"
`,
};

const object = { type: 'object' as const };
const customer = { name: 'Ada', email: 'ada@example.com' };
const original: Record<string, ServedTool> = {
  lookup: {
    description: 'Looks a customer up.',
    inputSchema: {
      ...object,
      properties: { name: { type: 'string', pattern: '^[a-z]+$' }, limit: { type: 'integer' } },
      required: ['name'],
      additionalProperties: false,
    },
    run: async () => ({
      content: [
        { type: 'text', text: JSON.stringify({ customer }) },
        { type: 'text', text: `The address is ${customer.email}` },
      ],
      structuredContent: { customer, number: 7 },
    }),
  },
  say: { description: 'Says it again.', run: async ({ words }) => text(String(words)) },
  drop: { description: 'Drops everything.', run: async () => text('dropped') },
  pay: { description: 'Pays.', run: async () => text('paid') },
  large: { description: 'Answers at length.', run: async () => text('x'.repeat(1_000)) },
};

let server: McpServerSide;
let web: Web;

beforeAll(async () => {
  server = await startMcpServer(new Map(Object.entries(original)));
  web = await startWeb({
    policy,
    protocol: 'mcp',
    people: true,
    upstream: () => ({ url: server.url, credential: { bearer: 'the-real-one' }, hold_seconds: 1 }),
  });
});
afterAll(async () => {
  await web?.close();
  await server?.close();
});
beforeEach(() => {
  server.heard.length = 0;
});

const connect = async (groups: string[] = ['agents'], headers: Record<string, string> = {}) =>
  connectClient(web, { token: await web.gateway.token({ groups }), headers });

describe('what passes', () => {
  test('a call reaches the server with the credential of the gateway, and its answer comes back', async () => {
    const { client } = await connect();
    expect(client.getInstructions()).toBe('Use the tools.');
    expect(await client.callTool({ name: 'say', arguments: { words: 'hello' } })).toMatchObject(text('hello'));
    expect(server.heard.every(({ headers }) => headers.authorization === 'Bearer the-real-one')).toBe(true);
    expect(server.heard[0]?.message).toMatchObject({ method: 'initialize', params: { clientInfo: { name: 'tests' } } });
    await client.close();
  });

  test('resources, prompts, completions and pings, each seen where it may be used', async () => {
    const { client } = await connect();
    const { resources } = await client.listResources();
    expect(resources.map(({ name }) => name)).toEqual(['notes']);
    expect((await client.listPrompts()).prompts).toEqual([{ name: 'greet' }]);
    const read = await client.readResource({ uri: 'file:///notes.txt' });
    expect(read.contents[0]).toMatchObject({ text: expect.stringContaining('ada@example.com') as unknown });
    const prompt = await client.getPrompt({ name: 'greet', arguments: { name: 'Ada' } });
    expect(prompt.messages[0]?.content).toEqual({ type: 'text', text: 'hello Ada' });
    const completed = await client.complete({
      ref: { type: 'ref/prompt', name: 'greet' },
      argument: { name: 'name', value: 'a' },
    });
    expect(completed.completion.values).toEqual(['ada']);
    await client.ping();
    await expect(client.readResource({ uri: 'file:///secret.txt' })).rejects.toThrow(/denied by policy/);
    await client.close();
  });
});

describe('what is refused', () => {
  test('a token in a message, as it is or in base64', async () => {
    const token = await web.gateway.token({ groups: ['agents'] });
    const { client } = await connectClient(web, { token, headers: {} });
    server.heard.length = 0;
    for (const words of [token, `Basic ${Buffer.from(`agent:${token}`).toString('base64')}`]) {
      await expect(client.callTool({ name: 'say', arguments: { words } })).rejects.toThrow(/for the gateway alone/);
    }
    expect(server.heard).toEqual([]);
    await client.close();
  });

  test('a tool that may not be called is not shown, and a call of it is answered with why', async () => {
    const { client } = await connect();
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name).sort()).toEqual(['large', 'lookup', 'pay', 'say']);
    server.heard.length = 0;
    const result = await client.callTool({ name: 'drop', arguments: {} });
    expect(result).toMatchObject({
      isError: true,
      structuredContent: { sallyport: { code: 'denied', reasons: [{ code: 'no_drop' }] } },
    });
    expect(JSON.stringify(result.content)).toContain('nothing is dropped here');
    expect(server.heard).toEqual([]);
    await client.close();
  });

  test.each([
    ['an argument that is missing', {}, /arguments do not fit/],
    ['an argument that the schema does not know', { name: 'ada', more: 1 }, /arguments do not fit/],
    ['an argument of another type', { name: 7 }, /arguments do not fit/],
    ['a text that the pattern does not match', { name: 'Ada' }, /arguments do not fit/],
    ['an argument that policy denies', { name: 'ada', limit: 11 }, /at most 10/],
  ])('%s, before anything is sent', async (_name, args, said) => {
    const { client } = await connect();
    await client.listTools();
    server.heard.length = 0;
    const result = await client.callTool({ name: 'lookup', arguments: args });
    expect(result.isError).toBe(true);
    expect(JSON.stringify(result.content)).toMatch(said);
    expect(server.methods()).not.toContain('tools/call');
    await client.close();
  });

  test('an answer that is larger than policy allows', async () => {
    const { client } = await connect();
    const result = await client.callTool({ name: 'large', arguments: {} });
    expect(result).toMatchObject({ isError: true, structuredContent: { sallyport: { code: 'limit_exceeded' } } });
    await client.close();
  });

  test('the session of somebody else, as if there were none', async () => {
    const { client, transport } = await connect();
    const headers = { 'mcp-session-id': transport.sessionId ?? '', accept: 'application/json, text/event-stream' };
    const body = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
    const other = await web.bearer({ subject: 'agent:other' });
    const { status } = await web.call('/mcp/cloud', { method: 'POST', body, headers: { ...headers, ...other } });
    expect(status).toBe(404);
    const own = await web.bearer({ groups: ['agents'] });
    expect((await web.call('/mcp/cloud', { method: 'POST', body, headers: { ...headers, ...own } })).status).toBe(200);
    await client.close();
  });
});

describe('masks', () => {
  test('a field is masked in structured content and in texts that are JSON, and other texts are withheld', async () => {
    const { client } = await connect();
    const result = await client.callTool({ name: 'lookup', arguments: { name: 'ada' } });
    expect(result.structuredContent).toEqual({ customer: { name: 'Ada', email: '***' }, number: 7 });
    expect(JSON.stringify(result)).not.toContain(customer.email);
    expect(JSON.stringify(result.content)).toContain('Ada');
    await client.close();
  });

  test('patterns are masked in whatever a server says', async () => {
    const { client } = await connect(['masked']);
    const read = await client.readResource({ uri: 'file:///notes.txt' });
    expect(JSON.stringify(read)).not.toContain('ada@example.com');
    const said = await client.callTool({ name: 'say', arguments: { words: `${customer.email}, yes` } });
    expect(JSON.stringify(said.content)).not.toContain(customer.email);
    await client.close();
  });
});

describe('the record', () => {
  test('has each operation with its prompt, and what became of it', async () => {
    const { client } = await connect(['agents'], { 'x-sallyport-prompt': 'p-from-header' });
    await client.callTool({ name: 'say', arguments: { words: 'x' }, _meta: { 'sallyport/prompt': 'p-of-this-call' } });
    await client.close();
    const records = await web.gateway.records();
    const mine = records.filter((record) => JSON.stringify(record).includes('p-of-this-call'));
    expect(JSON.stringify(mine)).toContain('"tool":"say"');
    expect(JSON.stringify(records)).toContain('p-from-header');
    expect(server.heard.at(-1)?.message).not.toMatchObject({
      params: { _meta: { 'sallyport/prompt': 'p-of-this-call' } },
    });
  });
});
