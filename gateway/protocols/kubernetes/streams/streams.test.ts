import { EventEmitter } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import type { WebSocket } from 'ws';
import { noKinds } from '../../../content/index.js';
import { channel, readEnd } from './channels.js';
import type { Recording } from '../../../protocol.js';
import { ChannelRelay } from './relay.js';

/** A side of the relay that takes nothing of what it is sent. */
class Side extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  isPaused = false;
  bufferedAmount = 0;
  readonly said: string[] = [];
  send(message: Buffer): void {
    this.said.push(message.toString('latin1'));
    this.bufferedAmount += message.length;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  close(): void {
    this.readyState = 3;
  }
}

describe('how a command ended', () => {
  test.each(['null', '1', '"Success"', '[]', '{}', '{"status":null}', 'no JSON'])('is not known from %s', (text) => {
    expect(readEnd(text)).toBeUndefined();
  });

  test.each([
    ['{"status":"Success"}', { ok: true, code: '0' }],
    ['{"status":"Failure","details":{"causes":[null,{"reason":"ExitCode","message":"3"}]}}', { ok: false, code: '3' }],
    ['{"status":"Failure","details":null,"reason":"Gone"}', { ok: false, code: 'Gone' }],
  ])('is known from %s', (text, ended) => {
    expect(readEnd(text)).toEqual(ended);
  });
});

test.each([channel.stdout, channel.stderr, channel.error])(
  'of channel %d no more is read than the client takes',
  async (on) => {
    const client = new Side();
    const upstream = new Side();
    const relay = new ChannelRelay({
      client: client as unknown as WebSocket,
      upstream: upstream as unknown as WebSocket,
      protocol: 'v5.channel.k8s.io',
      kinds: noKinds,
      terminal: false,
      recording: undefined,
      opaque: false,
      bytes_max: undefined,
      exceeded: () => ({ status: 403, code: 'limit_exceeded', title: '', detail: '' }),
    });
    const message = Buffer.concat([Buffer.from([on]), Buffer.alloc(65_535, 'x')]);
    for (let sent = 0; sent < 64 && !upstream.isPaused; sent++) upstream.emit('message', message, true);
    expect(upstream.isPaused).toBe(true);
    client.emit('close');
    expect(await relay.done).toMatchObject({ status: 'cancelled' });
  },
);

test('what cannot be recorded yet is shown once it is, all in its order, and nothing more is read meanwhile', async () => {
  const client = new Side();
  const upstream = new Side();
  let write: (kept: boolean) => void = () => undefined;
  const seen: string[] = [];
  const recording: Recording = {
    id: 'r-1',
    output: (_stream, bytes) => {
      seen.push(bytes.toString());
      return seen.length === 1 ? new Promise((resolve) => (write = resolve)) : true;
    },
    ...{ input: () => undefined, resize: () => undefined, note: () => undefined, onLost: () => undefined },
    close: () => Promise.resolve({ id: 'r-1', sha256: '', bytes: 1, complete: true }),
  };
  const relay = new ChannelRelay({
    client: client as unknown as WebSocket,
    upstream: upstream as unknown as WebSocket,
    protocol: 'v5.channel.k8s.io',
    ...{ kinds: noKinds, terminal: false, recording, opaque: false, bytes_max: undefined },
    exceeded: () => ({ status: 403, code: 'limit_exceeded', title: '', detail: '' }),
  });
  for (const message of ['\u0001a', '\u0002b', '\u0003{"status":"Success"}'])
    upstream.emit('message', Buffer.from(message), true);
  upstream.emit('close');
  expect([client.said, seen, upstream.isPaused]).toEqual([[], ['a'], true]);
  write(true);
  expect(await relay.done).toMatchObject({ status: 'ok', code: '0', recording: { id: 'r-1' } });
  expect(client.said).toEqual(['\u0001a', '\u0002b', '\u0003{"status":"Success"}']);
  expect(upstream.isPaused).toBe(false);
});
