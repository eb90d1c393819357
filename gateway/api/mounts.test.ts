import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { byPrefix } from './mounts.js';

/** What was served, by its path, and is answered by the test. */
let served: Map<string, ServerResponse>;
let server: ReturnType<typeof createServer>;
let client: Socket;
let came: (path: string) => Promise<ServerResponse>;

beforeEach(async () => {
  served = new Map();
  const waiting = new Map<string, (response: ServerResponse) => void>();
  came = (path) => {
    const found = served.get(path);
    return found === undefined ? new Promise((resolve) => waiting.set(path, resolve)) : Promise.resolve(found);
  };
  const gates = ({ url = '' }: IncomingMessage, response: ServerResponse) => {
    served.set(url, response);
    waiting.get(url)?.(response);
  };
  server = createServer(byPrefix([], gates, 10_000));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => undefined);
});
afterEach(async () => {
  client.destroy();
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
});

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

test('an answer that waits for others before it is closed with its connection: whoever makes it hears that nobody reads it', async () => {
  client.write(get('/first') + get('/second') + get('/third'));
  const answers = await Promise.all(['/first', '/second', '/third'].map(came));
  const closed = Promise.all(answers.map((answer) => once(answer, 'close')));
  client.destroy();
  await closed;
  expect(answers.map(({ destroyed }) => destroyed)).toEqual([true, true, true]);
});

test('an answer that was sent before is not closed a second time', async () => {
  let closes = 0;
  client.write(get('/first'));
  const answer = await came('/first');
  answer.on('close', () => (closes += 1));
  answer.end();
  await once(answer, 'close');
  const over = new Promise((resolve) => answer.req.socket.once('close', resolve));
  client.resume().end();
  await over;
  expect(closes).toBe(1);
});

test('what comes behind an answer that ends the connection is bounded as well, while answers before that are waited for', async () => {
  client.write(`${get('/waits')}POST /last HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n`);
  const last = await came('/last');
  last.shouldKeepAlive = false;
  last.writeHead(413, { connection: 'close' }).end();
  last.req.resume();
  const connection = last.req.socket;
  const cut = once(connection, 'close');
  client.write(`x${get('/behind').repeat(100)}`);
  await cut;
  expect(served.has('/behind')).toBe(false);
});

test('some requests behind such an answer are left unserved, and the answers before it still come', async () => {
  client.write(`${get('/waits')}POST /last HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n`);
  const [waits, last] = [await came('/waits'), await came('/last')];
  last.shouldKeepAlive = false;
  last.writeHead(413, { connection: 'close' }).end('no');
  last.req.resume();
  const whole = once(last.req, 'end');
  client.write(`x${get('/behind').repeat(10)}`);
  await whole;
  waits.end('late');
  let text = '';
  for await (const chunk of client) text += String(chunk);
  expect(text).toMatch(/^HTTP\/1\.1 200 .*late.*HTTP\/1\.1 413 .*no/s);
  expect(served.has('/behind')).toBe(false);
});
