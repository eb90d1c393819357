import { afterEach, expect, test } from '@jest/globals';
import { createServer, request, type IncomingMessage, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { pass, type Passed } from './passing.js';

/** A server, what passes its answers on, and a client. */

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function listening(server: Server): Promise<number> {
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function asked(port: number): Promise<IncomingMessage> {
  const call = request({ host: '127.0.0.1', port });
  call.end();
  const [answer] = (await once(call, 'response')) as [IncomingMessage];
  return answer;
}

const handed = ['_write', '_writev'] as const;

/** Gives the port to ask, how each answer was passed, and what was written for that. */
async function passing(upstream: Server, bytes_max?: number) {
  const behind = await listening(upstream);
  const passed: Promise<Passed>[] = [];
  const writes: string[] = [];
  const between = createServer((_, response) => {
    // One call for each time that something is handed to the system.
    const socket = response.socket! as unknown as Record<(typeof handed)[number], (...given: unknown[]) => void>;
    for (const name of handed) {
      const before = socket[name].bind(socket);
      socket[name] = (...given) => {
        writes.push(name);
        before(...given);
      };
    }
    void asked(behind).then((answer) => {
      response.writeHead(answer.statusCode ?? 502, { 'content-length': answer.headers['content-length'] ?? '0' });
      passed.push(pass(answer, response, bytes_max));
    });
  });
  return { port: await listening(between), passed, writes };
}

test('an answer that broke off before it was passed on is cut off', async () => {
  const behind = await listening(createServer((_, response) => response.flushHeaders()));
  let passed: Promise<Passed> | undefined;
  const between = createServer((_, response) => {
    const call = request({ host: '127.0.0.1', port: behind }, (answer) => {
      answer.once('close', () => {
        response.writeHead(200);
        passed = pass(answer, response);
      });
      answer.destroy();
    });
    call.end();
  });
  const port = await listening(between);
  const ended = await new Promise((resolve) => {
    const call = request({ host: '127.0.0.1', port }, (answer) =>
      answer
        .on('error', resolve)
        .on('end', () => resolve('end'))
        .resume(),
    );
    call.on('error', resolve).end();
  });
  expect(ended).toMatchObject({ code: 'ECONNRESET' });
  expect(await passed).toEqual({ bytes: 0, how: 'cut' });
});

test('the head goes alone where nothing is behind it yet, and the bytes follow', async () => {
  let more: (() => void) | undefined;
  const upstream = createServer((_, response) => {
    response.writeHead(200, { 'content-length': '4' }).flushHeaders();
    more = () => response.end('said');
  });
  const { port, passed } = await passing(upstream);
  const answer = await asked(port);
  expect({ status: answer.statusCode, passed: passed.length }).toEqual({ status: 200, passed: 1 });
  more!();
  expect(Buffer.concat(await answer.toArray()).toString()).toBe('said');
  expect(await passed[0]).toEqual({ bytes: 4, how: 'whole' });
});

test('the head goes with the first bytes where they are there', async () => {
  const { port, writes } = await passing(createServer((_, response) => response.end('said')));
  const answer = await asked(port);
  expect(Buffer.concat(await answer.toArray()).toString()).toBe('said');
  expect(writes).toEqual(['_writev']);
});

test('an answer that is over its limit with its first bytes is cut behind its head', async () => {
  const { port, passed } = await passing(
    createServer((_, response) => response.end('too much')),
    3,
  );
  const answer = await asked(port);
  expect(answer.statusCode).toBe(200);
  await expect(answer.toArray()).rejects.toThrow('aborted');
  expect(await passed[0]).toEqual({ bytes: 8, how: 'limit' });
});
