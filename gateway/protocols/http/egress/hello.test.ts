import type { Socket } from 'node:net';
import { createServer } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { expect, test } from '@jest/globals';
import { HelloRefusal, serverNameOf } from './hello.js';

/** The first message, as a real client writes it, and as those write it who want to be read in two ways. */

async function helloOf(servername: string): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = connectTls({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, servername });
  client.on('error', () => undefined);
  const [socket] = await accepted;
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

const number = (value: number, bytes: number) => {
  const out = Buffer.alloc(bytes);
  out.writeUIntBE(value, 0, bytes);
  return out;
};
const vector = (bytes: number, ...content: Buffer[]) => {
  const all = Buffer.concat(content);
  return Buffer.concat([number(all.length, bytes), all]);
};
const extension = (type: number, content: Buffer) => Buffer.concat([number(type, 2), vector(2, content)]);
const nameList = (...names: string[]) =>
  vector(2, ...names.map((name) => Buffer.concat([number(0, 1), vector(2, Buffer.from(name))])));
const message = (...extensions: Buffer[]) => {
  const body = Buffer.concat([
    Buffer.alloc(34, 3),
    vector(1),
    vector(2, number(0x1301, 2)),
    vector(1, number(0, 1)),
    vector(2, ...extensions),
  ]);
  return Buffer.concat([number(1, 1), vector(3, body)]);
};
const record = (content: Buffer, type = 22) => Buffer.concat([Buffer.from([type, 3, 1]), vector(2, content)]);
const why = (bytes: Buffer): string => {
  try {
    return `read: ${String(serverNameOf(bytes))}`;
  } catch (error) {
    if (error instanceof HelloRefusal) return error.reason;
    throw error;
  }
};

test('a real hello has its name, whole or byte by byte, and in however many records', async () => {
  const bytes = await helloOf('api.example');
  expect(serverNameOf(bytes)).toBe('api.example');
  for (let length = 0; length < bytes.length; length++) expect(serverNameOf(bytes.subarray(0, length))).toBeUndefined();
  const content = bytes.subarray(5);
  const half = content.length >> 1;
  const split = Buffer.concat([record(content.subarray(0, half)), record(content.subarray(half))]);
  expect(serverNameOf(split)).toBe('api.example');
});

test('a hello without a name has none', () => {
  expect(serverNameOf(record(message()))).toBeNull();
  expect(serverNameOf(record(message(extension(0, nameList('a.example')))))).toBe('a.example');
});

test('an encrypted hello beside the one that can be read is refused, whatever that says', () => {
  expect(why(record(message(extension(0, nameList('a.example')), extension(0xfe0d, Buffer.from([0, 1])))))).toBe('ech');
});

test.each<[string, Buffer]>([
  ['two names', record(message(extension(0, nameList('a.example', 'b.example'))))],
  ['the extension twice', record(message(extension(0, nameList('a.example')), extension(0, nameList('b.example'))))],
  ['an empty name', record(message(extension(0, nameList(''))))],
  ['bytes behind the list', record(message(extension(0, Buffer.concat([nameList('a.example'), Buffer.from('x')]))))],
  ['a length beyond the end', record(message(Buffer.from([0, 0, 0, 9, 1])))],
  [
    'a message behind it in its record',
    record(Buffer.concat([message(), message(extension(0, nameList('b.example')))])),
  ],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ['SSLv2', Buffer.from([0x80, 0x2e, 1, 0, 2])],
  ['application data', record(Buffer.from('hello'), 23)],
  ['an empty record', record(Buffer.alloc(0))],
  ['a message that is too long', record(Buffer.from([1, 0xff, 0xff, 0xff]))],
  ['many records of one byte', Buffer.concat([...message()].map((byte) => record(Buffer.from([byte]))))],
])('%s: refused', (_what, bytes) => {
  expect(why(bytes)).toBe('not_tls');
});
