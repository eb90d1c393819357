import { EventEmitter } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import type { WebSocket } from 'ws';
import { noKinds } from '../../../content/index.js';
import { channel, readEnd } from './channels.js';
import { ChannelRelay } from './relay.js';

/** A side of the relay that takes nothing of what it is sent. */
class Side extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  isPaused = false;
  bufferedAmount = 0;
  send(message: Buffer): void {
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
