import { channel } from 'node:diagnostics_channel';
import { createHash } from 'node:crypto';
import type { ClientRequest } from 'node:http';
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { written, type Draft } from '../adversarial/floods/draft.js';
import { Lane } from '../adversarial/floods/lane.js';
import { startUpstream, type Upstream } from '../adversarial/floods/upstream.js';
import { kubeconfig } from '../support/api-server.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';

/**
 * What the gateway holds of an answer whose client does not read, counted: the bytes that it has read from the API server, less those
 * that its kernel has taken for the client.
 */
const kib = 1_024;
/** Of streams and sockets on the way, whatever passes. */
const buffers_bytes_max = 512 * kib;
const answer_ms_max = 30_000;

const policy = {
  'kubernetes.rego': `package policy.kubernetes

allow contains {"code": "all"} if input.version == 1

mask contains {"code": "masked", "resource": "secrets:data", "with": "redact"} if input.operation.kubernetes.namespace == "masked"
`,
};

const secret = (number: number, bytes: number) => ({
  ...{ kind: 'Secret', apiVersion: 'v1', metadata: { name: `s-${String(number)}`, resourceVersion: String(number) } },
  ...{ type: 'x'.repeat(bytes), data: { password: 'Y2FuYXJ5' } },
});

interface Answer {
  readonly path: string;
  /** What it is made of, in order. */
  pieces(): Generator<string>;
}

const list = (namespace: string, objects: number): Answer => ({
  path: `/api/v1/namespaces/${namespace}/secrets`,
  *pieces() {
    yield '{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[';
    for (let number = 0; number < objects; number++)
      yield (number === 0 ? '' : ',') + JSON.stringify(secret(number, 4 * kib));
    yield ']}';
  },
});
const watch = (namespace: string, events: number, bytes: number): Answer => ({
  path: `/api/v1/namespaces/${namespace}/secrets?watch=1`,
  *pieces() {
    for (let number = 0; number < events; number++)
      yield `${JSON.stringify({ type: 'ADDED', object: secret(number, bytes) })}\n`;
  },
});

let serves: Answer = list('shop', 0);
/** What became of the answer: the digest of what was written, and whether the other side takes more. */
let poured = { digest: '', bytes: 0, blocked: false };
let upstream: Upstream;
let gateway: TestGateway;
let place: { host: string; port: number; ca: string };
/** The gateway's connections, as Node tells of them: with its client, and with the API server. */
const on: { near: Socket | undefined; far: ClientRequest | undefined } = { near: undefined, far: undefined };
const asked = (message: unknown) => (on.far = (message as { request: ClientRequest }).request);

beforeAll(async () => {
  upstream = await startUpstream((_request, _body, response) => {
    const hash = createHash('sha256');
    poured = { digest: '', bytes: 0, blocked: false };
    const pieces = serves.pieces();
    const write = () => {
      poured.blocked = false;
      for (;;) {
        const { value, done } = pieces.next();
        if (done === true) break;
        hash.update(value);
        poured.bytes += Buffer.byteLength(value);
        if (response.write(value)) continue;
        poured.blocked = true;
        return;
      }
      poured.digest = hash.digest('hex');
      response.end();
    };
    // A connection that had another answer before would be counted with it.
    response.writeHead(200, { 'content-type': 'application/json', connection: 'close' });
    response.on('drain', write);
    write();
    return undefined;
  });
  gateway = await startTestGateway({
    ...{ policy, protocol: 'https' },
    config: {
      listen: { https: '127.0.0.1:0' },
      targets: [{ name: 'cluster', protocol: 'kubernetes', upstream: { kubeconfig: kubeconfig(upstream.port) } }],
    },
  });
  const ca = await readFile(join(gateway.folder, '.sallyport', 'https.pem'), 'utf8');
  place = { host: '127.0.0.1', port: gateway.port, ca };
});
afterAll(async () => {
  await gateway?.close();
  await upstream?.close();
});
afterEach(() => {
  channel('http.server.request.start').unsubscribe(serverSaw);
  channel('http.client.request.start').unsubscribe(asked);
});

