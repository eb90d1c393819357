import { connect } from 'node:net';

const reach_ms_max = 3_000;

/** Whether somebody accepts a connection there; nothing is sent. Rejects with why not. */
export function reach(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    // The folder of a Unix socket, as Postgres's clients name it.
    const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect({ host, port });
    socket.setTimeout(reach_ms_max, () => socket.destroy(new Error(`no answer within ${reach_ms_max / 1000} s`)));
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', reject);
  });
}

/** Host and port of a URL. */
export function placeOf(url: string): { readonly host: string; readonly port: number } {
  const { hostname, port, protocol } = new URL(url);
  const byDefault = protocol === 'http:' ? 80 : protocol.startsWith('postgres') ? 5432 : 443;
  return { host: hostname.replace(/^\[|\]$/gu, ''), port: port === '' ? byDefault : Number(port) };
}
