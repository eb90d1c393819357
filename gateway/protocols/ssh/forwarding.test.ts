import { EventEmitter } from 'node:events';
import { expect, test } from '@jest/globals';
import type { Client, Connection } from 'ssh2';
import type { Result, Session } from '../../protocol.js';
import { forward } from './forwarding.js';

/** A host whose connection ended a moment ago, which nobody was told of yet. */
function gone(): never {
  throw new Error('Not connected');
}

test('a forwarding to a host that is gone is refused, and breaks nothing else', async () => {
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
  const client = Object.assign(new EventEmitter(), {
    forwardOut: gone,
    openssh_forwardOutStreamLocal: gone,
    forwardIn: gone,
    openssh_forwardInStreamLocal: gone,
  });
  const connection = new EventEmitter();
  const place = { user: 'deploy', host: 'build.internal:22' };
  const connected = Promise.resolve(client as unknown as Client);
  forward(connection as Connection, session, place, connected, new AbortController().signal);
  const refused = (event: string, ...more: unknown[]) =>
    new Promise<void>((resolve) => connection.emit(event, () => undefined, resolve, ...more));
  await refused('tcpip', { destIP: '127.0.0.1', destPort: 80, srcIP: '127.0.0.1', srcPort: 1 });
  await refused('openssh.streamlocal', { socketPath: '/run/socket' });
  await refused('request', 'tcpip-forward', { bindAddr: '', bindPort: 0 });
  await refused('request', 'streamlocal-forward@openssh.com', { socketPath: '/run/socket' });
  expect(settled).toEqual(Array.from({ length: 4 }, () => ({ status: 'error' })));
});
