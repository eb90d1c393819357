import { EventEmitter } from 'node:events';
import { expect, test } from '@jest/globals';
import type { WebSocket } from 'ws';
import type { Allowed } from './connection.js';
import { HeaderWriter } from './spdy-headers.js';
import { openFrame, reset, resetFrame } from './spdy.js';
import { Tunnel } from './tunnel.js';

/** A side of the tunnel that takes everything at once. */
class Side extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  readonly isPaused = false;
  readonly bufferedAmount = 0;
  readonly sent: Buffer[] = [];
  send(message: Buffer): void {
    this.sent.push(message);
  }
  pause(): void {}
  resume(): void {}
  close(): void {
    this.readyState = 3;
  }
}

test('of connections that are opened and given up at once, no more are judged than may be open', async () => {
  const [client, upstream] = [new Side(), new Side()];
  const answers: (() => void)[] = [];
  const signals: AbortSignal[] = [];
  const tunnel = new Tunnel({
    ...{ client: client as unknown as WebSocket, upstream: upstream as unknown as WebSocket, bytes_max: undefined },
    exceeded: () => ({ status: 403, code: 'limit_exceeded', title: '', detail: '' }),
    connect: (_port, signal) => {
      signals.push(signal);
      return new Promise<Allowed>((resolve) =>
        answers.push(() => resolve({ bytes_max: undefined, seconds: undefined, settle: () => undefined })),
      );
    },
    refusal: String,
  });
  const headers = new HeaderWriter();
  let stream = -1;
  const open = () => {
    const requestid = String((stream += 2));
    for (const streamtype of ['error', 'data']) {
      client.emit('message', openFrame(stream, headers.write({ streamtype, port: '8080', requestid })), true);
      if (streamtype === 'error') stream += 2;
    }
  };
  for (let index = 0; index < 300; index++) {
    open();
    client.emit('message', resetFrame(stream, reset.cancel), true);
  }
  expect(signals).toHaveLength(256);
  expect(signals.every(({ aborted }) => aborted)).toBe(true);
  expect(client.sent.at(-1)).toEqual(resetFrame(stream, reset.refused));
  // Once they were judged, there is room again.
  for (const answer of answers.splice(0)) answer();
  await new Promise((resolve) => setImmediate(resolve));
  open();
  expect(signals).toHaveLength(257);
  expect(upstream.sent).toEqual([]);
  client.emit('close');
  expect(await tunnel.done).toMatchObject({ status: 'ok' });
});
