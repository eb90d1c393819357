import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import pg from 'pg';
import { createAuthority } from '../support/certificates.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { sslRequest } from '../support/relay.js';
import { errorOf, fields, message, rows, shape, WireClient } from '../support/wire.js';

const authority = createAuthority();
const leaf = authority.issue();
/** As a server shows it: its own certificate, then whose it is. */
const tls = { certificate: leaf.certificate + authority.certificate, key: leaf.key };
const ca = authority.certificate;

const gssRequest = Buffer.from('0000000804d21630', 'hex');

/** An address of this machine that others could use; undefined on one that has none. */
const outside = Object.values(networkInterfaces())
  .flat()
  .find((one) => one !== undefined && !one.internal && one.family === 'IPv4')?.address;
// Skipped on a machine with a loopback alone, which no other machine can reach.
const outsideTest = outside === undefined ? test.skip : test;

/** All that comes until the other side closes. */
async function everything(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  // A reset is an end, too; what came before it is what is asked for.
  socket.on('error', () => undefined);
  await once(socket, 'close');
  return Buffer.concat(chunks);
}

describe('TLS from the client', () => {
  let database: TestDatabase;
  let gateway: TestGateway;

  beforeAll(async () => {
    database = await createDatabase();
    gateway = await startTestGateway({ database, tls });
  });
  afterAll(async () => {
    await gateway?.close();
    await database?.drop();
  });

  const clear = async (): Promise<Socket> => {
    const socket = connectTcp({ host: gateway.host, port: gateway.port });
    await once(socket, 'connect');
    return socket;
  };
  const directly = async (options: ConnectionOptions = {}): Promise<TLSSocket> => {
    const socket = connectTls({
      host: gateway.host,
      port: gateway.port,
      servername: 'localhost',
      ca,
      ALPNProtocols: ['postgresql'],
      ...options,
    });
    await once(socket, 'secureConnect');
    return socket;
  };
  /** Signs in over a socket that is encrypted already, and asks for one row. */
  const converse = async (socket: Socket) => {
    const client = WireClient.over(socket);
    await client.signIn(await gateway.connection());
    const answer = rows(await client.query('select 42'));
    await client.end();
    return answer;
  };
  /**
   * Intents and refused sign-ins so far, two of its own among them. Records are written in order, and a definition's is on
   * disk before it leaves: then all before it are.
   */
  const recorded = async (): Promise<number> => {
    const client = await WireClient.connect({ ...gateway, tls: { ca, servername: 'localhost' } });
    await client.signIn(await gateway.connection());
    await client.query('create temporary table settled ()');
    await client.end();
    return (await gateway.records()).filter(({ kind }) => kind === 'intent' || kind === 'sign_in_refused').length;
  };

  test('a client that asks for it gets it, and can verify whom it speaks to', async () => {
    const client = await WireClient.connect({ ...gateway, tls: { ca, servername: 'localhost' } });
    expect((client.socket as TLSSocket).getProtocol()).toBe('TLSv1.3');
    expect((client.socket as TLSSocket).authorized).toBe(true);
    await client.signIn(await gateway.connection());
    expect(rows(await client.query('select 42'))).toEqual([['42']]);
    await client.end();
  });

  test('`pg` works with its ssl option', async () => {
    const client = new pg.Client({ ...(await gateway.connection()), ssl: { ca, servername: 'localhost' } });
    await client.connect();
    expect((await client.query('select $1::int as n', [42])).rows).toEqual([{ n: 42 }]);
    await client.end();
  });

  test('an answer larger than any buffer arrives whole', async () => {
    const client = await gateway.open();
    const answer = rows(await client.query('select n, repeat(md5(n::text), 100) from generate_series(1, 3000) n'));
    expect(answer).toHaveLength(3000);
    expect(answer.every(([n, text], index) => n === String(index + 1) && text?.length === 3200)).toBe(true);
    await client.end();
  });

  test('TLS 1.1 is not spoken', async () => {
    const socket = connectTls({
      host: gateway.host,
      port: gateway.port,
      ca,
      servername: 'localhost',
      ALPNProtocols: ['postgresql'],
      // At OpenSSL's usual level of security this side would not even offer it.
      minVersion: 'TLSv1.1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT:@SECLEVEL=0',
    });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
  });

  describe('without asking first', () => {
    test('is spoken to who names the protocol', async () => {
      const socket = await directly();
      expect(socket.alpnProtocol).toBe('postgresql');
      expect(await converse(socket)).toEqual([['42']]);
    });

    test('is refused to who names none: another protocol may have been led here', async () => {
      const before = await recorded();
      const socket = await directly({ ALPNProtocols: [] });
      const answer = await everything(socket);
      expect(answer.toString('latin1', 0, 1)).toBe('E');
      expect(fields(answer.subarray(5))).toMatchObject({ S: 'FATAL', C: '08P01', M: expect.stringContaining('ALPN') });
      expect(await recorded()).toBe(before + 2);
    });

    test('ends with an alert for who names another', async () => {
      const socket = connectTls({ host: gateway.host, port: gateway.port, ca, ALPNProtocols: ['http/1.1'] });
      const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
      expect(error.code).toBe('ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL');
    });
  });

  describe('what comes in clear behind a request for encryption', () => {
    const startup = message.startup({ user: 'agent', database: 'orders' });

    // Somebody else may have put it there, to be taken for what was said inside (CVE-2021-23214).
    test.each([
      ['a start-up packet behind SSLRequest', [sslRequest, startup]],
      ['a single byte behind SSLRequest', [sslRequest, Buffer.from([0])]],
      ['a second SSLRequest', [sslRequest, sslRequest]],
      ['a start-up packet behind GSSENCRequest', [gssRequest, startup]],
    ])('is refused: %s', async (_, bytes) => {
      const before = await recorded();
      const socket = await clear();
      socket.write(Buffer.concat(bytes));
      const answer = await everything(socket);
      expect(answer.toString('latin1', 0, 1)).toBe('E');
      expect(fields(answer.subarray(5))).toMatchObject({
        S: 'FATAL',
        C: '08P01',
        M: expect.stringContaining('unencrypted data after an encryption request'),
      });
      expect(await recorded()).toBe(before + 2);
    });

    test('is never taken for what was said inside, when it comes after the answer', async () => {
      const socket = await clear();
      socket.write(sslRequest);
      expect((await once(socket, 'data'))[0].toString()).toBe('S');
      socket.write(startup);
      const answer = await everything(socket);
      // An alert at most; no word of Postgres's.
      expect([undefined, 0x15]).toContain(answer[0]);
    });
  });

  test('GSSAPI encryption is answered with no, and TLS may be asked for then', async () => {
    const socket = await clear();
    socket.write(gssRequest);
    expect((await once(socket, 'data'))[0].toString()).toBe('N');
    socket.write(sslRequest);
    expect((await once(socket, 'data'))[0].toString()).toBe('S');
    const inside = connectTls({ socket, ca, servername: 'localhost' });
    await once(inside, 'secureConnect');
    expect(await converse(inside)).toEqual([['42']]);
  });

  test('inside TLS, more of it is answered with no', async () => {
    const socket = await directly();
    socket.write(sslRequest);
    expect((await once(socket, 'data'))[0].toString()).toBe('N');
    expect(await converse(socket)).toEqual([['42']]);
  });

  test('who asks for encryption for ever is refused', async () => {
    const socket = await clear();
    let answers = '';
    socket.on('data', (chunk: Buffer) => {
      answers += chunk.toString('latin1');
      if (/^N+$/u.test(answers)) socket.write(gssRequest);
    });
    // What was asked after the refusal meets a closed door.
    socket.on('error', () => undefined);
    socket.write(gssRequest);
    await once(socket, 'close');
    expect(answers).toMatch(/^N{2,9}E.*\0C08P01\0Mtoo many encryption requests\0/su);
  });

  test('a client that does not trust the certificate leaves, and the next one is served', async () => {
    const stranger = createAuthority('Somebody else').certificate;
    await expect(WireClient.connect({ ...gateway, tls: { ca: stranger, servername: 'localhost' } })).rejects.toThrow(
      /certificate/u,
    );
    const torn = await clear();
    torn.end(Buffer.from('16030100ff', 'hex'));
    await everything(torn);
    const client = await gateway.open();
    expect(rows(await client.query('select 42'))).toEqual([['42']]);
    await client.end();
  });

  test('a cancel request may come in TLS', async () => {
    const client = await gateway.open();
    const running = client.query('select pg_sleep(60)');
    const asleep = "select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
    while ((await database.sql(asleep)).length === 0) continue;
    const other = await directly();
    const answer = everything(other);
    other.write(message.cancel(client.processId, client.secretKey));
    expect(errorOf(await running)).toMatchObject({ C: '57014' });
    expect(await answer).toHaveLength(0);
    expect(shape(await client.query('select 1'))).toBe('T D C Z');
    await client.end();
  });
});

