import type { Duplex } from 'node:stream';
import type { Client, ClientChannel, Connection, ServerChannel } from 'ssh2';
import type { Result, Session } from '../../protocol.js';
import { forwardOperation, type Place } from './operation.js';
import { Allowance, type Limits } from './limits.js';
import { permit } from './permit.js';
import type { SshOperation } from './schema.js';

/**
 * Forwardings: each connection of a local one is an operation, and each listening of a remote one. What is refused is
 * refused at once, so that nothing hangs. The client's ssh-agent is in a file of its own; X11 is never accepted: it lends the client's
 * screen to the host.
 */

/** Listeners on the host for one client. */
const remotes_max = 16;

/** Listens for what one client wants forwarded. */
export function forward(
  connection: Connection,
  session: Session,
  place: Place,
  connected: Promise<Client | string>,
  gone: AbortSignal,
): void {
  new Forwardings(connection, session, place, connected, gone);
}

class Forwardings {
  readonly #connection: Connection;
  readonly #session: Session;
  readonly #place: Place;
  readonly #connected: Promise<Client | string>;
  readonly #gone: AbortSignal;
  /** What listens on the host, and what each connection to it may take. */
  readonly #remote = new Map<string, Listening>();
  /** Of those the ones that are not there yet: the bound holds for all that were asked for at once. */
  #asked = 0;

  constructor(
    connection: Connection,
    session: Session,
    place: Place,
    connected: Promise<Client | string>,
    gone: AbortSignal,
  ) {
    this.#connection = connection;
    this.#session = session;
    this.#place = place;
    this.#connected = connected;
    this.#gone = gone;
    connection.on(
      'tcpip',
      (accept, reject, { destIP, destPort, srcIP, srcPort }) =>
        void this.#local({ kind: 'local', host: destIP, port: destPort }, accept, reject, (client, done) =>
          client.forwardOut(srcIP, srcPort, destIP, destPort, done),
        ),
    );
    connection.on(
      'openssh.streamlocal',
      (accept, reject, { socketPath }) =>
        void this.#local({ kind: 'local_socket', socket: socketPath }, accept, reject, (client, done) =>
          client.openssh_forwardOutStreamLocal(socketPath, done),
        ),
    );
    connection.on('request', (accept, reject, name, info) => void this.#request(accept, reject, name, info));
    void connected.then((client) => {
      if (typeof client !== 'string') this.#incoming(client);
    });
  }

  async #permitted(forward: NonNullable<SshOperation['forward']>) {
    const client = await this.#connected;
    if (typeof client === 'string') return undefined;
    const allowed = await permit(this.#session, forwardOperation(this.#place, forward), {
      wait: () => undefined,
      gone: this.#gone,
    });
    return allowed.allowed ? { client, settle: allowed.settle, limits: allowed.limits } : undefined;
  }

  async #local(
    forward: NonNullable<SshOperation['forward']>,
    accept: () => ServerChannel,
    reject: () => void,
    open: (client: Client, done: (error: Error | undefined, channel: ClientChannel) => void) => unknown,
  ): Promise<void> {
    const allowed = await this.#permitted(forward);
    if (allowed === undefined) return reject();
    const failed = () => {
      allowed.settle({ status: 'error' });
      reject();
    };
    const opened = (error: Error | undefined, upstream: ClientChannel) => {
      if (error) return failed();
      join(halfOpen(accept()), upstream, allowed.limits, this.#gone, ({ stopped, ...counted }) =>
        allowed.settle(
          stopped ? { status: 'cancelled', code: 'limit_exceeded', ...counted } : { status: 'ok', ...counted },
        ),
      );
    };
    asked(() => open(allowed.client, opened), failed);
  }

  async #request(
    accept: ((port?: number) => void) | undefined,
    reject: (() => void) | undefined,
    name: string,
    info: RequestInfo,
  ): Promise<void> {
    const tcp = name === 'tcpip-forward';
    if (!tcp && name !== 'streamlocal-forward@openssh.com') return this.#cancel(accept, reject, name, info);
    if (this.#remote.size + this.#asked >= remotes_max) return reject?.();
    this.#asked += 1;
    const allowed = await this.#permitted(
      tcp
        ? { kind: 'remote', host: info.bindAddr ?? '', port: info.bindPort ?? 0 }
        : { kind: 'remote_socket', socket: info.socketPath ?? '' },
    );
    if (allowed === undefined) {
      this.#asked -= 1;
      return reject?.();
    }
    const listening = (error: Error | null | undefined, port?: number) => {
      this.#asked -= 1;
      if (error) {
        allowed.settle({ status: 'error' });
        return reject?.();
      }
      const chosen = port === undefined || port === 0 ? (info.bindPort ?? 0) : port;
      const key = tcp ? `${info.bindAddr}:${chosen}` : (info.socketPath ?? '');
      this.#remote.get(key)?.end();
      this.#remote.set(key, new Listening(allowed, this.#gone));
      accept?.(chosen);
    };
    asked(() => {
      if (tcp) allowed.client.forwardIn(info.bindAddr ?? '', info.bindPort ?? 0, listening);
      else allowed.client.openssh_forwardInStreamLocal(info.socketPath ?? '', listening);
    }, listening);
  }

  async #cancel(
    accept: (() => void) | undefined,
    reject: (() => void) | undefined,
    name: string,
    info: RequestInfo,
  ): Promise<void> {
    const client = await this.#connected;
    const key = name === 'cancel-tcpip-forward' ? `${info.bindAddr}:${info.bindPort}` : (info.socketPath ?? '');
    const listening = this.#remote.get(key);
    if (typeof client === 'string' || listening === undefined) return reject?.();
    this.#remote.delete(key);
    listening.end();
    const done = (error?: Error | null) => (error ? reject?.() : accept?.());
    asked(() => {
      if (name === 'cancel-tcpip-forward') client.unforwardIn(info.bindAddr ?? '', info.bindPort ?? 0, done);
      else if (name === 'cancel-streamlocal-forward@openssh.com')
        client.openssh_unforwardInStreamLocal(info.socketPath ?? '', done);
      else reject?.();
    }, done);
  }

  /** Whoever connects to what listens on the host is led to the client. */
  #incoming(client: Client): void {
    client.on('tcp connection', ({ destIP, destPort, srcIP, srcPort }, accept, reject) => {
      const listening = this.#remote.get(`${destIP}:${destPort}`);
      if (listening === undefined) return reject();
      this.#connection.forwardOut(destIP, destPort, srcIP, srcPort, (error, channel) => {
        if (!error) listening.carry(halfOpen(channel), accept());
        else reject();
      });
    });
    client.on('unix connection', ({ socketPath }, accept, reject) => {
      const listening = this.#remote.get(socketPath);
      if (listening === undefined) return reject();
      this.#connection.openssh_forwardOutStreamLocal(socketPath, (error, channel) => {
        if (!error) listening.carry(halfOpen(channel), accept());
        else reject();
      });
    });
  }
}

