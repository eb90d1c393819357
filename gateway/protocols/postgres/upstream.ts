import { createHash } from 'node:crypto';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { types } from 'node:util';
import { serialize } from 'pg-protocol';
import { UpstreamError } from '../../errors.js';
import * as codec from './codec.js';
import { backend, startupCode } from './codec.js';
import type { PostgresUpstream } from './config.js';
import { UpstreamRefusal } from './refusal.js';
import { endPointOf } from './wire/end-point.js';
import { ScramClient } from './wire/scram.js';
import { promptSetting } from './prompt.js';
import { maskKeySetting } from './sql/masks/key.js';

/** A connection to the guarded server, signed in and ready. The only place that ever sees its credential. */
export interface Upstream {
  readonly socket: Socket;
  /** What the server reported at start-up, in its order. */
  readonly parameters: ReadonlyMap<string, string>;
  /** For CancelRequest; absent where the server gave none. */
  readonly cancelKey: Buffer | undefined;
  /** Notices that came before ReadyForQuery, as they came. */
  readonly notices: readonly Buffer[];
  /** Bytes behind ReadyForQuery. */
  readonly rest: Buffer;
}

const connect_ms_max = 10_000;
/** A server that talks and talks before it is ready is none. */
const greeting_frames_max = 1_000;

export interface UpstreamRequest {
  readonly upstream: PostgresUpstream;
  readonly target: string;
  readonly database: string;
  /** Settings that the client asked for at start-up, already judged. */
  readonly settings: ReadonlyMap<string, string>;
  /** What keyed masks read in the server, as hexadecimal digits; no client sees it. */
  readonly maskKey?: string | undefined;
  readonly signal?: AbortSignal;
}

/** Connects, encrypts, signs in. Throws UpstreamError, whose message names the target and never the credential. */
export async function connectUpstream(request: UpstreamRequest): Promise<Upstream> {
  try {
    return await connect(request);
  } catch (error) {
    // A pooler that knows no settings of extensions: keyed masks fail there, a prompt is the gateway's alone, and all else goes on.
    const unknown = error instanceof UpstreamRefusal && error.detail?.includes('sallyport.') === true;
    const settings = new Map(request.settings);
    const named = settings.delete(promptSetting);
    if ((request.maskKey === undefined && !named) || !unknown) throw error;
    return connect({ ...request, settings, maskKey: undefined });
  }
}

async function connect(request: UpstreamRequest): Promise<Upstream> {
  const { upstream, target } = request;
  const socket = await open(upstream, target, request.signal);
  const timer = setTimeout(
    () => socket.destroy(new Error(`no answer within ${connect_ms_max / 1000} s`)),
    connect_ms_max,
  );
  try {
    return await signIn(socket, request);
  } catch (error) {
    socket.destroy();
    if (error instanceof UpstreamError) throw error;
    throw new UpstreamError(`target "${target}" cannot be used: ${reason(error)}`, { cause: error, retryable: true });
  } finally {
    clearTimeout(timer);
  }
}

/** Asks the server to cancel what the connection with this key runs. The server closes without an answer. */
export async function cancelUpstream(upstream: PostgresUpstream, target: string, key: Buffer): Promise<void> {
  const socket = await open(upstream, target);
  const packet = Buffer.alloc(8 + key.length);
  packet.writeInt32BE(packet.length, 0);
  packet.writeInt32BE(startupCode.cancel, 4);
  key.copy(packet, 8);
  await new Promise<void>((resolve) => {
    socket.setTimeout(connect_ms_max, () => socket.destroy());
    socket.once('close', () => resolve());
    socket.on('error', () => undefined);
    socket.resume();
    socket.end(packet);
  });
}

async function open(upstream: PostgresUpstream, target: string, signal?: AbortSignal): Promise<Socket> {
  const socket = upstream.host.startsWith('/')
    ? connectTcp({ path: `${upstream.host}/.s.PGSQL.${upstream.port}` })
    : connectTcp({ host: upstream.host, port: upstream.port, keepAlive: true, noDelay: true });
  try {
    await settled(socket, 'connect', signal);
    if (upstream.tls.mode === 'disable') return socket;
    return await encrypt(socket, upstream, signal);
  } catch (error) {
    socket.destroy();
    if (error instanceof UpstreamError) throw error;
    throw new UpstreamError(`target "${target}" cannot be reached: ${reason(error)}`, {
      cause: error,
      retryable: true,
    });
  }
}

