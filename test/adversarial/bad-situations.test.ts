import { open } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { startRelay } from '../property/relay.js';
import { createAuthority } from '../support/certificates.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createIdentityProvider } from '../support/idp.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { errorOf, fields, message, rows, WireClient, WireError, type Frame } from '../support/wire.js';

/** What goes wrong around a gateway: each is a clear answer in the client's own protocol, and nothing passes by it. */

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase({ sql: 'create table items (id int); insert into items values (1)' });
});
afterAll(async () => {
  await database?.drop();
});

const refusal = async (opening: Promise<WireClient>): Promise<Record<string, string>> =>
  opening.then(
    (client) => {
      client.socket.destroy();
      throw new Error('the session was opened');
    },
    (error: unknown) => {
      if (!(error instanceof WireError)) throw error;
      return { ...error.fields };
    },
  );

/** Frames up to the end of the connection. */
async function lastWords(client: WireClient): Promise<Frame[]> {
  const frames: Frame[] = [];
  for (;;) {
    const frame = await client.read().catch(() => undefined);
    if (frame === undefined) return frames;
    frames.push(frame);
  }
}

describe('a token', () => {
  let gateway: TestGateway;
  beforeAll(async () => {
    gateway = await startTestGateway({ database });
  });
  afterAll(async () => {
    await gateway?.close();
  });

  const signIn = (password: string, name = 'orders') =>
    refusal(WireClient.open({ host: gateway.host, port: gateway.port, user: 'agent', database: name, password }));

  test.each<[string, () => Promise<string>, RegExp]>([
    ['that is none', () => Promise.resolve('hunter2'), /not a token: sign in with a token/],
    ['that is empty', () => Promise.resolve(''), /sign in with a token/],
    ['for another audience', () => gateway.token({ audience: 'payroll' }), /audience/],
    ['of another issuer', () => gateway.token({ issuer: 'https://elsewhere.example' }), /issuer/],
    ['that has expired', () => gateway.token({ issuedIn: -7200, expiresIn: -3600 }), /expired .* ago; get a new one/],
    ['that is not valid yet', () => gateway.token({ notBeforeIn: 3600 }), /not valid (yet|before)/],
    [
      'that lives longer than is allowed',
      () => gateway.token({ expiresIn: 86_400 }),
      /a life of 24h; this gateway accepts at most/,
    ],
    [
      "that somebody else has signed in the issuer's name",
      async () => (await createIdentityProvider({ issuer: gateway.idp.issuer })).issueToken(),
      /key|signature|signed/,
    ],
    [
      'whose claims were changed',
      async () => {
        const [head = '', body = '', signature = ''] = (await gateway.token()).split('.');
        const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>;
        return [
          head,
          Buffer.from(JSON.stringify({ ...claims, sub: 'agent:admin' })).toString('base64url'),
          signature,
        ].join('.');
      },
      /signature|signed/,
    ],
    [
      'without a signature',
      async () => {
        const [, body = ''] = (await gateway.token()).split('.');
        return `${Buffer.from('{"alg":"none"}').toString('base64url')}.${body}.`;
      },
      /not signed|algorithm/,
    ],
  ])('%s is refused, and the message says why', async (_what, token, why) => {
    const given = await token();
    const error = await signIn(given);
    expect(error).toMatchObject({ S: 'FATAL', C: '28P01' });
    expect(error['M']).toMatch(why);
    // What was given as a password may be one.
    if (given !== '') expect(JSON.stringify(error)).not.toContain(given.slice(-20));
  });

  test('is good for nothing where the target does not exist', async () => {
    expect(await signIn(await gateway.token(), 'warehouse')).toMatchObject({
      C: '3D000',
      M: expect.stringContaining('there is no target "warehouse"') as unknown,
    });
  });

  test('that expires ends the session with its last words', async () => {
    const client = await gateway.open({ token: { issuedIn: -10, expiresIn: 2 } });
    expect(rows(await client.query('select id from items'))).toEqual([['1']]);
    const words = await lastWords(client);
    expect(words.map(({ type }) => type)).toEqual(['E']);
    expect(fields(words[0]!.body)).toMatchObject({
      S: 'FATAL',
      M: expect.stringContaining('token has expired') as unknown,
    });
  });
});

describe('an upstream', () => {
  test('that cannot be reached is named, and the refusal arrives', async () => {
    const relay = await startRelay(database);
    await relay.close();
    const gateway = await startTestGateway({ database: { ...database, port: relay.port } });
    try {
      const error = await refusal(gateway.open());
      expect(error).toMatchObject({ S: 'FATAL', C: '08006' });
      expect(error['M']).toMatch(/target "orders" cannot be reached/);
      expect(JSON.stringify(error)).not.toContain(database.password);
    } finally {
      await gateway.close();
    }
  });

  test('that dies in the middle of a query ends the session, and the record says that the outcome is lost', async () => {
    const relay = await startRelay(database);
    const gateway = await startTestGateway({ database: { ...database, host: relay.host, port: relay.port } });
    try {
      const client = await gateway.open();
      relay.forget();
      client.sendRaw(message.query('select pg_sleep(60)'));
      while (!relay.texts().includes('select pg_sleep(60)')) await new Promise(setImmediate);
      await relay.close();
      const words = await lastWords(client);
      expect(errorOf(words)).toMatchObject({
        S: 'FATAL',
        C: '08006',
        M: expect.stringContaining('target "orders"') as unknown,
      });
      await gateway.gateway.close();
      const outcomes = (await gateway.records()).filter((record) => JSON.stringify(record).includes('"lost"'));
      expect(outcomes).toHaveLength(1);
    } finally {
      await gateway.close();
    }
  });
});

