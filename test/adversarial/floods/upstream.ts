import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** The server behind a gate: says what a well-behaved one would, and counts what reaches it. */
export interface Upstream {
  readonly port: number;
  /** What was asked, but for what the gateway itself wants to know. */
  readonly heard: string[];
  /** Open connections. */
  readonly sockets: ReadonlySet<Socket>;
  close(): Promise<void>;
}

export type Serve = (request: IncomingMessage, body: string, response: ServerResponse) => string | undefined;

/**
 * @param serve Answers, and gives what to count it as; undefined: it is not counted.
 * @param deaf To these it does not listen: their bodies are not read.
 */
export async function startUpstream(
  serve: Serve,
  upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void = (_request, socket) => socket.destroy(),
  deaf: (request: IncomingMessage) => boolean = () => false,
): Promise<Upstream> {
  const heard: string[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer((request, response) => {
    if (deaf(request)) return;
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const what = serve(request, Buffer.concat(chunks).toString(), response);
      if (what !== undefined) heard.push(what);
    });
    // Broken off: it reached the server all the same.
    request.on('error', () => heard.push(`broken off: ${request.method ?? ''} ${request.url ?? ''}`));
  });
  // What is not used any more is soon closed, so that what stays open is seen.
  server.keepAliveTimeout = 500;
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('clientError', (error: Error, socket) => {
    heard.push(`no request: ${error.message}`);
    socket.destroy();
  });
  server.on('upgrade', (request, socket: Duplex, head: Buffer) => {
    heard.push(`upgrade ${request.url ?? ''}`);
    upgrade(request, socket, head);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  return {
    port: (server.address() as AddressInfo).port,
    heard,
    sockets,
    close: async () => {
      server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function answerJson(
  response: ServerResponse,
  value: unknown,
  fields: Readonly<Record<string, string>> = {},
): void {
  const text = JSON.stringify(value);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...fields });
  response.end(text);
}

export const serveAnything: Serve = ({ method, url }, _body, response) => {
  answerJson(response, { ok: true });
  return `${method ?? ''} ${url ?? ''}`;
};

/** MCP with one tool, whose answer is one message. What begins a session and lists the tools is not counted. */
export const serveMcp: Serve = ({ method }, body, response) => {
  if (method !== 'POST') {
    response.writeHead(method === 'DELETE' ? 204 : 405).end();
    return undefined;
  }
  const { id, method: asked } = JSON.parse(body) as { id?: number; method?: string };
  const fields = { 'mcp-session-id': 'one' };
  const answer = (result: unknown) => answerJson(response, { jsonrpc: '2.0', id, result }, fields);
  switch (asked) {
    case 'initialize':
      answer({ protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } });
      return undefined;
    case 'notifications/initialized':
      response.writeHead(202).end();
      return undefined;
    case 'tools/list':
      answer({ tools: [mcpTool] });
      return undefined;
    default:
      answer({ content: [{ type: 'text', text: 'said' }] });
      return asked ?? 'an answer';
  }
};

const mcpTool = {
  name: 'say',
  description: 'Says it.',
  inputSchema: {
    type: 'object',
    properties: { words: { type: 'string' } },
    required: ['words'],
    additionalProperties: false,
  },
};