async function encrypt(socket: Socket, upstream: PostgresUpstream, signal?: AbortSignal): Promise<TLSSocket> {
  const packet = Buffer.alloc(8);
  packet.writeInt32BE(8, 0);
  packet.writeInt32BE(startupCode.ssl, 4);
  socket.write(packet);
  const answer = await new Promise<Buffer>((resolve, reject) => {
    socket.once('data', resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the server closed the connection')));
  });
  socket.pause();
  if (answer.length !== 1 || answer[0] !== 0x53) {
    throw new UpstreamError(
      answer[0] === 0x4e
        ? "the server offers no TLS, and the target's configuration asks for it (upstream.tls)"
        : 'the server answered the request for TLS with something else',
    );
  }
  socket.removeAllListeners('close');
  socket.removeAllListeners('error');
  const name = upstream.tls.serverName ?? upstream.host;
  const secure = connectTls({
    socket,
    ...(isIP(name) ? {} : { servername: name }),
    ...(upstream.tls.ca === undefined ? {} : { ca: upstream.tls.ca }),
    minVersion: 'TLSv1.2',
    // "require" asks for encryption and trusts any certificate, as libpq's sslmode=require does.
    rejectUnauthorized: upstream.tls.mode === 'verify-full',
    ALPNProtocols: ['postgresql'],
    // Without a host, the certificate of an address would be compared with "localhost".
    host: name,
  });
  await settled(secure, 'secureConnect', signal);
  return secure;
}

function settled(socket: Socket, event: 'connect' | 'secureConnect', signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => done(new Error(`no answer within ${connect_ms_max / 1000} s`)), connect_ms_max);
    const aborted = () => done(new Error('the client went away'));
    const closed = () => done(new Error('the server closed the connection'));
    const ready = () => done();
    const done = (error?: Error) => {
      clearTimeout(timer);
      socket.off(event, ready);
      socket.off('error', done);
      socket.off('close', closed);
      signal?.removeEventListener('abort', aborted);
      if (error === undefined) resolve();
      else {
        socket.on('error', () => undefined);
        reject(error);
      }
    };
    if (signal?.aborted) return done(new Error('the client went away'));
    socket.once(event, ready);
    socket.once('error', done);
    socket.once('close', closed);
    signal?.addEventListener('abort', aborted);
  });
}

