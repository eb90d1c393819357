import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { readFields, readRequest } from './codec.js';
import { readHttpUpstream } from './config.js';
import { HttpTarget } from './upstream.js';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A server whose connections stay open, those it has, and where it is. */
async function serving(answer: string) {
  const open = new Set<Socket>();
  const server = createServer((_request, response) => response.end(answer));
  server.keepAliveTimeout = 0;
  server.on('connection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { open, url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}` };
}

test.each(['retire', 'close'] as const)('to %s keeps no connection, neither to the API nor for tokens', async (how) => {
  const api = await serving('{}');
  const tokens = await serving(JSON.stringify({ access_token: 'one', token_type: 'Bearer' }));
  const oauth = { token_url: `${tokens.url}/token`, client_id: 'me', client_secret: 'hush' };
  const upstream = readHttpUpstream({ url: api.url, credential: { oauth } });
  const target = new HttpTarget(upstream, async () => undefined);
  const fields = readFields([], true);
  const request = readRequest('GET', { target: '', path: '/a', query: '' }, fields, Buffer.alloc(0), upstream);
  const answer = await target.send(request, new AbortController().signal);
  answer.resume();
  await once(answer, 'end');
  const opened = [...api.open, ...tokens.open];
  expect(opened).toHaveLength(2);
  const closed = Promise.all(opened.map((socket) => once(socket, 'close')));
  target[how]();
  await closed;
  expect([...api.open, ...tokens.open]).toEqual([]);
});
