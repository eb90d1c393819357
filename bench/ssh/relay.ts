/**
 * The least that stands between two connections: what comes is passed on, and nothing is looked at. It can't: what it passes is
 * encrypted for somebody else. What the gateway takes beyond this is two ends of SSH, judging and recording.
 *
 *   node --import ./bench/typescript.mjs bench/ssh/relay.ts HOST PORT      prints the port that it listens on
 */
import { connect, createServer, type AddressInfo } from 'node:net';

const [, , host = '127.0.0.1', port = '22'] = process.argv;

const server = createServer({ noDelay: true }, (client) => {
  const upstream = connect({ host, port: Number(port), noDelay: true });
  client.pipe(upstream).pipe(client);
  for (const [one, other] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    one.on('error', () => other.destroy());
    one.on('close', () => other.destroy());
  }
});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
process.on('SIGTERM', () => process.exit(0));
