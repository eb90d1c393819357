import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import type { AuthContext, Connection, ServerChannel } from 'ssh2';
import { GatewayError, IdentityError, UpstreamError } from '../../errors.js';
import type {
  Bounds,
  Client,
  Identity,
  ListenAddress,
  Listener,
  Obligation,
  Services,
  Target,
} from '../../protocol.js';
import { boundsOf, Doorway, letIn } from '../../web/index.js';
import { algorithms } from './algorithms.js';
import { certified, showsCertificate } from './certificate.js';
import type { SshUpstream } from './config.js';
import { exitFailed, line, wordsOf } from './enforce.js';
import { hostCertificate } from './host-certificate.js';
import { fingerprintOf } from './hostkeys.js';
import { Server, utils } from './library.js';
import { Patience } from './patience.js';
import { SshSession } from './session.js';

/**
 * From a TCP connection to a session: key exchange, the token, the target. The user name is the target, and the token is
 * the password, or stands in a certificate; whoever has none gets no further.
 *
 * @see RFC 4252 (authentication), RFC 4256 (keyboard-interactive)
 */

/** Each takes more than of other protocols. Its time is from a connection to a session, and from the end of one to the end of the other. */
const usual: Partial<Bounds> = { connections_max: 1_000, strangers_max: 250, greeting_ms_max: 60_000 };
/** Of one connection; each costs the client a while. */
const attempts_max = 6;
const attempt_ms = 250;
/** Keys that are no certificates, of which agents hold many. They are looked at by nobody. */
const keys_max = 64;

/**
 * What the server calls itself (RFC 4253, 4.2). By the comment, clients that know two orders of a symbolic link's names over SFTP take
 * OpenSSH's, in which the gateway reads them; without it they would make the link where it should lead to.
 */
const ident = 'Sallyport OpenSSH_9.9';

const obligations: ReadonlySet<Obligation> = new Set(['mask', 'approval', 'limit.bytes', 'limit.seconds']);
/** Where recordings are kept, copies are. */
const withCopies: ReadonlySet<Obligation> = new Set([...obligations, 'keep']);

/** Addresses that stand for all of them, and are nobody's name. */
const anywhere: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

export interface ListenOptions {
  readonly address: ListenAddress;
  readonly services: Services;
  /** The private key in OpenSSH's form. */
  readonly hostKey: string;
  /** Who vouches for it, in the same form. */
  readonly authority: string;
}

/** What of the library is not in its types. */
interface ServerInsides {
  maxConnections: number;
  readonly _srv: NodeJS.EventEmitter;
}
interface ConnectionInsides {
  readonly _sock: Socket;
}
const socketOf = (connection: Connection): Socket => (connection as unknown as ConnectionInsides)._sock;

export async function listen({ address, services, hostKey, authority }: ListenOptions): Promise<Listener> {
  const key = utils.parseKey(hostKey);
  if (key instanceof Error) throw key;
  const names = [...new Set([address.host, ...(services.names ?? [])])].filter((name) => !anywhere.has(name));
  const certificate = hostCertificate({ key, authority, names });
  const connections = new Set<Connection>();
  const sessions = new Set<SshSession>();
  const bounds = boundsOf(address, usual);
  const doorway = new Doorway(bounds);
  const patience = new Patience(bounds.greeting_ms_max);
  // A key that was read already is taken as well; the types do not say so.
  const hostKeys = [...(certificate === undefined ? [] : [{ key: certificate.key }]), hostKey] as string[];
  const server = new Server({ hostKeys, algorithms, ident }, (connection, info) => {
    certificate?.present(connection);
    connections.add(connection);
    connection.once('close', () => connections.delete(connection));
    const client: Client = {
      address: info.ip.replace(/^::ffff:/u, ''),
      port: info.port,
      confidential: true,
    };
    greet({ connection, client, services, sessions, patience, doorway });
  });
  // The library tells of a connection once its first line has come: one that never says it is bounded here.
  const insides = server as unknown as ServerInsides;
  insides.maxConnections = doorway.connections_max;
  insides._srv.on('connection', (socket: Socket) => {
    doorway.enter(socket);
    socket.on('data', () => holdBack(socket));
  });
  server.listen(address.port, address.host);
  await once(server as unknown as NodeJS.EventEmitter, 'listening');
  server.on('error', (error: Error) => services.log.error({ err: error }, 'the ssh listener failed'));
  const bound = server.address() as AddressInfo;
  return {
    protocol: 'ssh',
    address: { host: bound.address, port: bound.port },
    hostKeys: [`${key.type} ${key.getPublicSSH().toString('base64')}`],
    ...(certificate === undefined ? {} : { hostAuthority: certificate.authority }),
    note: `host key ${fingerprintOf(key.getPublicSSH())}`,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      patience.end();
      for (const session of sessions) session.end('terminating connection: the gateway shuts down');
      for (const connection of connections) connection.end();
      await closed;
      doorway.close();
    },
  };
}

/** Of answers to what a client asks in a row (requests, channels that it opens), for which the library does not wait. */
const answers_bytes_max = 1_048_576;

/** Who does not take the answers is not read any further. */
function holdBack(socket: Socket): void {
  if (socket.writableLength < answers_bytes_max || socket.isPaused()) return;
  socket.pause();
  socket.once('drain', () => socket.resume());
}

