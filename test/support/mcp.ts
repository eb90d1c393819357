import { createServer, type IncomingMessage, type Server as HttpServer } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport, type EventStore } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import {
  CallToolRequestSchema,
  CompleteRequestSchema,
  GetPromptRequestSchema,
  ListPromptsRequestSchema,
  ListResourcesRequestSchema,
  ListToolsRequestSchema,
  ReadResourceRequestSchema,
  SubscribeRequestSchema,
  type CallToolResult,
  type ServerNotification,
  type ServerRequest,
  type Tool,
} from '@modelcontextprotocol/sdk/types.js';
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js';
import type { Web } from './web.js';

/** A server and clients of MCP as their own SDK makes them. */

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;
type Handler = (args: Record<string, unknown>, extra: Extra, server: Server) => Promise<CallToolResult>;
export interface ServedTool {
  readonly description: string;
  readonly inputSchema?: Tool['inputSchema'];
  readonly outputSchema?: Tool['outputSchema'];
  readonly annotations?: Tool['annotations'];
  readonly run: Handler;
}

export interface McpServerSide {
  readonly url: string;
  /** Every message that came, in order, and the fields it came with. */
  readonly heard: { readonly message: Record<string, unknown>; readonly headers: IncomingMessage['headers'] }[];
  readonly tools: Map<string, ServedTool>;
  /** The servers of its sessions. */
  readonly servers: Server[];
  methods(): unknown[];
  close(): Promise<void>;
}

export const text = (said: string): CallToolResult => ({ content: [{ type: 'text', text: said }] });

/** What it offers beside its tools: a resource, a prompt, completions. */
export function serverWith(tools: Map<string, ServedTool>): Server {
  const server = new Server(
    { name: 'tracker', version: '1.0.0' },
    {
      capabilities: {
        tools: { listChanged: true },
        resources: { subscribe: true },
        prompts: {},
        completions: {},
        logging: {},
      },
      instructions: 'Use the tools.',
    },
  );
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: [...tools].map(([name, { run: _, ...tool }]) => ({
      inputSchema: { type: 'object' as const },
      ...tool,
      name,
    })),
  }));
  server.setRequestHandler(CallToolRequestSchema, ({ params }, extra) => {
    const tool = tools.get(params.name);
    if (tool === undefined) throw new Error('no such tool');
    return tool.run(params.arguments ?? {}, extra, server);
  });
  server.setRequestHandler(ListResourcesRequestSchema, () => ({
    resources: [
      { uri: 'file:///notes.txt', name: 'notes' },
      { uri: 'file:///secret.txt', name: 'secret' },
    ],
  }));
  server.setRequestHandler(ReadResourceRequestSchema, ({ params }) => ({
    contents: [{ uri: params.uri, text: `of ${params.uri}: mail ada@example.com` }],
  }));
  server.setRequestHandler(SubscribeRequestSchema, () => ({}));
  server.setRequestHandler(ListPromptsRequestSchema, () => ({ prompts: [{ name: 'greet' }, { name: 'forbidden' }] }));
  server.setRequestHandler(GetPromptRequestSchema, ({ params }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `hello ${params.arguments?.['name'] ?? ''}` } }],
  }));
  server.setRequestHandler(CompleteRequestSchema, () => ({ completion: { values: ['ada'] } }));
  return server;
}

/** @param events Where what was said is kept, to be said again; absent: what a client misses is lost. */
export async function startMcpServer(tools: Map<string, ServedTool>, events?: EventStore): Promise<McpServerSide> {
  const heard: McpServerSide['heard'] = [];
  const servers: Server[] = [];
  const transports = new Map<string, StreamableHTTPServerTransport>();
  const http: HttpServer = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      void (async () => {
        const body = Buffer.concat(chunks).toString('utf8');
        const message = body === '' ? undefined : (JSON.parse(body) as Record<string, unknown>);
        if (message !== undefined) heard.push({ message, headers: incoming.headers });
        const id = incoming.headers['mcp-session-id'];
        let transport = typeof id === 'string' ? transports.get(id) : undefined;
        if (transport === undefined) {
          const made = new StreamableHTTPServerTransport({
            sessionIdGenerator: () => randomUUID(),
            ...(events === undefined ? {} : { eventStore: events }),
            onsessioninitialized: (session) => void transports.set(session, made),
          });
          transport = made;
          const server = serverWith(tools);
          servers.push(server);
          await server.connect(made);
        }
        await transport.handleRequest(incoming, response, message);
      })();
    });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', () => resolve()));
  const { port } = http.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    heard,
    tools,
    servers,
    methods: () => heard.map(({ message }) => message['method'] ?? 'response'),
    close: async () => {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

/** fetch through the gateway's own certificate. */
export function fetchWith(ca: string): typeof fetch {
  return (input, init = {}) =>
    new Promise((resolve, reject) => {
      const url = new URL(input instanceof Request ? input.url : input);
      const headers = Object.fromEntries(new Headers(init.headers).entries());
      const { signal } = init;
      const call = request(
        url,
        { method: init.method ?? 'GET', headers, ca, ...(signal === null || signal === undefined ? {} : { signal }) },
        (answer) => {
          const status = answer.statusCode ?? 500;
          const fields = Object.entries(answer.headers).map(
            ([name, value]) => [name, String(value)] as [string, string],
          );
          answer.on('error', () => undefined);
          const empty = status === 204 || status === 304;
          if (empty) answer.resume();
          const body = empty ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array>);
          resolve(new Response(body, { status, headers: fields }));
        },
      );
      call.on('error', reject);
      call.end(init.body as string | undefined);
    });
}

export interface ConnectOptions {
  readonly token: string;
  readonly target?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly client?: Client;
}

/** A client of the SDK that has begun a session through the gateway. */
export async function connectClient(
  web: Web,
  { token, target = 'cloud', headers = {}, client }: ConnectOptions,
): Promise<{ readonly client: Client; readonly transport: StreamableHTTPClientTransport }> {
  const transport = new StreamableHTTPClientTransport(new URL(`https://127.0.0.1:${web.port}/mcp/${target}`), {
    fetch: fetchWith(web.ca),
    requestInit: { headers: { authorization: `Bearer ${token}`, ...headers } },
  });
  const made = client ?? new Client({ name: 'tests', version: '1' }, { capabilities: {} });
  await made.connect(transport);
  return { client: made, transport };
}
