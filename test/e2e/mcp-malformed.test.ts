import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { connectClient, startMcpServer, text, type McpServerSide } from '../support/mcp.js';
import { startWeb, type Web } from '../support/web.js';

/** Messages that can be read in more than one way, or in none: each is refused, and nothing of it is sent. */

const policy = {
  'mcp.rego': 'package policy.mcp\n\nallow contains {"code": "all"} if input.operation.mcp.method != ""\n',
};

let server: McpServerSide;
let web: Web;
let headers: Record<string, string>;
let leave: () => Promise<void>;

beforeAll(async () => {
  const inputSchema = {
    type: 'object' as const,
    properties: { path: { type: 'string' } },
    additionalProperties: false,
  };
  server = await startMcpServer(
    new Map([['read', { description: 'Reads.', inputSchema, run: async () => text('read') }]]),
  );
  web = await startWeb({ policy, protocol: 'mcp', upstream: () => ({ url: server.url }) });
  const token = await web.gateway.token();
  const { client, transport } = await connectClient(web, { token });
  leave = () => client.close();
  await client.listTools();
  headers = {
    authorization: `Bearer ${token}`,
    accept: 'application/json, text/event-stream',
    'mcp-session-id': transport.sessionId ?? '',
  };
});
afterAll(async () => {
  await leave?.();
  await web?.close();
  await server?.close();
});