interface Greeting {
  readonly connection: Connection;
  readonly client: Client;
  readonly services: Services;
  readonly sessions: Set<SshSession>;
  /** With those whose session is over. */
  readonly patience: Patience;
  readonly doorway: Doorway;
}

function greet({ connection, client, services, sessions, patience, doorway }: Greeting): void {
  const { log } = services;
  let identity: Identity | undefined;
  let target = '';
  let attempts = 0;
  let keys = 0;
  connection.on('error', (error) => log.debug({ err: error, client: client.address }, 'an ssh connection broke'));
  connection.on('authentication', (context) => {
    let aborted = false;
    // The client tries another way meanwhile: an answer now would be taken for that one's.
    context.once('abort', () => (aborted = true));
    const answered = signIn(context, services, client).then(
      (known) => {
        if (aborted) return;
        // To a certificate with which nothing was signed yet, it says no more than that it is worth it.
        if (context.method === 'publickey' && context.signature === undefined) return context.accept();
        identity = known;
        target = context.username;
        context.accept();
      },
      async (error: unknown) => {
        if (aborted) return;
        if (!(error instanceof IdentityError)) log.error({ err: error }, 'a sign-in broke');
        if (error instanceof IdentityError && error.reason === 'missing')
          return (keys += 1) > keys_max ? void connection.end() : context.reject(methods);
        attempts += 1;
        if (attempts >= attempts_max) return void connection.end();
        // Whoever guesses waits longer each time.
        await new Promise((resolve) => setTimeout(resolve, attempt_ms * attempts));
        context.reject(methods);
      },
    );
    answered.catch((error: unknown) => {
      log.error({ err: error }, 'a sign-in broke');
      connection.end();
    });
  });
  connection.once('ready', () => {
    const problem = identity === undefined ? 'nobody signed in' : admit(identity, target);
    if (typeof problem === 'string') turnAway(connection, problem);
    else doorway.greeted(socketOf(connection));
  });

  /** Whoever is known may be good for another target only, or the session cannot be recorded: they are told, as of a target that is not there. */
  function admit(known: Identity, name: string): string | undefined {
    try {
      return open(known, name);
    } catch (error) {
      if (!(error instanceof GatewayError)) log.error({ err: error }, 'a session could not be opened');
      return wordsOf(error);
    }
  }

  function open(known: Identity, name: string): string | undefined {
    const full = letIn(socketOf(connection), known.principal);
    if (full !== undefined) return full;
    const found = services.target('ssh', name);
    const problem = unusable(found, name);
    if (problem !== undefined || found === undefined) return problem;
    const supports = services.recorder === undefined ? obligations : withCopies;
    const session = services.openSession({ identity: known, target: found, client, supports });
    const opened: SshSession = new SshSession({
      connection,
      session,
      upstream: found.upstream as SshUpstream,
      log: log.child({ session: session.id, target: name }),
      recorder: services.recorder,
      closed: () => {
        sessions.delete(opened);
        patience.begin(socketOf(connection));
      },
    });
    sessions.add(opened);
    return undefined;
  }
}

const methods: ('publickey' | 'password' | 'keyboard-interactive')[] = [
  'publickey',
  'password',
  'keyboard-interactive',
];

/** OpenSSH cuts a typed password there, without a word. */
const typed_bytes_max = 1_023;

/** @throws IdentityError; its reason is `missing` where no token was shown at all. */
async function signIn(context: AuthContext, services: Services, client: Client): Promise<Identity> {
  if (context.method === 'publickey' && showsCertificate(context)) return certified(context, services, client);
  const token = await tokenOf(context);
  if (token === '') throw new IdentityError('missing', 'sign in with a token as the password');
  if (token.length === typed_bytes_max && token.split('.').length !== 3)
    throw new IdentityError('cut', 'the token was cut off at 1023 characters, as a typed password is');
  return services.identify(token, client);
}

function tokenOf(context: AuthContext): Promise<string> {
  if (context.method === 'password') return Promise.resolve(context.password);
  if (context.method !== 'keyboard-interactive') return Promise.resolve('');
  return new Promise((resolve) => {
    context.once('abort', () => resolve(''));
    context.prompt([{ prompt: 'Token as password: ', echo: false }], 'Sallyport', ([answer = '']) => resolve(answer));
  });
}

function unusable(target: Target | undefined, name: string): string | undefined {
  if (target === undefined)
    return `there is no target "${name}": the user name says which target is meant (ssh TARGET@gateway)`;
  if (target.unavailable !== undefined)
    return new UpstreamError(`target "${name}" is not available: ${target.unavailable}`).message;
  return undefined;
}

/** Signed in, and nowhere to go: whoever opens a channel is told. */
function turnAway(connection: Connection, problem: string): void {
  connection.on('session', (accept) => {
    const session = accept();
    const tell = (acceptChannel: () => ServerChannel) => {
      const channel = acceptChannel();
      channel.once('close', () => connection.end());
      channel.stderr.end(line(problem), () => {
        channel.exit(exitFailed);
        channel.end();
      });
    };
    session.on('exec', tell);
    session.on('shell', tell);
    session.on('subsystem', tell);
    session.on('pty', (acceptPty) => acceptPty?.());
  });
}