/** The API server's requests are told of here as well: it is in this process. */
function serverSaw(message: unknown): void {
  const { socket } = message as { socket: Socket };
  if (socket.localPort === gateway.port) on.near = socket;
}

function held(): number {
  const { near, far } = on;
  if (near === undefined || far === undefined || far.socket === null) return 0;
  return far.socket.bytesRead - (near.bytesWritten - near.writableLength);
}

/** Asks, does not read until nothing moves any more, then reads all; gives the most that was held, and what came. */
async function passed(answer: Answer): Promise<{ held_bytes: number; text: string }> {
  serves = answer;
  channel('http.server.request.start').subscribe(serverSaw);
  channel('http.client.request.start').subscribe(asked);
  Object.assign(on, { near: undefined, far: undefined });
  const lane = await Lane.open(place);
  try {
    const token = await gateway.token();
    const draft: Draft = {
      ...{ method: 'GET', target: `/kubernetes/cluster${answer.path}`, version: 'HTTP/1.1', body: Buffer.alloc(0) },
      fields: [
        ['Host', 'localhost'],
        ['Authorization', `Bearer ${token}`],
        ['Connection', 'close'],
      ],
    };
    lane.socket.pause();
    lane.say(written(draft));
    let held_bytes = 0;
    let read = -1;
    for (let still = 0; still < 20;) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      held_bytes = Math.max(held_bytes, held());
      const now = on.far?.socket?.bytesRead ?? 0;
      still = now > 0 && now === read ? still + 1 : 0;
      read = now;
    }
    const chunks: Buffer[] = [];
    lane.socket.removeAllListeners('data');
    lane.socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      held_bytes = Math.max(held_bytes, held());
    });
    lane.socket.resume();
    await lane.closed(answer_ms_max);
    return { held_bytes, text: bodyOf(Buffer.concat(chunks)) };
  } finally {
    lane.close();
  }
}

/** Out of its chunks (RFC 9112, 7.1). */
function bodyOf(bytes: Buffer): string {
  const chunks: Buffer[] = [];
  for (let at = bytes.indexOf('\r\n\r\n') + 4; ;) {
    const end = bytes.indexOf('\r\n', at);
    const size = Number.parseInt(bytes.toString('latin1', at, end), 16);
    if (!(size > 0)) return Buffer.concat(chunks).toString();
    chunks.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}

describe('a client that does not read', () => {
  test.each([
    ['a list of 5 MB', list('shop', 1_280), 5 * kib * kib],
    ['a watch of 10 000 events', watch('shop', 10_000, 8 * kib), 10_000 * 8 * kib],
  ])('has the gateway hold nothing of %s but what is on its way', async (_what, answer, least_bytes) => {
    const { held_bytes, text } = await passed(answer);
    expect(poured.bytes).toBeGreaterThan(least_bytes);
    expect(createHash('sha256').update(text).digest('hex')).toBe(poured.digest);
    expect(held_bytes).toBeGreaterThan(0);
    expect(held_bytes).toBeLessThan(buffers_bytes_max);
  });

  test('has it hold the beginning of a list that is masked, however long it is, and no more than objects on their way of the rest', async () => {
    const { held_bytes, text } = await passed(list('masked', 17_000));
    // More than is held of any one document.
    expect(poured.bytes).toBeGreaterThan(64 * kib * kib);
    let whole = '';
    for (const piece of list('masked', 17_000).pieces()) whole += piece;
    expect(text === whole.replaceAll('Y2FuYXJ5', 'Kioq')).toBe(true);
    expect(held_bytes).toBeGreaterThan(0);
    expect(held_bytes).toBeLessThan(kib * kib + 2 * buffers_bytes_max);
  });

  test('has it hold one object of a watch that is masked', async () => {
    const object_bytes = 1_024 * kib;
    const { held_bytes, text } = await passed(watch('masked', 64, object_bytes));
    const events = text.split('\n').filter((line) => line !== '');
    expect(events).toHaveLength(64);
    expect(text).not.toContain('Y2FuYXJ5');
    expect(held_bytes).toBeGreaterThan(0);
    expect(held_bytes).toBeLessThan(object_bytes + buffers_bytes_max);
  });
});