const call = '"jsonrpc":"2.0","id":9,"method":"tools/call"';
const read = '{"name":"read","arguments":{"path":"a"}}';
const deep = '['.repeat(80) + ']'.repeat(80);
const messages: readonly (readonly [string, string | Buffer])[] = [
  ['nothing', ''],
  ['no JSON', '{'],
  ['two messages', `{${call},"params":${read}}{${call},"params":${read}}`],
  ['a text', '"tools/call"'],
  ['null', 'null'],
  ['an empty batch', '[]'],
  ['a batch', `[{${call},"params":${read}}]`],
  ['a comment', `{/* */${call},"params":${read}}`],
  ['a comma too many', `{${call},"params":${read},}`],
  ['a number that is none', `{"jsonrpc":"2.0","id":NaN,"method":"ping"}`],
  ['another version', `{"jsonrpc":"1.0","id":9,"method":"ping"}`],
  ['no version', `{"id":9,"method":"ping"}`],
  ['a version that is a number', `{"jsonrpc":2.0,"id":9,"method":"ping"}`],
  ['the method twice', `{${call},"method":"ping","params":${read}}`],
  ['the method in capitals as well', `{${call},"Method":"ping","params":${read}}`],
  ['the method twice, once escaped', `{${call},"\\u006dethod":"ping","params":${read}}`],
  ['the id twice', `{"id":8,${call},"params":${read}}`],
  ['the parameters twice', `{${call},"params":{"name":"other"},"params":${read}}`],
  ['the tool twice', `{${call},"params":{"name":"read","name":"other"}}`],
  ['an argument twice', `{${call},"params":{"name":"read","arguments":{"path":"a","path":"b"}}}`],
  ['an argument twice but for case', `{${call},"params":{"name":"read","arguments":{"path":"a","PATH":"b"}}}`],
  ['an argument twice but for width', `{${call},"params":{"name":"read","arguments":{"path":"a","ｐath":"b"}}}`],
  ['an id that is null', '{"jsonrpc":"2.0","id":null,"method":"ping"}'],
  ['an id that is a fraction', '{"jsonrpc":"2.0","id":1.5,"method":"ping"}'],
  ['an id that is an object', '{"jsonrpc":"2.0","id":{},"method":"ping"}'],
  ['an id that is too large for a double', '{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}'],
  ['an id that is too long', `{"jsonrpc":"2.0","id":"${'x'.repeat(129)}","method":"ping"}`],
  ['a method that is a number', '{"jsonrpc":"2.0","id":9,"method":7}'],
  ['a method that there is not', '{"jsonrpc":"2.0","id":9,"method":"tools/delete"}'],
  ['a method with a slash too many', `{"jsonrpc":"2.0","id":9,"method":"/tools/call","params":${read}}`],
  ['a method in capitals', `{"jsonrpc":"2.0","id":9,"method":"TOOLS/CALL","params":${read}}`],
  ['a method with a blank', `{"jsonrpc":"2.0","id":9,"method":"tools/call ","params":${read}}`],
  ['a method of objects', '{"jsonrpc":"2.0","id":9,"method":"constructor"}'],
  ['a call that is a notification', `{"jsonrpc":"2.0","method":"tools/call","params":${read}}`],
  ['a notification that is a request', '{"jsonrpc":"2.0","id":9,"method":"notifications/initialized"}'],
  ['a notification that there is not', '{"jsonrpc":"2.0","method":"notifications/other"}'],
  ['what only a server asks', '{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{}}'],
  ['parameters that are a list', `{${call},"params":["read",{}]}`],
  ['parameters that are null', `{${call},"params":null}`],
  ['a member that there is not', `{${call},"params":${read},"extra":1}`],
  ['a request that is a response', `{${call},"params":${read},"result":{}}`],
  ['no tool', `{${call},"params":{"arguments":{}}}`],
  ['a tool that is a number', `{${call},"params":{"name":7}}`],
  ['a tool that there is not', `{${call},"params":{"name":"constructor"}}`],
  ['arguments that are a list', `{${call},"params":{"name":"read","arguments":["a"]}}`],
  ['arguments that are a text', `{${call},"params":{"name":"read","arguments":"{}"}}`],
  ['arguments that the schema does not know', `{${call},"params":{"name":"read","arguments":{"path":"a","more":1}}}`],
  [
    'arguments that reach for the prototype',
    `{${call},"params":{"name":"read","arguments":{"__proto__":{"path":"a"}}}}`,
  ],
  ['a parameter that there is not', `{${call},"params":{"name":"read","arguments":{},"task":{"ttl":1}}}`],
  ['_meta that is a text', `{${call},"params":{"name":"read","_meta":"x"}}`],
  ['a token of progress that is an object', `{${call},"params":{"name":"read","_meta":{"progressToken":{}}}}`],
  ['what is too deep', `{${call},"params":{"name":"read","arguments":{"path":${deep}}}}`],
  ['half of a character', `{${call},"params":{"name":"read","arguments":{"path":"\\ud800"}}}`],
  ['a name with a zero byte', `{${call},"params":{"name":"read","arguments":{"pa\\u0000th":"a"}}}`],
  [
    'what is no UTF-8',
    Buffer.concat([Buffer.from('{"jsonrpc":"2.0","id":9,"method":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]),
  ],
  ['a byte order mark', `\ufeff{"jsonrpc":"2.0","id":9,"method":"ping"}`],
  ['what is too large', `{${call},"params":{"name":"read","arguments":{"path":"${'x'.repeat(1_100_000)}"}}}`],
  ['an answer that nobody asked for', '{"jsonrpc":"2.0","id":"server-1","result":{}}'],
  ['an answer that is both', '{"jsonrpc":"2.0","id":"server-1","result":{},"error":{"code":1,"message":"x"}}'],
  [
    'a second beginning',
    '{"jsonrpc":"2.0","id":9,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{}}}',
  ],
  ['a level that there is not', '{"jsonrpc":"2.0","id":9,"method":"logging/setLevel","params":{"level":"all"}}'],
  [
    'a reference to something else',
    '{"jsonrpc":"2.0","id":9,"method":"completion/complete","params":{"ref":{"type":"ref/tool","name":"x"},"argument":{"name":"a","value":"b"}}}',
  ],
];

test.each(messages)('%s is refused, and nothing is sent', async (_name, body) => {
  server.heard.length = 0;
  const { status, text: said } = await web.call('/mcp/cloud', {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body,
  });
  const { error, result } = JSON.parse(said) as { error?: object; result?: { isError?: boolean } };
  expect(status >= 400 || error !== undefined || result?.isError === true).toBe(true);
  expect(server.methods().filter((method) => method !== 'tools/list')).toEqual([]);
});

test.each([
  ['an origin that nobody named', { origin: 'https://evil.example' }, '', 403],
  ['a version that the gateway does not speak', { 'mcp-protocol-version': '2099-01-01' }, '', 400],
  ['no session', { 'mcp-session-id': '' }, '', 404],
  ['a session that somebody guessed', { 'mcp-session-id': 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' }, '', 404],
  ['a body of another type', { 'content-type': 'text/plain' }, '', 415],
  ['a compressed body', { 'content-encoding': 'gzip' }, '', 415],
  ['a query', {}, '?session=1', 404],
  ['a path behind the target', {}, '/../other', 404],
])('%s is refused, and nothing is sent', async (_name, changed, behind, wanted) => {
  server.heard.length = 0;
  const { status } = await web.call(`/mcp/cloud${behind}`, {
    method: 'POST',
    headers: { ...headers, ...changed },
    body: { jsonrpc: '2.0', id: 9, method: 'ping' },
  });
  expect(status).toBe(wanted);
  expect(server.heard).toEqual([]);
});

test('what is well formed passes, so that the others are refused for what they are', async () => {
  const { text: said } = await web.call('/mcp/cloud', {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: `{${call},"params":${read}}`,
  });
  expect(said).toContain('"text":"read"');
});
