import type { Client as SshClient } from 'ssh2';
import { UpstreamError } from '../../errors.js';
import { algorithms } from './algorithms.js';
import type { SshUpstream } from './config.js';
import { fingerprintOf } from './hostkeys.js';
import { Client, makeKey } from './library.js';
import { mint, presentMinted } from './minted.js';

/** A connection to the host, logged in. The only place that ever sees its credential. */

const connect_ms_max = 20_000;
const keep_alive_ms = 15_000;

/** The host knows another credential than the gateway has. */
export class NotLetIn extends UpstreamError {}

/**
 * @param who For whom, where a certificate is made: the host logs it.
 * @throws UpstreamError that says what a person can do about it, and holds no secret.
 */
export function connectUpstream(upstream: SshUpstream, signal: AbortSignal, who: string): Promise<SshClient> {
  const { host, port, user, passphrase, password, hostKey, authority } = upstream;
  const minted = authority === undefined ? undefined : mint(authority, who);
  // The library shows a certificate where it would show a key: it is given one that is never used.
  const privateKey = minted === undefined ? upstream.privateKey : makeKey().private;
  const client = new Client();
  let shown: string | undefined;
  return new Promise((resolve, reject) => {
    const abort = () => client.destroy();
    const fail = (error: Error) => {
      signal.removeEventListener('abort', abort);
      client.destroy();
      const Kind = shown === undefined && isAuthentication(error) ? NotLetIn : UpstreamError;
      reject(new Kind(whyNot(error, `${host}:${port}`, user, shown), { cause: error }));
    };
    if (signal.aborted) return fail(new Error('the client went away'));
    signal.addEventListener('abort', abort, { once: true });
    client
      .on('ready', () => {
        signal.removeEventListener('abort', abort);
        client.off('error', fail);
        // What goes wrong later ends its channels; there is always somebody who listens.
        client.on('error', () => client.destroy());
        resolve(client);
      })
      .on('error', fail)
      .once('close', () => fail(new Error('it closed the connection')))
      .connect({
        host,
        port,
        username: user,
        ...(privateKey !== undefined && { privateKey }),
        ...(passphrase !== undefined && minted === undefined && { passphrase }),
        ...(password !== undefined && { password, tryKeyboard: false }),
        algorithms,
        readyTimeout: connect_ms_max,
        keepaliveInterval: keep_alive_ms,
        hostVerifier: (key: Buffer) => {
          const good = hostKey(key);
          if (!good) shown = fingerprintOf(key);
          return good;
        },
      });
    if (minted !== undefined) presentMinted(client, minted);
  });
}

const isAuthentication = (error: Error & { level?: string }) => error.level === 'client-authentication';

function whyNot(error: Error, address: string, user: string, shown: string | undefined): string {
  if (shown !== undefined)
    return `the host ${address} shows another key (${shown}) than the configuration has: somebody may stand in between, or it was installed anew`;
  if (isAuthentication(error)) return `the host ${address} does not let ${user} log in with the gateway's credential`;
  return `the host ${address} cannot be reached`;
}
