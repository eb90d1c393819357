import type { Decision } from '#engine';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { GatewayError, IdentityError, ProtocolError } from '../../errors.js';
import type {
  Client,
  Enforced,
  Identity,
  ListenAddress,
  Listener,
  Obligation,
  Services,
  Session,
  Target,
} from '../../protocol.js';
import { authenticate } from './session/authenticate.js';
import { CancelKeys } from './session/cancel.js';
import { noKinds, type Kinds } from '../../content/index.js';
import { boundsOf, certificateOf, Doorway, letIn, securedBy } from '../../web/index.js';
import * as codec from './codec.js';
import { maskNotice } from './enforcing/content.js';
import { askedOf } from './enforcing/patterns.js';
import { RewriteRefusal } from './enforcing/rewriting.js';
import { startupCode } from './codec.js';
import type { PostgresUpstream } from './config.js';
import { denial, failure, sqlstates } from './enforce.js';
import { connectOperation, type Place } from './operation.js';
import { promptIn, promptOfApplication, promptSetting } from './prompt.js';
import { UpstreamRefusal } from './refusal.js';
import { PostgresSession, type SessionParts } from './session/session.js';
import { tlsOf, type Tls } from './wire/encryption.js';
import { readStartup, RefusedSetting, unsafeSetting, type StartupRequest } from './wire/startup.js';
import type { Ask, Interpreter } from './judging/statement.js';
import { Onlookers } from './onlooker.js';
import { connectUpstream, type Upstream } from './upstream.js';

/**
 * From a TCP connection to a session: encryption, the start-up packet, the token, the target, the connect operation, the
 * upstream. Each step refuses in the protocol's own words, and nothing goes upstream before policy allowed the connect.
 *
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
 */

/** From the connection to a session. */
const greeting_ms_default = 60_000;
/** What is made of an allow to connect: nothing is rewritten. */
const nothing: Enforced = {};

/**
 * A client may wait for an approval for long, without a byte in either direction: the kernel's own probes keep what
 * stands between from forgetting the connection, and find out who is gone. No driver sees them.
 */
const keep_alive_ms = 30_000;

/** What policy may ask of a statement beside a yes or a no. */
const obligations: ReadonlySet<Obligation> = new Set([
  'mask',
  'filter',
  'limit.rows',
  'limit.bytes',
  'limit.seconds',
  'approval',
]);

export type MakeInterpreter = (target: string, place: Place, ask: Ask) => Interpreter;

export async function listen(
  address: ListenAddress,
  services: Services,
  makeInterpreter: MakeInterpreter,
): Promise<Listener> {
  const tls = address.tls && tlsOf(address.tls);
  const doorway = new Doorway(boundsOf(address, { greeting_ms_max: greeting_ms_default }));
  const cancelKeys = new CancelKeys(services.log);
  const onlookers = new Onlookers();
  const greetings = new Set<Greeting>();
  const sessions = new Set<PostgresSession>();
  const server: Server = createServer(
    { pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: keep_alive_ms },
    (socket) => {
      doorway.enter(socket);
      const greeting = new Greeting(socket, { services, tls, cancelKeys, onlookers, makeInterpreter, doorway });
      greetings.add(greeting);
      void greeting.run(sessions).finally(() => greetings.delete(greeting));
    },
  );
  server.maxConnections = doorway.connections_max;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', (error) => services.log.error({ error }, 'the postgres listener failed'));
  const bound = server.address() as AddressInfo;
  return {
    protocol: 'postgres',
    address: { host: bound.address, port: bound.port },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const greeting of greetings) greeting.abort();
      for (const session of sessions) session.shutDown();
      await closed;
      onlookers.close();
      doorway.close();
    },
  };
}

/** What each connection is served with. */
interface Parts {
  readonly services: Services;
  readonly tls: Tls | undefined;
  readonly cancelKeys: CancelKeys;
  readonly onlookers: Onlookers;
  readonly makeInterpreter: MakeInterpreter;
  readonly doorway: Doorway;
}

/** A server that let the gateway in, and what it was let in with. */
interface Connected {
  readonly connection: Upstream;
  readonly place: Place;
  readonly upstream: PostgresUpstream;
  readonly content: Kinds;
}