async function signIn(socket: Socket, request: UpstreamRequest): Promise<Upstream> {
  const { upstream, target } = request;
  const encrypted = 'encrypted' in socket;
  const settings = new Map(request.settings);
  if (request.maskKey !== undefined) settings.set(maskKeySetting, request.maskKey);
  socket.write(codec.startup({ user: upstream.user, database: request.database }, settings));
  const parameters = new Map<string, string>();
  const notices: Buffer[] = [];
  let cancelKey: Buffer | undefined;
  let scram: ScramClient | undefined;
  let proven = false;
  const reader = new codec.FrameReader();
  const frames = socketFrames(socket, reader);
  for (let count = 0; count < greeting_frames_max; count++) {
    await frames.next();
    const { type, buffer, start, end } = reader;
    switch (type) {
      case backend.authentication: {
        const method = buffer.readInt32BE(start + 5);
        const data = buffer.subarray(start + 9, end);
        if (method === 0) {
          if (scram !== undefined && !proven) throw new UpstreamError('the server skipped its proof of the password');
        } else if (method === 3) {
          if (!encrypted && upstream.tls.mode !== 'disable')
            throw new UpstreamError('the server asks for a clear password');
          socket.write(serialize.password(password(upstream, target)));
        } else if (method === 5) {
          socket.write(serialize.password(md5(upstream.user, password(upstream, target), data.subarray(0, 4))));
        } else if (method === 10) {
          const offered = data
            .toString('utf8')
            .split('\0')
            .filter((name) => name !== '');
          scram = new ScramClient(password(upstream, target), endPoint(socket), offered, encrypted);
          socket.write(serialize.sendSASLInitialResponseMessage(scram.mechanism, scram.first));
        } else if (method === 11 && scram !== undefined) {
          socket.write(serialize.sendSCRAMClientFinalMessage(await scram.final(data.toString('utf8'))));
        } else if (method === 12 && scram !== undefined) {
          scram.verify(data.toString('utf8'));
          proven = true;
        } else {
          throw new UpstreamError(
            `target "${target}" asks for a way to sign in that the gateway does not know (${method})`,
          );
        }
        break;
      }
      case backend.parameterStatus: {
        const { name, value } = codec.decodeParameterStatus(reader);
        parameters.set(name, value);
        break;
      }
      case backend.backendKeyData:
        cancelKey = Buffer.from(buffer.subarray(start + 5, end));
        break;
      case backend.noticeResponse:
        notices.push(Buffer.from(buffer.subarray(start, end)));
        break;
      case backend.negotiateProtocolVersion:
        break;
      case backend.errorResponse: {
        const fields = codec.decodeFields(reader);
        throw new UpstreamRefusal(target, fields, encrypted);
      }
      case backend.readyForQuery:
        return { socket, parameters, cancelKey, notices, rest: frames.release() };
      default:
        throw new UpstreamError(`target "${target}" sent ${codec.describeType(type)} before it was ready`);
    }
  }
  throw new UpstreamError(`target "${target}" does not get ready`);
}

/** Reads whole frames one at a time, for the greeting; then lets go of the socket. */
function socketFrames(socket: Socket, reader: codec.FrameReader) {
  let wake: (() => void) | undefined;
  let failure: Error | undefined;
  const data = (chunk: Buffer) => {
    socket.pause();
    reader.push(chunk);
    wake?.();
  };
  const fail = (error?: Error) => {
    failure ??= error ?? new Error('the server closed the connection');
    wake?.();
  };
  const closed = () => fail();
  socket.on('data', data);
  socket.on('error', fail);
  socket.on('close', closed);
  return {
    async next(): Promise<void> {
      while (!reader.next()) {
        if (failure !== undefined) throw failure;
        await new Promise<void>((resolve) => {
          wake = resolve;
          socket.resume();
        });
        wake = undefined;
      }
    },
    release(): Buffer {
      socket.pause();
      socket.off('data', data);
      socket.off('error', fail);
      socket.off('close', closed);
      return reader.rest();
    },
  };
}

function password(upstream: PostgresUpstream, target: string): string {
  if (upstream.password !== undefined) return upstream.password;
  throw new UpstreamError(`target "${target}" asks for a password, and its configuration has none (upstream.password)`);
}

/** @see https://www.postgresql.org/docs/current/protocol-flow.html, AuthenticationMD5Password */
function md5(user: string, secret: string, salt: Buffer): string {
  const hex = (data: string | Buffer) => createHash('md5').update(data).digest('hex');
  return `md5${hex(Buffer.concat([Buffer.from(hex(secret + user)), salt]))}`;
}

function endPoint(socket: Socket): Buffer | undefined {
  const certificate = 'encrypted' in socket ? (socket as TLSSocket).getPeerX509Certificate() : undefined;
  return certificate === undefined ? undefined : endPointOf(certificate.raw);
}

function reason(error: unknown): string {
  // Not `instanceof`: an error of Node's own may come from another realm than this module.
  if (!types.isNativeError(error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  switch (code) {
    case 'ECONNREFUSED':
      return 'connection refused (is the server running, and is upstream.host and upstream.port right?)';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'its host name cannot be resolved (upstream.host)';
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'the network does not lead there';
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `its certificate is for another name: ${error.message} (upstream.tls.server_name says which name is right)`;
    case undefined:
      return error.message;
    default:
      return code.startsWith('ERR_TLS') || /CERT|SIGNATURE|SELF_SIGNED|ISSUER/.test(code)
        ? `its certificate is not accepted: ${error.message} (upstream.tls.ca names the authority)`
        : error.message;
  }
}