/** Asks the host for something. The library throws where the connection to it ended a moment ago, in whoever's time that is. */
function asked(ask: () => unknown, failed: (error: Error) => void): void {
  try {
    ask();
  } catch (error) {
    failed(error instanceof Error ? error : new Error(String(error)));
  }
}

/** What listens on the host: its operation is over when it no longer does, and its connections are. */
export class Listening {
  readonly #limits: Limits;
  readonly #settle: (result: Result) => void;
  readonly #gone: AbortSignal;
  #open = 0;
  #over = false;
  #connections = 0;
  #bytes = 0;
  #sent_bytes = 0;

  constructor({ limits, settle }: { limits: Limits; settle: (result: Result) => void }, gone: AbortSignal) {
    this.#limits = limits;
    this.#settle = settle;
    this.#gone = gone;
    if (gone.aborted) this.end();
    else gone.addEventListener('abort', () => this.end(), { once: true });
  }

  /** One connection to it, led to the client. */
  carry(client: Duplex, upstream: Duplex): void {
    this.#connections += 1;
    this.#open += 1;
    join(client, upstream, this.#limits, this.#gone, ({ bytes, sent_bytes }) => {
      this.#bytes += bytes;
      this.#sent_bytes += sent_bytes;
      this.#open -= 1;
      this.#tell();
    });
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#tell();
  }

  #tell(): void {
    if (!this.#over || this.#open > 0) return;
    const [connections, bytes, sent_bytes] = [this.#connections, this.#bytes, this.#sent_bytes];
    this.#settle({ status: 'ok', bytes, sent_bytes, connections });
  }
}

interface RequestInfo {
  readonly bindAddr?: string;
  readonly bindPort?: number;
  readonly socketPath?: string;
}

/** The library closes a server's channel with its end of data, while the client may still send. */
export function halfOpen(channel: ServerChannel): ServerChannel {
  channel.removeAllListeners('prefinish').removeAllListeners('finish');
  channel.once('finish', () => void channel.eof());
  return channel;
}

/** A channel is closed when all that came was read, and one that was piped to what is gone reads no more by itself. */
function leave(channel: Duplex): void {
  channel.destroy();
  channel.resume();
}

/** What came from the second one, what went to it, and whether a limit ended it. */
interface Carried {
  readonly bytes: number;
  readonly sent_bytes: number;
  readonly stopped: boolean;
}

/** Both directions, until both have ended or one is gone. What came before an end is delivered before it. */
function join(
  one: Duplex,
  other: Duplex,
  limits: Limits,
  client: AbortSignal,
  ended: (carried: Carried) => void,
): void {
  let bytes = 0;
  let sent_bytes = 0;
  let open = 2;
  let stopped = false;
  const drop = () => {
    leave(one);
    leave(other);
  };
  const allowance = new Allowance(limits, () => {
    stopped = true;
    drop();
  });
  // With its connection, the library closes no channels.
  client.addEventListener('abort', drop, { once: true });
  other.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  one.on('data', (chunk: Buffer) => {
    sent_bytes += chunk.length;
  });
  one.pipe(other);
  (limits.bytes === undefined ? other : other.pipe(allowance.stream())).pipe(one);
  const follow = (gone: Duplex, left: Duplex) => {
    const close = () => {
      if (left.destroyed) return;
      left.end(() => leave(left));
    };
    gone.once('close', () => {
      open -= 1;
      if (open === 0) {
        allowance.close();
        client.removeEventListener('abort', drop);
        ended({ bytes, sent_bytes, stopped: stopped || allowance.exceeded });
      }
      if (gone.readableEnded || gone.destroyed) close();
      else gone.once('end', close);
    });
    gone.on('error', () => {
      gone.destroy();
      left.destroy();
    });
  };
  follow(one, other);
  follow(other, one);
}
