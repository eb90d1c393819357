import { connect } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { message, rows, WireClient } from '../support/wire.js';
import { corruptConversation, corruptGreeting, newSeed, type Corrupted } from './corruptions.js';

/**
 * More than ten thousand pieces of malformed input against a gateway that runs: it lives, a session beside them notices
 * nothing, every connection ends, and memory returns.
 *
 * A failure says the seed of its case: SALLYPORT_SEED=<seed> runs that one first.
 */
const greetings_count = 8_500;
const conversations_count = 2_000;
/** A connection whose client has said everything ends within this. */
const close_ms_max = 20_000;
const together = 16;
const heap_bytes_max = 24 * 1024 * 1024;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

describe('malformed input', () => {
  let database: TestDatabase;
  let gateway: TestGateway;
  let bystander: WireClient;
  let token: string;
  const seed = Number(process.env['SALLYPORT_SEED'] ?? newSeed());

  beforeAll(async () => {
    database = await createDatabase({ sql: 'create table scratch (id int, v text)' });
    gateway = await startTestGateway({ database });
    bystander = await gateway.open();
    token = await gateway.token();
  });
  afterAll(async () => {
    bystander?.socket.destroy();
    await gateway?.close();
    await database?.drop();
  });

  /** Writes in two pieces, closes this side, and gives what came back once the other side has closed, too. */
  async function attack({ what, bytes, cut }: Corrupted, number: number, signedIn: boolean): Promise<Buffer> {
    const said = () => `case ${String(number)} (${what}): ${bytes.subarray(0, 200).toString('hex')}`;
    const client = signedIn
      ? await WireClient.open({
          host: gateway.host,
          port: gateway.port,
          user: 'agent',
          database: 'orders',
          password: token,
        })
      : undefined;
    const socket = client?.socket ?? connect({ host: gateway.host, port: gateway.port, noDelay: true });
    const received: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => received.push(chunk));
    socket.on('error', () => undefined);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        socket.destroy();
        reject(new Error(`the connection stays open: ${said()}`));
      }, close_ms_max);
      socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.write(bytes.subarray(0, cut));
      setImmediate(() => {
        if (!socket.destroyed) socket.end(bytes.subarray(cut));
      });
    });
    return Buffer.concat(received);
  }

  async function attackAll(count: number, make: (seed: number) => Corrupted, signedIn: boolean): Promise<void> {
    for (let done = 0; done < count; done += together) {
      const numbers = Array.from(
        { length: Math.min(together, count - done) },
        (_, index) => (seed + done + index) >>> 0,
      );
      const [answer, ...received] = await Promise.all([
        bystander.query(`select ${String(done)}`),
        ...numbers.map((number) => attack(make(number), number, signedIn)),
      ]);
      expect(rows(answer)).toEqual([[String(done)]]);
      bystander.received.length = 0;
      // AuthenticationOk is for those who have shown a token.
      if (!signedIn)
        for (const bytes of received) expect(bytes.includes(Buffer.from('520000000800000000', 'hex'))).toBe(false);
    }
  }

  const memory = () => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const sockets = () => process.getActiveResourcesInfo().filter((resource) => resource === 'TCPSocketWrap').length;
  const upstreamSessions = async () =>
    Number(
      (await database.sql(`select count(*) as n from pg_stat_activity where datname = '${database.database}'`))[0]?.[
        'n'
      ],
    );

  test('harms nobody, and leaves nothing behind', async () => {
    // What is loaded and compiled once is no leak.
    await attackAll(400, corruptGreeting, false);
    await attackAll(100, corruptConversation, true);
    const before = { memory: memory(), sockets: sockets() };

    await attackAll(greetings_count, corruptGreeting, false);
    await attackAll(conversations_count, corruptConversation, true);

    // Ends of connections arrive in their own time; nothing here waits longer than it has to.
    // The bystander's and the one that asks are there.
    const deadline = Date.now() + close_ms_max;
    while ((sockets() > before.sockets || (await upstreamSessions()) > 2) && Date.now() < deadline)
      await bystander.query('select 1');
    expect({ seed, left: sockets() > before.sockets, upstream: await upstreamSessions() }).toEqual({
      seed,
      left: false,
      upstream: 2,
    });
    // What one collection makes free (a socket, with its buffers) is given back by a later one.
    let grown = memory() - before.memory;
    for (const until = Date.now() + close_ms_max; grown >= heap_bytes_max && Date.now() < until;) {
      await bystander.query('select 1');
      grown = memory() - before.memory;
    }
    expect(grown).toBeLessThan(heap_bytes_max);
    expect(rows(await bystander.exchange(message.query('select 42')))).toEqual([['42']]);
  }, 180_000);
});
