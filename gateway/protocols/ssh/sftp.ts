import { once } from 'node:events';
import { posix } from 'node:path';
import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import type { Client, ClientChannel, ServerChannel, SFTPWrapper } from 'ssh2';
import { ProtocolError, UpstreamError } from '../../errors.js';
import type { Operation, Prompt, Recorder, Result, Session } from '../../protocol.js';
import { Fields, packetTypes, PacketReader, status, statusCodes, versionWith, type Packet } from './codec.js';
import { beginCopy, type TransferCopy } from './copies.js';
import { failure, line } from './enforce.js';
import { fileOperation, type Place } from './operation.js';
import { Allowance, type Limits } from './limits.js';
import { permit, type Permit, type Permitted } from './permit.js';
import { opened } from './relay.js';
import {
  changesOwner,
  extensionsOnHandles,
  knownExtensions,
  onHandles,
  readPathRequest,
  type PathRequest,
} from './sftp-requests.js';
import { Transfer } from './transfers.js';

/**
 * SFTP, decided file by file. Every request that names a file is an operation; what has been opened is read and written
 * as the bytes that come. Paths are made absolute and plain before they are judged, and where symbolic links lead is
 * judged as well; what leaves names the path that was judged.
 */

/** As OpenSSH's server has it, and more. */
const handles_max = 4_096;
const pending_max = 4_096;
/** Each is an open file of the gateway's own. */
const copies_max = 256;

interface Allowed {
  readonly bytes: number | undefined;
  readonly seconds: number | undefined;
  readonly allowance: Allowance;
}

const allowances_max = 64;

interface Pending {
  readonly settle?: (result: Result) => void;
  /** The path of what is being opened. */
  readonly opens?: string;
  /** Of what is read from it and written to it. */
  readonly copy?: TransferCopy | undefined;
  /** What is read, and from where on. */
  readonly reads?: { readonly transfer: Transfer; readonly offset: number };
  /** Of what is being closed. */
  readonly closes?: Transfer;
}

/** What was opened: its path, and what is read from it and written to it. */
interface Opened {
  readonly path: string;
  readonly transfer: Transfer;
}

export interface SftpParts {
  readonly client: Client;
  readonly channel: ServerChannel;
  readonly session: Session;
  readonly place: Place;
  readonly log: Logger;
  readonly recorder: Recorder | undefined;
  readonly gone: AbortSignal;
  readonly prompt: Prompt | undefined;
}

export class SftpGate {
  readonly #parts: SftpParts;
  readonly #upstream: ClientChannel;
  /** A channel of the gateway's own, to ask where a path leads. */
  readonly #lookup: SFTPWrapper;
  readonly #home: string;
  readonly #pending = new Map<number, Pending>();
  readonly #handles = new Map<string, Opened>();
  #bytes = 0;
  /** Those of the session and of each operation in it, all of which count for the rest of the session. */
  readonly #allowances: Allowed[] = [];
  #exceeded = false;
  #copies = 0;
  #saidLost = false;
  #over = false;
  #stopped: (said: string) => void = () => undefined;

  /** @throws UpstreamError where the host has no SFTP. */
  static async open(parts: SftpParts): Promise<SftpGate> {
    const upstream = await opened((done) => parts.client.subsys('sftp', done));
    const lookup = await new Promise<SFTPWrapper>((resolve, reject) => {
      parts.client.sftp((error, sftp) =>
        error === undefined ? resolve(sftp) : reject(new UpstreamError(`the host refused SFTP: ${error.message}`)),
      );
    });
    lookup.on('error', () => undefined);
    const home = await realPath(lookup, '.');
    if (home === undefined) throw new UpstreamError('the host does not say where its files are');
    return new SftpGate(parts, upstream, lookup, home);
  }

  private constructor(parts: SftpParts, upstream: ClientChannel, lookup: SFTPWrapper, home: string) {
    this.#parts = parts;
    this.#upstream = upstream;
    this.#lookup = lookup;
    this.#home = home;
  }

