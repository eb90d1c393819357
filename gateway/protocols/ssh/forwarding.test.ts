import { EventEmitter } from 'node:events';
import { expect, test } from '@jest/globals';
import type { Client, Connection } from 'ssh2';
import type { Result, Session } from '../../protocol.js';
import { forward } from './forwarding.js';

/** A host whose connection ended a moment ago, which nobody was told of yet. */
function gone(): never {
  throw new Error('Not connected');
}

/** A session whose policy allows everything, and what became of it. */
function allowing(): { readonly session: Session; readonly settled: Result[] } {
  const settled: Result[] = [];
  const session = {
    target: { input: { name: 'build' } },
    submit: () =>
      Promise.resolve({
        decision: { id: 'd-1', outcome: 'allow', masks: [], limits: {} },
        recorded: Promise.resolve(),
        settle: (result: Result) => settled.push(result),
      }),
  } as unknown as Session;
  return { session, settled };
}

function forwarded(session: Session, host: object): EventEmitter {
  const connection = new EventEmitter();
  const place = { user: 'deploy', host: 'build.internal:22' };
  const client = Object.assign(new EventEmitter(), host) as unknown as Client;
  forward(connection as Connection, session, place, Promise.resolve(client), new AbortController().signal);
  return connection;
}

test('a forwarding to a host that is gone is refused, and breaks nothing else', async () => {
  const { session, settled } = allowing();
  const connection = forwarded(session, {
    forwardOut: gone,
    openssh_forwardOutStreamLocal: gone,
    forwardIn: gone,
    openssh_forwardInStreamLocal: gone,
  });
  const refused = (event: string, ...more: unknown[]) =>
    new Promise<void>((resolve) => connection.emit(event, () => undefined, resolve, ...more));
  await refused('tcpip', { destIP: '127.0.0.1', destPort: 80, srcIP: '127.0.0.1', srcPort: 1 });
  await refused('openssh.streamlocal', { socketPath: '/run/socket' });
  await refused('request', 'tcpip-forward', { bindAddr: '', bindPort: 0 });
  await refused('request', 'streamlocal-forward@openssh.com', { socketPath: '/run/socket' });
  expect(settled).toEqual(Array.from({ length: 4 }, () => ({ status: 'error' })));
});

test('no more listeners are asked for at once than there may be', async () => {
  const { session } = allowing();
  const listening: ((error: Error | undefined, port: number) => void)[] = [];
  const connection = forwarded(session, {
    forwardIn: (_address: string, _port: number, done: (typeof listening)[number]) => listening.push(done),
  });
  const asked = Array.from(
    { length: 20 },
    (_, index) =>
      new Promise<string>((resolve) =>
        connection.emit(
          'request',
          () => resolve('accepted'),
          () => resolve('refused'),
          'tcpip-forward',
          {
            bindAddr: '127.0.0.1',
            bindPort: 20_000 + index,
          },
        ),
      ),
  );
  expect(await Promise.all(asked.slice(16))).toEqual(['refused', 'refused', 'refused', 'refused']);
  while (listening.length < 16) await new Promise((resolve) => setImmediate(resolve));
  for (const [index, done] of listening.entries()) done(undefined, 20_000 + index);
  expect(new Set(await Promise.all(asked.slice(0, 16)))).toEqual(new Set(['accepted']));
});
