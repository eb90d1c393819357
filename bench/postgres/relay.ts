/**
 * The least that a proxy in Node can do and still know where messages begin: frames are found, and passed on as they came.
 * It reads with the gateway's own frame reader and writes with its own outbox, so that what the gateway takes beyond this
 * is what understanding, judging and recording cost. Signing in goes through unseen.
 *
 *   node --import ./bench/typescript.mjs bench/postgres/relay.ts HOST PORT      prints the port that it listens on
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { FrameReader } from '../../gateway/protocols/postgres/codec.js';
import { Outbox } from '../../gateway/protocols/postgres/wire/outbox.js';

const [, , host = '127.0.0.1', port = '5432'] = process.argv;

const server = createServer({ noDelay: true }, (client) => {
  const upstream = connect({ host, port: Number(port), noDelay: true });
  // The start-up packet is the only one without a type; it is small, and clients send it alone.
  client.once('data', (startup: Buffer) => {
    upstream.write(startup);
    pass(client, upstream);
  });
  pass(upstream, client);
  for (const [one, other] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    one.on('error', () => other.destroy());
    one.on('close', () => other.destroy());
  }
});

function pass(from: Socket, to: Socket): void {
  const reader = new FrameReader(() => true);
  const outbox = new Outbox(to);
  from.on('data', (chunk: Buffer) => {
    reader.push(chunk);
    while (reader.next()) outbox.pass(reader.buffer, reader.start, reader.end);
    if (!outbox.flush()) from.pause();
  });
  to.on('drain', () => from.resume());
}

server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
process.on('SIGTERM', () => process.exit(0));
