import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { InMemoryEventStore } from '@modelcontextprotocol/sdk/examples/shared/inMemoryEventStore.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { CallToolResultSchema, LoggingMessageNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { connectClient, fetchWith, startMcpServer, text, type McpServerSide, type ServedTool } from '../support/mcp.js';
import { mutated } from '../support/mcp-messages.js';
import { startWeb, type Web } from '../support/web.js';

/** Streams that break off and go on, streams that policy limits, and messages that are none. */

const policy = {
  'mcp.rego': `package policy.mcp

allow contains {"code": "all"} if input.operation.mcp.method != ""

limit contains {"bytes": 2000} if {
	input.operation.mcp.method == "stream"
	"little" in input.principal.groups
}

limit contains {"seconds": 1} if {
	input.operation.mcp.method == "stream"
	"brief" in input.principal.groups
}

limit contains {"bytes": 500} if input.operation.mcp.tool == "chatter"

limit contains {"bytes": 40} if input.operation.mcp.method == "sampling/createMessage"
`,
};

let go: () => void = () => undefined;
const tools: Record<string, ServedTool> = {
  say: { description: 'Says it again.', run: async ({ words }) => text(String(words)) },
  later: {
    description: 'Answers when it is told to.',
    run: async (_args, { _meta, sendNotification }) => {
      const told = new Promise<void>((resolve) => (go = resolve));
      const progressToken = _meta?.progressToken ?? 0;
      await sendNotification({ method: 'notifications/progress', params: { progressToken, progress: 1 } });
      await told;
      return text('at last');
    },
  },
  mutter: {
    description: 'Writes to its log.',
    run: async (_args, _extra, server) => {
      await server.sendLoggingMessage({ level: 'info', data: 'x'.repeat(700) });
      return text('muttered');
    },
  },
  chatter: {
    description: 'Tells more than it answers.',
    run: async (_args, { sendNotification }) => {
      for (let n = 0; n < 10; n++)
        await sendNotification({ method: 'notifications/message', params: { level: 'info', data: 'x'.repeat(200) } });
      return text('that was all');
    },
  },
  ask: {
    description: 'Asks the model of the client.',
    run: async (_args, _extra, server) => {
      const content = { type: 'text' as const, text: 'x'.repeat(100) };
      const asked = server.createMessage({ messages: [{ role: 'user', content }], maxTokens: 9 });
      return text(await asked.then(() => 'answered', (error: Error) => `refused: ${error.message}`)); // prettier-ignore
    },
  },
};

let server: McpServerSide;
let web: Web;

beforeAll(async () => {
  server = await startMcpServer(new Map(Object.entries(tools)), new InMemoryEventStore());
  web = await startWeb({ policy, protocol: 'mcp', upstream: () => ({ url: server.url }) });
});
afterAll(async () => {
  go();
  await web?.close();
  await server?.close();
});

const connect = async (groups: string[] = ['agents'], client?: Client) =>
  connectClient(web, { token: await web.gateway.token({ groups }), ...(client === undefined ? {} : { client }) });

describe('a stream that breaks off', () => {
  test('goes on where it was: the answer that the client missed comes again, once', async () => {
    const token = await web.gateway.token();
    const { client, transport } = await connectClient(web, { token });
    let last: string | undefined;
    const heard = new Promise<void>((resolve) => {
      const call = client.request({ method: 'tools/call', params: { name: 'later' } }, CallToolResultSchema, {
        onprogress: () => resolve(),
        onresumptiontoken: (event) => (last = event),
      });
      call.catch(() => undefined);
    });
    await heard;
    const { sessionId } = transport;
    await transport.close();
    go();

    const again = new StreamableHTTPClientTransport(new URL(`https://127.0.0.1:${web.port}/mcp/cloud`), {
      fetch: fetchWith(web.ca),
      requestInit: { headers: { authorization: `Bearer ${token}` } },
      sessionId: sessionId!,
    });
    again.setProtocolVersion('2025-06-18');
    const second = new Client({ name: 'tests', version: '1' });
    await second.connect(again);
    const result = await second.request({ method: 'tools/call', params: { name: 'later' } }, CallToolResultSchema, {
      resumptionToken: last!,
    });
    expect(result).toMatchObject(text('at last'));
    expect(server.methods().filter((method) => method === 'tools/call')).toHaveLength(1);
    await second.close();
  });

  test('is nobody else’s to go on with', async () => {
    const { client, transport } = await connect();
    const { status } = await web.call('/mcp/cloud', {
      headers: {
        ...(await web.bearer({ subject: 'agent:other' })),
        ...{ accept: 'text/event-stream', 'mcp-session-id': transport.sessionId ?? '', 'last-event-id': 'x_0' },
      },
    });
    expect(status).toBe(404);
    await client.close();
  });
});

describe('limits', () => {
  const outcomes = async () => (await web.gateway.records()).filter(({ kind }) => kind === 'outcome').map(({ result }) => result as object); // prettier-ignore

  test.each([['little'], ['brief']])('end what a client listens to (%s)', async (group) => {
    const { client } = await connect([group]);
    const told: string[] = [];
    client.setNotificationHandler(
      LoggingMessageNotificationSchema,
      ({ params }) => void told.push(String(params.data)),
    );
    const exceeded = async () => (await outcomes()).filter((result) => 'code' in result && result.code === 'limit_exceeded'); // prettier-ignore
    const before = (await exceeded()).length;
    // What is told before the client listens is lost; what is told then is counted.
    while ((await exceeded()).length === before) await client.callTool({ name: 'mutter', arguments: {} });
    if (group === 'little') expect(told.length).toBeLessThanOrEqual(2);
    await client.close();
  });

  test('count what a call tells on its way, which is not answered beyond', async () => {
    const { client } = await connect();
    const result = await client.callTool({ name: 'chatter', arguments: {} });
    expect(result).toMatchObject({ isError: true, structuredContent: { sallyport: { code: 'limit_exceeded' } } });
    await client.close();
  });

  test('hold for what a server asks of the client', async () => {
    const client = new Client({ name: 'tests', version: '1' }, { capabilities: { sampling: {} } });
    await connect(['agents'], client);
    const result = await client.callTool({ name: 'ask', arguments: {} });
    expect(JSON.stringify(result)).toContain('may not be asked');
    await client.close();
  });
});

test('messages that were bent at random are answered or refused, never passed on otherwise than they were read', async () => {
  const { client, transport } = await connect();
  await client.listTools();
  const headers = {
    ...(await web.bearer({ groups: ['agents'] })),
    ...{ accept: 'application/json, text/event-stream', 'content-type': 'application/json' },
    'mcp-session-id': transport.sessionId ?? '',
  };
  await fc.assert(
    fc.asyncProperty(mutated, async (body) => {
      const { status } = await web.call('/mcp/cloud', { method: 'POST', headers, body: Buffer.from(body) });
      expect(status).toBeLessThan(500);
    }),
    { numRuns: 150 },
  );
  // What reached the server are messages whole, each by the gateway's own numbers.
  for (const { message } of server.heard) expect(message).toMatchObject({ jsonrpc: '2.0' });
  expect(await client.callTool({ name: 'say', arguments: { words: 'still there' } })).toMatchObject(
    text('still there'),
  );
  await client.close();
});