const unavailable = ({ input, unavailable: why = 'its credential cannot be had' }: Target) =>
  new Refused(sqlstates.unavailable, `target "${input.name}" is not available: ${why}`);

/** One connection until it is a session. */
class Greeting {
  #socket: Socket;
  readonly #services: Services;
  readonly #parts: Parts;
  readonly #gone = new AbortController();
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket, parts: Parts) {
    this.#socket = socket;
    this.#services = parts.services;
    this.#parts = parts;
    socket.on('error', () => this.abort());
    socket.once('close', () => this.#gone.abort());
  }

  abort(): void {
    this.#gone.abort();
    this.#socket.destroy();
  }

  /** Says why, and closes. */
  async refuse(error: codec.ErrorFields): Promise<void> {
    if (this.#socket.destroyed) return;
    await new Promise<void>((resolve) => {
      this.#socket.once('close', () => resolve());
      this.#socket.end(codec.errorResponse(error));
      this.#socket.resume();
      setTimeout(() => this.#socket.destroy(), 1_000).unref();
    });
  }

  async run(sessions: Set<PostgresSession>): Promise<void> {
    try {
      const startup = await this.#startup();
      if (startup === undefined) return;
      await this.#signIn(startup, sessions);
    } catch (error) {
      if (this.#socket.destroyed) return;
      if (!(error instanceof GatewayError))
        this.#services.log.error({ error }, 'a connection broke while it was greeted');
      else
        this.#services.log.info(
          { reason: error.message, detail: error.detail, client: this.#socket.remoteAddress },
          'connection refused',
        );
      await this.refuse(refusal(error));
    }
  }

  /** Encryption requests, cancel requests, and at last a start-up packet. Undefined: nothing more is to be done. */
  async #startup(): Promise<StartupRequest | undefined> {
    for (let round = 0; round < 4; round++) {
      await this.#need(8);
      // A TLS record of type handshake: the client negotiates directly, without asking first (PostgreSQL 17).
      if (round === 0 && this.#rest[0] === 0x16 && this.#parts.tls !== undefined) {
        await this.#encrypt(true);
        continue;
      }
      const length = this.#rest.readInt32BE(0);
      if (length < 8 || length > codec.startup_bytes_max) throw new ProtocolError('invalid length of startup packet');
      const code = this.#rest.readInt32BE(4);
      await this.#need(length);
      const packet = this.#rest.subarray(0, length);
      this.#rest = this.#rest.subarray(length);
      if (code === startupCode.cancel) {
        this.#parts.cancelKeys.cancel(packet.subarray(8));
        this.#socket.end();
        return undefined;
      }
      if (code === startupCode.ssl || code === startupCode.gssEncryption) {
        // What came behind the request came before the encryption: somebody else may have written it (CVE-2021-23222).
        if (this.#rest.length > 0) throw new ProtocolError('received unencrypted data after an encryption request');
        if (code === startupCode.ssl && this.#parts.tls !== undefined && !('encrypted' in this.#socket)) {
          this.#socket.write('S');
          await this.#encrypt(false);
        } else {
          this.#socket.write('N');
        }
        continue;
      }
      const message = codec.decodeStartup(packet);
      const startup = readStartup(message.parameters);
      if (message.minor > 0 || startup.unknownOptions.length > 0) {
        this.#socket.write(codec.negotiateProtocolVersion(0, startup.unknownOptions));
      }
      return startup;
    }
    throw new ProtocolError('too many encryption requests');
  }

  async #encrypt(direct: boolean): Promise<void> {
    const plain = this.#socket;
    if (direct) {
      plain.unshift(this.#rest);
      this.#rest = Buffer.alloc(0);
    }
    const secure = await this.#parts.tls!.encrypt(plain);
    secure.on('error', () => this.abort());
    securedBy(plain, secure);
    this.#socket = secure;
    // Without the name of the protocol, another one's client could be led here (ALPACA).
    if (direct && secure.alpnProtocol !== 'postgresql')
      throw new ProtocolError('direct TLS needs the ALPN protocol "postgresql"');
  }

  async #signIn(startup: StartupRequest, sessions: Set<PostgresSession>): Promise<PostgresSession | undefined> {
    const client = this.#client();
    if (!client.confidential) {
      throw new Refused(
        sqlstates.noTls,
        'a token may not travel in clear: connect with TLS (sslmode=require or better)',
      );
    }
    const identity = await authenticate(
      {
        send: (message) => this.#socket.write(message),
        next: (type, bytes_max) => this.#message(type, bytes_max),
      },
      {
        ...{ user: startup.user, client, certificate: certificateOf(this.#socket) },
        endPoint: 'encrypted' in this.#socket ? this.#parts.tls?.endPoint : undefined,
      },
      this.#services,
    );
    const full = letIn(this.#socket, identity.principal);
    if (full !== undefined) throw new Refused(sqlstates.tooMany, `sorry, ${full}`);
    const target = this.#target(startup.target, identity);
    const named = startup.settings.get(promptSetting);
    const prompt = promptIn(named ?? '') ?? promptOfApplication(startup.application) ?? identity.prompt;
    const session = this.#services.openSession({
      identity,
      target,
      client,
      ...(startup.application === undefined ? {} : { application: startup.application }),
      ...(prompt === undefined ? {} : { prompt }),
      supports: obligations,
    });
    let connection: Upstream | undefined;
    try {
      const connected = await this.#connect(session, startup);
      if (connected === undefined) return undefined;
      const { place, upstream, content } = connected;
      connection = connected.connection;
      for (const [name, value] of connection.parameters) {
        const unsafe = unsafeSetting(name, value);
        if (unsafe !== undefined) throw new RefusedSetting(unsafe);
      }
      if (this.#gone.signal.aborted) throw new ProtocolError('the client went away');
      const parts = { content, claimed: named !== undefined };
      return this.#open(session, connection, place, upstream, sessions, parts);
    } catch (error) {
      connection?.socket.destroy();
      session.close('failed');
      throw error;
    }
  }

  /**
   * Asks policy, then signs in to the server; undefined where policy said no, and the client was told. A server that refuses
   * the gateway's credential is tried once more where there is another by now: as an operation of its own, since the user may
   * be another with it.
   */
  async #connect(session: Session, startup: StartupRequest, again = false): Promise<Connected | undefined> {
    const { target } = session;
    const name = target.input.name;
    const upstream = target.upstream as PostgresUpstream | undefined;
    if (upstream === undefined) throw unavailable(target);
    const place: Place = { database: startup.database ?? upstream.database, user: upstream.user };
    const operation = connectOperation(place, startup.settings);
    const submission = await session.submit(operation, { transaction: 'idle' }, () => nothing);
    if (submission.decision.outcome !== 'allow') {
      await this.refuse(denial(submission.decision, name, 'FATAL'));
      session.close('denied');
      return undefined;
    }
    const content = contentOf(submission.decision);
    await submission.recorded;
    try {
      const connection = await connectUpstream({
        upstream,
        target: name,
        database: place.database,
        settings: startup.settings,
        maskKey: this.#services.maskKey?.(name),
        signal: this.#gone.signal,
      });
      submission.settle({ status: 'ok' });
      return { connection, place, upstream, content };
    } catch (error) {
      submission.settle({ status: 'error', code: sqlstates.upstream });
      const refused = !again && error instanceof UpstreamRefusal && error.credential;
      if (!refused || (await target.renew?.(upstream)) !== true) throw error;
      return this.#connect(session, startup, true);
    }
  }

  #open(
    session: Session,
    upstream: Upstream,
    place: Place,
    settings: PostgresUpstream,
    sessions: Set<PostgresSession>,
    { content, claimed }: Pick<SessionParts, 'content' | 'claimed'>,
  ): PostgresSession {
    const socket = this.#socket;
    const { target } = session;
    const name = target.input.name;
    const key = this.#parts.cancelKeys.issue(upstream.cancelKey, settings, name, () => opened.cancelHeld());
    const notices = upstream.notices.map((notice) =>
      content === noKinds ? notice : (maskNotice({ buffer: notice, start: 0, end: notice.length }, content) ?? notice),
    );
    const greeting = [codec.authenticationOk, ...notices];
    for (const [parameter, value] of upstream.parameters) greeting.push(codec.parameterStatus(parameter, value));
    greeting.push(codec.backendKeyData(key.processId, key.secret), codec.readyForQuery('I'));
    socket.write(Buffer.concat(greeting));
    const opened: PostgresSession = new PostgresSession({
      client: socket,
      upstream,
      session,
      content,
      claimed,
      place,
      log: this.#services.log.child({ session: session.id, target: name }),
      onlooker: this.#parts.onlookers.of(name, place.database, place.user, () =>
        // With the credential that is in force by then.
        connectUpstream({
          upstream: (target.upstream as PostgresUpstream | undefined) ?? settings,
          target: name,
          database: place.database,
          settings: new Map(),
        }),
      ),
      makeInterpreter: (ask) => this.#parts.makeInterpreter(name, place, ask),
      cancel: () => this.#parts.cancelKeys.cancelOne(key),
      closed: () => {
        this.#parts.cancelKeys.revoke(key);
        sessions.delete(opened);
      },
    });
    this.#parts.doorway.greeted(socket);
    // Before it starts: a session may be over by the time that it has started.
    sessions.add(opened);
    opened.start(this.#rest, upstream.rest);
    return opened;
  }

  #target(name: string, identity: Identity): Target {
    const target = this.#services.target('postgres', name);
    if (target === undefined) {
      throw new Refused(
        sqlstates.noTarget,
        `there is no target "${name}": the database name says which target is meant ("TARGET", or "TARGET/database")`,
      );
    }
    if (target.unavailable !== undefined) {
      this.#services.log.warn(
        { target: name, subject: identity.principal.subject, reason: target.unavailable },
        'target unavailable',
      );
      throw unavailable(target);
    }
    return target;
  }

  /** The next message, which has to be of this type; with its header. */
  async #message(type: number, bytes_max: number): Promise<Buffer> {
    await this.#need(5);
    if (this.#rest[0] !== type) {
      throw new ProtocolError(`expected a password message, got ${codec.describeType(this.#rest[0]!)}`);
    }
    const length = this.#rest.readInt32BE(1);
    if (length < 5 || length > bytes_max) throw new ProtocolError('invalid password packet size');
    await this.#need(length + 1);
    const frame = this.#rest.subarray(0, length + 1);
    this.#rest = this.#rest.subarray(length + 1);
    return frame;
  }

  /** Reads until that many bytes are there. */
  async #need(bytes: number): Promise<void> {
    while (this.#rest.length < bytes) {
      const chunk = await this.#chunk();
      this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    }
  }

  #chunk(): Promise<Buffer> {
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      const done = () => {
        socket.pause();
        socket.off('data', data);
        socket.off('end', ended);
        socket.off('close', ended);
      };
      const data = (chunk: Buffer) => {
        done();
        resolve(chunk);
      };
      const ended = () => {
        done();
        socket.destroy();
        reject(new ProtocolError('the client went away'));
      };
      socket.on('data', data);
      socket.on('end', ended);
      socket.on('close', ended);
      socket.resume();
    });
  }

  #client(): Client {
    const address = (this.#socket.remoteAddress ?? '').replace(/^::ffff:/, '');
    return {
      address,
      port: this.#socket.remotePort ?? 0,
      confidential: 'encrypted' in this.#socket || /^127\.|^::1$/.test(address),
    };
  }
}

/** Patterns that policy asks for at the connection itself. */
function contentOf(decision: Decision): Kinds {
  try {
    return askedOf(decision).content;
  } catch (error) {
    if (!(error instanceof RewriteRefusal)) throw error;
    throw new Refused(sqlstates.denied, `denied by policy: ${error.message}`);
  }
}

/** A refusal that has an SQLSTATE of its own. */
class Refused extends ProtocolError {
  readonly sqlstate: string;
  constructor(sqlstate: string, message: string) {
    super(message);
    this.sqlstate = sqlstate;
  }
}

function refusal(error: unknown): codec.ErrorFields {
  if (error instanceof Refused) return { severity: 'FATAL', sqlstate: error.sqlstate, message: error.message };
  if (error instanceof RefusedSetting)
    return { severity: 'FATAL', sqlstate: sqlstates.unsupported, message: error.message };
  if (error instanceof IdentityError)
    return { severity: 'FATAL', sqlstate: sqlstates.identity, message: error.message };
  return failure(error, 'FATAL');
}
