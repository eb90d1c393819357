import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { answerJson, serveMcp, startUpstream, type Serve, type Upstream } from './upstream.js';

/** Servers whose answers do not end: events and watches that wait, and more bytes than anybody keeps. */
export interface StreamingUpstream extends Upstream {
  /** Open answers that wait for events. */
  readonly waiting: Set<ServerResponse>;
  /** Says one event to all that wait. */
  tell(): void;
  readonly large: Large;
}

/** What is to be said to a client that does not read, or is heard of one. */
export interface Large {
  written_bytes: number;
  /** The other side takes no more. */
  blocked: boolean;
  /** Times that it took more again. */
  drains: number;
  /** Nobody is there any more to take it. */
  gone: boolean;
}

export const event = 'it-happened';
const chunk_bytes = 65_536;
export const large_bytes = 64 * 1024 * 1024;

/** A blob of that many bytes. */
export const largeDigest = (): string => {
  const hash = createHash('sha256');
  const chunk = Buffer.alloc(chunk_bytes, 'x');
  for (let bytes = 0; bytes < large_bytes; bytes += chunk_bytes) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
};

/** Events, as each protocol says them. */
const events = {
  http: `data: {"note":"${event}"}\n\n`,
  kubernetes: `${JSON.stringify({ type: 'ADDED', object: { kind: 'Secret', apiVersion: 'v1', metadata: { name: 's' }, type: event, data: {} } })}\n`,
  mcp: notification(event),
} as const;

function notification(data: string): string {
  const message = { jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data } };
  return `event: message\ndata: ${JSON.stringify(message)}\n\n`;
}

/** Where there are no events (registries), only what is large. */
export type Streaming = keyof typeof events | 'registry';

/** What a large answer is made of, over and over. */
const pieces: Readonly<Record<Streaming, string>> = {
  http: `data: {"note":"${'x'.repeat(chunk_bytes)}"}\n\n`,
  kubernetes: `${JSON.stringify({ type: 'ADDED', object: { kind: 'Secret', apiVersion: 'v1', metadata: { name: 's' }, type: 'x'.repeat(chunk_bytes), data: {} } })}\n`,
  mcp: notification('x'.repeat(chunk_bytes)),
  registry: 'x'.repeat(chunk_bytes),
};

const types: Readonly<Record<Streaming, string>> = {
  http: 'text/event-stream',
  kubernetes: 'application/json',
  mcp: 'text/event-stream',
  registry: 'application/octet-stream',
};

export async function startStreaming(protocol: Streaming): Promise<StreamingUpstream> {
  const waiting = new Set<ServerResponse>();
  const large: Large = { written_bytes: 0, blocked: false, drains: 0, gone: false };
  const serve: Serve = (request, body, response) => {
    const { method, url = '' } = request;
    const isLarge = url.includes('large') || request.headers['last-event-id'] === 'large';
    if (protocol === 'mcp' && method !== 'GET') return serveMcp(request, body, response);
    if (protocol === 'registry') {
      if (method === 'POST') response.writeHead(202, { location: '/v2/team/app/blobs/uploads/one' }).end();
      else if (method === 'GET') pour(response, { 'content-length': String(large_bytes) });
      else answerJson(response, {});
      return `${method ?? ''} ${url}`;
    }
    if (isLarge) pour(response, {});
    else wait(response);
    return `${method ?? ''} ${url}`;
  };
  const head = (response: ServerResponse, fields: Readonly<Record<string, string>>) => {
    response.writeHead(200, { 'content-type': types[protocol], ...fields });
    response.flushHeaders();
  };
  const wait = (response: ServerResponse) => {
    head(response, {});
    waiting.add(response);
    response.on('close', () => waiting.delete(response));
  };
  const pour = (response: ServerResponse, fields: Readonly<Record<string, string>>) => {
    head(response, fields);
    const piece = Buffer.from(pieces[protocol]);
    Object.assign(large, { written_bytes: 0, blocked: false, drains: 0, gone: false });
    const write = () => {
      large.blocked = false;
      while (large.written_bytes < large_bytes && !response.destroyed) {
        large.written_bytes += piece.length;
        if (response.write(piece)) continue;
        large.blocked = true;
        return;
      }
      response.end();
    };
    response.on('close', () => (large.gone = true));
    response.on('drain', () => {
      large.drains++;
      write();
    });
    write();
  };
  const upstream = await startUpstream(serve, undefined, (request: IncomingMessage) => request.method === 'PATCH');
  const tell = () => waiting.forEach((response) => response.write(protocol === 'registry' ? '' : events[protocol]));
  return { ...upstream, waiting, tell, large };
}
