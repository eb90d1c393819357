import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createAuthority } from '../../../../test/support/certificates.js';
import { secured } from '../../../../test/support/egress.js';
import type { Services } from '../../../protocol.js';
import type { Insider } from './intercepted.js';
import { Interception } from './interception.js';
import { Leaves } from './leaves.js';

/** Clients that stop half-way hold nothing. None of them comes as far as a request. */

const authority = createAuthority();
const insider = { place: { host: 'localhost', port: 443 } } as Insider;
let server: Server;
beforeAll(async () => {
  server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => {
  server.close();
});

async function pair(): Promise<{ client: Socket; served: Socket }> {
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [served] = (await once(server, 'connection')) as [Socket];
  for (const socket of [client, served]) socket.on('error', () => undefined);
  served.pause();
  return { client, served };
}

const long = { handshake_ms: 60_000, head_ms: 60_000, request_ms: 60_000, idle_ms: 60_000 };
const patient = (change: Partial<typeof long>) => new Interception({} as Services, authority, { ...long, ...change });
const going = () => new AbortController().signal;

describe('a client that', () => {
  test('left while its certificate was made is waited for no longer', async () => {
    const { client, served } = await pair();
    const interception = patient({});
    const over = interception.serve(served, insider, going());
    served.destroy();
    expect(await over).toEqual({ status: 'cancelled', bytes: 0, sent_bytes: 0 });
    client.destroy();
    interception.close();
  });

  test('belongs to a session that ended meanwhile is cut off', async () => {
    const { client, served } = await pair();
    const interception = patient({});
    const ending = new AbortController();
    const over = interception.serve(served, insider, ending.signal);
    ending.abort();
    expect(await over).toMatchObject({ status: 'cancelled' });
    expect(served.destroyed).toBe(true);
    client.destroy();
    interception.close();
  });

  test('says nothing, or half a hello, is cut off', async () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from([22, 3, 1, 2, 0, 1])]) {
      const { client, served } = await pair();
      const interception = patient({ handshake_ms: 100 });
      client.write(bytes);
      expect(await interception.serve(served, insider, going())).toMatchObject({ code: 'tls_refused' });
      expect(served.destroyed).toBe(true);
      client.destroy();
      interception.close();
    }
  });

  test.each([
    ['nothing', ''],
    ['half a head', 'GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: '],
  ])('says %s inside is cut off', async (_what, text) => {
    const { client, served } = await pair();
    const interception = patient({ head_ms: 200 });
    const over = interception.serve(served, insider, going());
    const inner = await secured(client, { ca: authority.certificate, servername: 'localhost' });
    inner.resume();
    inner.write(text);
    expect(await over).toMatchObject({ sent_bytes: text.length });
    expect(served.destroyed).toBe(true);
    client.destroy();
    interception.close();
  });
});

const day_ms = 86_400_000;

test('an authority that holds no longer is said before anybody is told that a tunnel stands', async () => {
  const made = new Leaves(authority, () => Date.now() + 2 * day_ms).contextFor('api.example');
  await expect(made).rejects.toMatchObject({ status: 503, reason: 'authority_expired' });
});
