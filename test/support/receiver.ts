import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { IncomingHttpHeaders } from 'node:http';
import { createAuthority } from './certificates.js';

/** A server that is posted to, and remembers what. */
export interface Receiver {
  readonly url: string;
  readonly ca: string;
  readonly received: Received[];
  /** Answers the next ones with these instead of 200; 0: with nothing at all. */
  readonly answers: Answer[];
  /** The next that has not been waited for. */
  next(): Promise<Received>;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly location?: string;
  readonly retry_after?: string;
  readonly body?: string;
}

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export async function startReceiver(): Promise<Receiver> {
  const authority = createAuthority();
  const { certificate, key } = authority.issue();
  const received: Received[] = [];
  const answers: Answer[] = [];
  let taken = 0;
  let told: () => void = () => undefined;
  const server = createServer({ cert: certificate, key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push({ path: request.url ?? '', headers: request.headers, body: Buffer.concat(chunks) });
      told();
      const { status, location, retry_after, body = 'ok' } = answers.shift() ?? { status: 200 };
      if (status === 0) return;
      response
        .writeHead(status, {
          ...(location === undefined ? {} : { location }),
          ...(retry_after === undefined ? {} : { 'retry-after': retry_after }),
        })
        .end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${String(port)}`,
    ca: authority.certificate,
    received,
    answers,
    async next() {
      while (received.length <= taken) await new Promise<void>((resolve) => (told = resolve));
      taken += 1;
      return received[taken - 1] as Received;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