  start({ settle, limits, stopped }: Permitted): void {
    const { channel, log } = this.#parts;
    const end = (result: Result) => {
      if (this.#over) return;
      this.#over = true;
      for (const { allowance } of this.#allowances) allowance.close();
      for (const { settle: one, closes, copy } of this.#pending.values()) {
        void copy?.close('lost');
        one?.({ status: 'lost' });
        closes?.end({ status: 'lost' });
      }
      this.#pending.clear();
      for (const { transfer } of this.#handles.values()) transfer.end({ status: 'cancelled' });
      this.#handles.clear();
      this.#upstream.destroy();
      this.#lookup.end();
      settle({ ...result, bytes: this.#bytes });
      if (this.#parts.gone.aborted) return;
      channel.exit(result.status === 'ok' ? 0 : 1);
      channel.end();
    };
    const fail = (error: unknown) => {
      if (!(error instanceof ProtocolError) && !this.#parts.gone.aborted)
        log.warn({ err: error }, 'an SFTP session broke');
      end({ status: 'error' });
    };
    this.#stopped = (said) => {
      channel.stderr.write(said);
      end({ status: 'cancelled', code: 'limit_exceeded' });
    };
    this.#limit(limits, stopped);
    channel.once('close', () => end({ status: 'ok' }));
    channel.on('error', fail);
    this.#upstream.on('error', fail);
    this.#fromClient().then(() => this.#upstream.end(), fail);
    this.#fromHost().then(() => (this.#exceeded ? undefined : end({ status: 'ok' })), fail);
  }

  /** One allowance for each amount: the same limit, met again, is the one that runs already. */
  #limit({ bytes, seconds }: Limits, stopped: (what: string) => string): void {
    if (bytes === undefined && seconds === undefined) return;
    if (this.#allowances.some((one) => one.bytes === bytes && one.seconds === seconds)) return;
    if (this.#allowances.length >= allowances_max) throw new ProtocolError('too many different limits in one session');
    const limits = { ...(bytes !== undefined && { bytes }), ...(seconds !== undefined && { seconds }) };
    const allowance = new Allowance(limits, (what) => this.#stopped(stopped(what)));
    this.#allowances.push({ bytes, seconds, allowance });
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    for (const { allowance } of this.#allowances) if (allowance.take(bytes) < bytes) this.#exceeded = true;
  }

  async #fromClient(): Promise<void> {
    const reader = new PacketReader();
    for await (const chunk of chunksOf(this.#parts.channel)) {
      for (const packet of reader.read(chunk)) {
        const bytes = await this.#request(packet);
        if (bytes !== undefined) await this.#write(this.#upstream, bytes);
      }
    }
  }

  async #fromHost(): Promise<void> {
    const reader = new PacketReader();
    for await (const chunk of chunksOf(this.#upstream)) {
      for (const packet of reader.read(chunk)) {
        const given = this.#answer(packet);
        const answer = given instanceof Promise ? await given : given;
        // A packet goes whole or not at all.
        if (!this.#exceeded) await this.#write(this.#parts.channel, answer);
      }
    }
  }

  /** What leaves for the host; undefined where the client was answered here. */
  async #request(packet: Packet): Promise<Buffer | undefined> {
    try {
      if (packet.type === packetTypes.init) return packet.bytes;
      if (this.#pending.size >= pending_max)
        return this.#refuse(packet, statusCodes.failure, 'too many requests at once');
      if (onHandles.has(packet.type)) return await this.#onHandle(packet);
      if (packet.type === packetTypes.fsetstat) return await this.#setOpened(packet);
      if (packet.type === packetTypes.extended) {
        const name = new Fields(packet).text();
        if (name === 'limits@openssh.com') return this.#forward(packet, {});
        if (extensionsOnHandles.has(name)) return await this.#onHandle(packet, true);
      }
      const request = readPathRequest(packet);
      if (request === undefined)
        return this.#refuse(packet, statusCodes.unsupported, 'the gateway does not know this request');
      return await this.#judged(packet, request);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return this.#refuse(packet, statusCodes.badMessage, error.message);
    }
  }

  async #judged(packet: Packet, request: PathRequest): Promise<Buffer | undefined> {
    const plain = request.paths.map((path) => this.#absolute(path));
    const first = await this.#ask(request, plain, false);
    if (!first.allowed) return this.#deny(packet, first);
    // Only now: before the path itself was allowed, nothing of it goes to the host.
    const real = await Promise.all(plain.map((path) => this.#leadsTo(path, request.onLink)));
    let allowed = first;
    if (real.some((path, index) => path !== plain[index])) {
      first.settle({ status: 'ok' });
      const second = await this.#ask(request, real, true);
      if (!second.allowed) return this.#deny(packet, second);
      allowed = second;
    }
    const { settle, limits, stopped } = allowed;
    this.#limit(limits, stopped);
    // Asked where it leads, the host says so itself.
    const bytes = request.operation === 'realpath' ? request.withPaths(plain) : request.withPaths(real);
    if (request.opens === undefined) return this.#forward(packet, { settle }, bytes);
    // Made last: from here on there is somebody who closes it.
    const copy = request.opens === 'file' ? await this.#copy(request, real[0]!, [first, allowed]) : undefined;
    if (copy === 'refused') return this.#refuse(packet, statusCodes.failure, 'it cannot be kept, and has to be');
    if (this.#over || this.#pending.has(packet.id)) {
      void copy?.close('cancelled');
      settle({ status: 'cancelled' });
      return this.#over ? undefined : this.#refuse(packet, statusCodes.badMessage, 'two requests at once have one id');
    }
    return this.#forward(packet, { settle, opens: real[0]!, copy }, bytes);
  }

  /** Where one of the decisions on it asks for a copy, there is one before anything reaches the host. */
  async #copy(
    request: PathRequest,
    path: string,
    [first, last]: readonly [Permitted, Permitted],
  ): Promise<TransferCopy | 'refused' | undefined> {
    const { recorder, session, channel } = this.#parts;
    const kinds = [first, last].flatMap(({ keep }) => keep?.kinds ?? []);
    if (kinds.length === 0) return undefined;
    try {
      if (this.#copies >= copies_max) throw new ProtocolError('too many files that are kept are open at once');
      const keep = { kinds: kinds.reduce((all, one) => all | one) };
      const copy = await beginCopy(recorder, session, this.#operation(request, [path], true), { ...last, keep });
      if (copy === undefined) return undefined;
      this.#copies += 1;
      copy.onClose(() => (this.#copies -= 1));
      return copy;
    } catch (error) {
      channel.stderr.write(failure(error));
      last.settle({ status: 'cancelled', code: 'recording_failed' });
      return 'refused';
    }
  }

  #ask(request: PathRequest, paths: readonly string[], resolved: boolean): Promise<Permit> {
    const { session, channel, gone, prompt } = this.#parts;
    const asked = this.#operation(request, paths, resolved);
    return permit(session, asked, { wait: (said) => channel.stderr.write(said), gone, prompt });
  }

  #operation(request: PathRequest, [path = '', to]: readonly string[], resolved: boolean): Operation {
    const { operation, action, access, toAccess, flags, alsoReads } = request;
    return fileOperation(this.#parts.place, {
      operation,
      action,
      path,
      access,
      ...(to === undefined || toAccess === undefined ? {} : { to: { path: to, access: toAccess } }),
      ...(flags === undefined ? {} : { flags }),
      ...(alsoReads === undefined ? {} : { alsoReads }),
      resolved,
    });
  }

  /** Attributes of an open file: judged as those of its path. */
  async #setOpened(packet: Packet): Promise<Buffer | undefined> {
    const fields = new Fields(packet);
    const path = this.#handles.get(fields.bytes().toString('latin1'))?.path;
    if (path === undefined) return this.#refuse(packet, statusCodes.failure, 'the handle is not known');
    const action = changesOwner(fields) ? 'administer' : 'write';
    const request = { operation: 'setstat', action, access: 'update', onLink: true, paths: [path] } as const;
    const allowed = await this.#ask({ ...request, withPaths: () => packet.bytes }, [path], false);
    return allowed.allowed ? this.#forward(packet, { settle: allowed.settle }) : this.#deny(packet, allowed);
  }

  /** What was opened was judged; a handle that was not opened here is nobody's. */
  async #onHandle(packet: Packet, named = false): Promise<Buffer | undefined> {
    const fields = new Fields(packet);
    if (named) fields.bytes();
    const handle = fields.bytes().toString('latin1');
    const transfer = this.#handles.get(handle)?.transfer;
    if (transfer === undefined) return this.#refuse(packet, statusCodes.failure, 'the handle is not known');
    if (packet.type === packetTypes.close) {
      this.#handles.delete(handle);
      return this.#forward(packet, { closes: transfer });
    }
    if (transfer.lost && (packet.type === packetTypes.read || packet.type === packetTypes.write))
      return this.#refuse(packet, statusCodes.failure, this.#lost());
    if (packet.type === packetTypes.read)
      return this.#forward(packet, { reads: { transfer, offset: fields.uint64() } });
    if (packet.type === packetTypes.write) {
      this.#bytes += packet.bytes.length;
      if (!(await transfer.written(fields.uint64(), fields.bytes())))
        return this.#refuse(packet, statusCodes.failure, this.#lost());
    }
    return this.#forward(packet, {});
  }

  /** Said once where people see it, and each time where programs do. */
  #lost(): string {
    const said = 'stopped: what is transferred can no longer be kept';
    if (!this.#saidLost) this.#parts.channel.stderr.write(line(said));
    this.#saidLost = true;
    return said;
  }

  #forward(packet: Packet, pending: Pending, bytes = packet.bytes): Buffer {
    if (this.#pending.has(packet.id)) throw new ProtocolError('two SFTP requests at once have one id');
    this.#pending.set(packet.id, pending);
    return bytes;
  }

  #answer(packet: Packet): Buffer | Promise<Buffer> {
    if (packet.type === packetTypes.version) return versionWith(packet, knownExtensions);
    const pending = this.#pending.get(packet.id);
    if (pending === undefined) throw new UpstreamError('the host answers what nobody asked');
    this.#pending.delete(packet.id);
    if (packet.type === packetTypes.data) {
      this.#count(packet.bytes.length);
      if (pending.reads !== undefined) return this.#read(packet, pending.reads);
    }
    const code = packet.type === packetTypes.status ? new Fields(packet).uint32() : statusCodes.ok;
    if (packet.type === packetTypes.handle && pending.opens !== undefined) {
      if (this.#handles.size >= handles_max) {
        void pending.copy?.close('error');
        throw new ProtocolError('too many files are open at once');
      }
      // What became of it is known once it is closed.
      const transfer = new Transfer(pending.settle ?? (() => undefined), pending.copy);
      this.#handles.set(new Fields(packet).bytes().toString('latin1'), { path: pending.opens, transfer });
      return packet.bytes;
    }
    const fine = code === statusCodes.ok || code === statusCodes.eof;
    const result: Result = { status: fine ? 'ok' : 'error', code: String(code) };
    void pending.copy?.close('error');
    pending.closes?.end(result);
    pending.settle?.(result);
    return packet.bytes;
  }

  /** What was read goes on once it is kept, where it has to be. */
  #read(packet: Packet, { transfer, offset }: NonNullable<Pending['reads']>): Buffer | Promise<Buffer> {
    const shown = (kept: boolean) => (kept ? packet.bytes : status(packet.id, statusCodes.failure, this.#lost()));
    const kept = transfer.read(offset, new Fields(packet).bytes());
    return typeof kept === 'boolean' ? shown(kept) : kept.then(shown);
  }

  #deny(packet: Packet, { said }: { readonly said: string }): undefined {
    // SFTP's clients print their own words for the code; the reason goes where a command's would.
    if (said !== '') this.#parts.channel.stderr.write(said.split('\r\n')[0]! + '\r\n');
    return this.#refuse(packet, statusCodes.permissionDenied, said.split('\r\n')[0] ?? 'denied');
  }

  #refuse(packet: Packet, code: number, message: string): undefined {
    this.#parts.channel.write(status(packet.id, code, message));
    return undefined;
  }

  #absolute(path: string): string {
    const plain = posix.resolve(this.#home, path === '' ? '.' : path);
    return plain;
  }

  /** Where a path leads by the host's symbolic links; what is not there yet, by those of its folder. */
  async #leadsTo(path: string, onLink: boolean): Promise<string> {
    if (!onLink) {
      const real = await realPath(this.#lookup, path);
      // A server may answer for what is not there.
      if (real !== undefined && posix.isAbsolute(real)) return real;
    }
    const folder = posix.dirname(path);
    if (folder === path) return path;
    const real = (await realPath(this.#lookup, folder)) ?? folder;
    return posix.join(real, posix.basename(path));
  }

  async #write(stream: ClientChannel | ServerChannel, bytes: Buffer): Promise<void> {
    if (stream.write(bytes)) return;
    await once(stream, 'drain', { signal: this.#parts.gone });
  }
}

/** What comes until the other side ends its own: the channel stays, for the answer and the exit code. */
const chunksOf = (channel: ClientChannel | ServerChannel): AsyncIterable<Buffer> =>
  (channel as Readable).iterator({ destroyOnReturn: false });

function realPath(lookup: SFTPWrapper, path: string): Promise<string | undefined> {
  return new Promise((resolve) =>
    lookup.realpath(path, (error, real) => resolve(error === undefined ? real : undefined)),
  );
}
