import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { expect, test } from '@jest/globals';
import { answerOf } from './upgrading.js';

test('the connection is closed after the answer, though something came behind the request that nobody reads', async () => {
  const server = createServer();
  const closed = new Promise<void>((resolve) => {
    server.on('upgrade', (request, socket) => {
      socket.once('close', () => resolve());
      answerOf(request, socket).writeHead(404).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: x\r\n\r\n');
  const [answer] = (await once(client, 'data')) as [Buffer];
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 404 /);
  client.end('what nobody reads');
  await closed;
  await new Promise((resolve) => server.close(resolve));
});