describe('a policy', () => {
  test('that does not compile stops the start, with file and line', async () => {
    const starting = startTestGateway({
      database,
      policy: { 'postgres.rego': 'package policy.postgres\n\nallow contains {"code": ' },
    });
    await expect(starting).rejects.toThrow(/postgres\.rego:3/);
  });

  test('that says nothing allows nothing', async () => {
    const gateway = await startTestGateway({ database, policy: { 'postgres.rego': 'package policy.postgres\n' } });
    try {
      expect(await refusal(gateway.open())).toMatchObject({
        C: '42501',
        M: expect.stringContaining('denied by policy') as unknown,
      });
    } finally {
      await gateway.close();
    }
  });
});

describe('an audit that cannot be written', () => {
  test('refuses operations before their bytes leave, says so, and lets them through again', async () => {
    const relay = await startRelay(database);
    const gateway = await startTestGateway({ database: { ...database, host: relay.host, port: relay.port } });
    const handle = await open(join(gateway.folder, 'probe'), 'w');
    const disk = Object.getPrototypeOf(handle) as { datasync: () => Promise<void> };
    await handle.close();
    try {
      const client = await gateway.open();
      // The first write to fail is noticed with it, what comes after is refused at once.
      const full = jest
        .spyOn(disk, 'datasync')
        .mockRejectedValue(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }));
      relay.forget();
      const changed = await client.query('insert into items values (2)');
      const next = await client.query('select id from items where id = 1');
      const extended = await client.exchange(
        message.parse('select id from items'),
        message.bind(),
        message.execute(),
        message.sync(),
      );
      full.mockRestore();
      for (const answer of [changed, next, extended]) expect(errorOf(answer)?.['C']).toBe('58030');
      // A Parse without a name is recorded with the Execute that it is for: its text may have left, the Execute has not.
      expect(relay.bytes().includes(message.execute())).toBe(false);
      const left = relay.texts().filter((sql) => sql.includes('items') && !sql.includes('pg_catalog'));
      expect(left.filter((sql) => sql !== 'select id from items')).toEqual([]);
      expect(rows(extended)).toEqual([]);
      expect(await database.sql('select count(*)::int as n from items')).toEqual([{ n: 1 }]);

      const deadline = Date.now() + 20_000;
      let answer = await client.query('select id from items');
      while (errorOf(answer) !== undefined && Date.now() < deadline)
        answer = await client.query('select id from items');
      expect(rows(answer)).toEqual([['1']]);
    } finally {
      jest.restoreAllMocks();
      await gateway.close();
      await relay.close();
    }
  });
});

describe('a gateway that stops', () => {
  test('says so to a client in the middle of a query, and stops the query', async () => {
    const gateway = await startTestGateway({ database });
    const client = await gateway.open();
    client.sendRaw(message.query('select pg_sleep(61)'));
    const running = async () =>
      (await database.sql(`select 1 from pg_stat_activity where query = 'select pg_sleep(61)' and state = 'active'`))
        .length;
    while ((await running()) === 0);
    const closing = gateway.close();
    const words = await lastWords(client);
    expect(errorOf(words)).toMatchObject({
      S: 'FATAL',
      C: '57P01',
      M: expect.stringContaining('shuts down') as unknown,
    });
    await closing;
    const deadline = Date.now() + 10_000;
    while ((await running()) > 0 && Date.now() < deadline);
    expect(await running()).toBe(0);
  });
});

describe('a connection from another machine', () => {
  const outside = Object.values(networkInterfaces())
    .flat()
    .find((address) => address?.family === 'IPv4' && !address.internal)?.address;

  // A machine with a loopback alone has no other machines.
  (outside === undefined ? test.skip : test)(
    'is refused before it has sent its token, unless it speaks TLS',
    async () => {
      const authority = createAuthority();
      const gateway = await startTestGateway({
        database,
        tls: authority.issue({ names: ['localhost'] }),
        config: {
          listen: {
            postgres: {
              address: '0.0.0.0:0',
              tls: { certificate: { file: './certificate.pem' }, key: { file: './key.pem' } },
            },
          },
        },
      });
      try {
        const plain = await WireClient.connect({ host: outside!, port: gateway.port });
        plain.sendRaw(message.startup({ user: 'agent', database: 'orders' }));
        const words = await lastWords(plain);
        expect(words.map(({ type }) => type)).toEqual(['E']);
        expect(fields(words[0]!.body)).toMatchObject({
          S: 'FATAL',
          C: '28000',
          M: expect.stringContaining('connect with TLS') as unknown,
        });
        const client = await WireClient.open({
          host: outside!,
          port: gateway.port,
          user: 'agent',
          database: 'orders',
          password: await gateway.token(),
          tls: { ca: authority.certificate, servername: 'localhost' },
        });
        expect(rows(await client.query('select id from items'))).toEqual([['1']]);
        client.socket.destroy();
      } finally {
        await gateway.close();
      }
    },
  );
});
