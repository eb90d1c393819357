import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pino from 'pino';
import type { Listener, Services } from '../../protocol.js';
import { makeKey } from './library.js';
import { listen } from './listener.js';

let listener: Listener;

beforeAll(async () => {
  listener = await listen({
    address: { host: '127.0.0.1', port: 0, bounds: { greeting_ms_max: 100 } },
    services: { log: pino({ level: 'silent' }) } as unknown as Services,
    ...{ hostKey: makeKey().private, authority: makeKey().private },
  });
});
afterAll(() => listener.close());

/** Keeps its own side open, whatever the gateway says. */
async function connected(): Promise<Socket> {
  const socket = connect({ ...listener.address, allowHalfOpen: true });
  await once(socket, 'connect');
  return socket.resume();
}

/** Its end is told to whoever waits; whether the other side is gone shows when something is sent. */
async function isGone(socket: Socket): Promise<void> {
  await once(socket, 'end');
  const gone = new Promise<void>((resolve) => socket.once('error', () => resolve()).once('close', () => resolve()));
  const send = setInterval(() => socket.write('x'), 5);
  await gone;
  clearInterval(send);
  socket.destroy();
}

test('whoever says nothing is hung up on, and so is whoever says half of something and stays', async () => {
  const silent = await connected();
  const slow = await connected();
  slow.write('SSH-2.0-slow');
  const late = await connected();
  late.write('SSH-2.0-late\r\n');
  await Promise.all([silent, slow, late].map(isGone));
  expect([silent, slow, late].every(({ destroyed }) => destroyed)).toBe(true);
});