describe('a listener without TLS', () => {
  let database: TestDatabase;
  let gateway: TestGateway;

  beforeAll(async () => {
    database = await createDatabase();
    gateway = await startTestGateway({ database, config: { listen: { postgres: '0.0.0.0:0' } } });
  });
  afterAll(async () => {
    await gateway?.close();
    await database?.drop();
  });

  test('says so, and serves on the loopback who goes on in clear', async () => {
    const client = await WireClient.connect({ host: '127.0.0.1', port: gateway.port });
    client.sendRaw(sslRequest);
    expect((await once(client.socket, 'data'))[0].toString('latin1', 0, 1)).toBe('N');
    client.socket.destroy();
    const open = await WireClient.open({ ...(await gateway.connection()), host: '127.0.0.1' });
    expect(rows(await open.query('select 42'))).toEqual([['42']]);
    await open.end();
  });

  test('does not take the beginning of TLS for a start-up packet', async () => {
    const socket = connectTls({ host: '127.0.0.1', port: gateway.port, ca, ALPNProtocols: ['postgresql'] });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toMatch(/^(ERR_SSL_|ECONNRESET)/u);
  });

  outsideTest('asks nobody on another address for a token, and says what to do', async () => {
    const client = await WireClient.connect({ host: outside!, port: gateway.port });
    client.sendRaw(message.startup({ user: 'agent', database: 'orders' }));
    const answer = await client.readUntil('E');
    // Not even AuthenticationCleartextPassword: a client would send the token before it read on.
    expect(shape(answer)).toBe('E');
    expect(errorOf(answer)).toMatchObject({ S: 'FATAL', C: '28000', M: expect.stringContaining('sslmode=require') });
    await client.closed();
  });
});

describe('a listener with TLS, on every address', () => {
  outsideTest('takes a token from another address inside TLS, and not in clear', async () => {
    const database = await createDatabase();
    // The gateway reads `{file: …}` from its own folder, where `tls` puts them.
    const listen = {
      postgres: {
        address: '0.0.0.0:0',
        tls: { certificate: { file: './certificate.pem' }, key: { file: './key.pem' } },
      },
    };
    const gateway = await startTestGateway({ database, tls, config: { listen } });
    try {
      const place = { ...(await gateway.connection()), host: outside! };
      const refused = WireClient.open(place);
      await expect(refused).rejects.toMatchObject({ fields: { C: '28000' } });
      const client = await WireClient.open({ ...place, tls: { ca, servername: 'localhost' } });
      expect(rows(await client.query('select 42'))).toEqual([['42']]);
      await client.end();
    } finally {
      await gateway.close();
      await database.drop();
    }
  });
});
