import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

/**
 * A client of the Postgres protocol, version 3, that keeps every byte: for tests that send what no driver would send, and
 * for those that compare what was received.
 *
 * @see https://www.postgresql.org/docs/18/protocol-message-formats.html
 */
export interface Frame {
  /** One letter, as the protocol's page has it: "T" RowDescription, "D" DataRow, "Z" ReadyForQuery, … */
  readonly type: string;
  /** Without type and length. */
  readonly body: Buffer;
}

export interface WireOptions {
  readonly host: string;
  readonly port: number;
  /** Asks for TLS first (SSLRequest). */
  readonly tls?: ConnectionOptions;
}

export interface SignIn {
  readonly user: string;
  readonly database: string;
  readonly password: string;
  /** Further start-up parameters: application_name, options, … */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Default 3.0. */
  readonly version?: { readonly major: number; readonly minor: number };
}

/** Waiting longer than this for a frame is a test's failure, said with what came before. */
const read_ms_max = 30_000;

const sslRequestCode = 80877103;
const cancelRequestCode = 80877102;

export class WireClient {
  /** Everything that was received since the connection, in order; tests may empty it. */
  readonly received: Frame[] = [];
  /** Of BackendKeyData. */
  processId = 0;
  secretKey: Buffer = Buffer.alloc(0);
  /** The server's settings as reported. */
  readonly settings = new Map<string, string>();

  private rest: Buffer = Buffer.alloc(0);
  private readonly queue: Frame[] = [];
  private waiting: (() => void) | undefined;
  private ended = false;
  private failure: Error | undefined;

  private constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => this.take(chunk));
    socket.on('error', (error) => (this.failure = error));
    socket.on('close', () => {
      this.ended = true;
      this.wake();
    });
  }

  static async connect(options: WireOptions): Promise<WireClient> {
    const socket = connectTcp({ host: options.host, port: options.port, noDelay: true });
    await new Promise<void>((settle, fail) => {
      socket.once('connect', settle);
      socket.once('error', fail);
    });
    if (options.tls === undefined) return new WireClient(socket);
    socket.write(untyped(int32(sslRequestCode)));
    const answer = await new Promise<string>((settle, fail) => {
      socket.once('data', (chunk: Buffer) => settle(chunk.toString('latin1')));
      socket.once('close', () => fail(new Error('closed instead of answering SSLRequest')));
    });
    if (answer !== 'S') {
      socket.destroy();
      throw new Error(`the server answered SSLRequest with ${JSON.stringify(answer)}`);
    }
    const secure = connectTls({ socket, ...options.tls });
    await new Promise<void>((settle, fail) => {
      secure.once('secureConnect', settle);
      secure.once('error', fail);
    });
    return new WireClient(secure);
  }

  /** Over a connection that stands already: one that its test encrypted itself. */
  static over(socket: Socket): WireClient {
    return new WireClient(socket);
  }

  /** Connects and signs in; throws WireError where the server refuses. */
  static async open(options: WireOptions & SignIn): Promise<WireClient> {
    const client = await WireClient.connect(options);
    try {
      await client.signIn(options);
    } catch (error) {
      client.socket.destroy();
      throw error;
    }
    return client;
  }

  /** Start-up, password in the clear or by SCRAM-SHA-256, up to the first ReadyForQuery. */
  async signIn(options: SignIn): Promise<void> {
    this.sendRaw(
      message.startup({ user: options.user, database: options.database, ...options.parameters }, options.version),
    );
    let scram: Scram | undefined;
    for (;;) {
      const frame = await this.read();
      if (frame.type === 'E') throw new WireError(fields(frame.body));
      if (frame.type === 'Z') return;
      if (frame.type !== 'R') continue;
      const kind = frame.body.readInt32BE(0);
      if (kind === 3) this.sendRaw(message.password(options.password));
      if (kind === 10) {
        scram = new Scram(options.password);
        const first = Buffer.from(scram.first());
        this.send('p', Buffer.concat([text('SCRAM-SHA-256'), int32(first.length), first]));
      }
      if (kind === 11 && scram !== undefined) this.send('p', Buffer.from(scram.final(frame.body.toString('utf8', 4))));
      if (kind === 12 && scram !== undefined) scram.verify(frame.body.toString('utf8', 4));
      if (![0, 3, 10, 11, 12].includes(kind))
        throw new Error(`authentication request ${String(kind)} is not known here`);
    }
  }

  send(type: string, body: Buffer = Buffer.alloc(0)): void {
    this.sendRaw(typed(type, body));
  }

  /** Any bytes; several messages may be glued together. */
  sendRaw(...bytes: Buffer[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /** The next frame. Rejects when the connection ended before one was whole. */
  async read(): Promise<Frame> {
    if (this.queue.length === 0 && !this.ended) {
      await new Promise<void>((settle, fail) => {
        const timer = setTimeout(() => {
          this.waiting = undefined;
          fail(
            new Error(
              `no frame within ${String(read_ms_max)} ms; so far: ${this.received.map((frame) => frame.type).join('')}`,
            ),
          );
        }, read_ms_max);
        this.waiting = () => {
          clearTimeout(timer);
          settle();
        };
      });
    }
    const frame = this.queue.shift();
    if (frame === undefined) throw new Error(`the connection ended${this.failure ? `: ${this.failure.message}` : ''}`);
    return frame;
  }

  /** The next frames, up to and with the first of this type. */
  async readUntil(type: string): Promise<Frame[]> {
    const frames: Frame[] = [];
    for (;;) {
      const frame = await this.read();
      frames.push(frame);
      if (frame.type === type) return frames;
    }
  }

  /** A simple query; its answer up to and with ReadyForQuery. */
  async query(sql: string): Promise<Frame[]> {
    this.sendRaw(message.query(sql));
    return this.readUntil('Z');
  }

  /** Sends and reads up to and with ReadyForQuery. */
  async exchange(...bytes: Buffer[]): Promise<Frame[]> {
    this.sendRaw(...bytes);
    return this.readUntil('Z');
  }

  /** Resolves when the other side (or this one) has closed. */
  async closed(): Promise<void> {
    while (!this.ended) {
      await new Promise<void>((settle) => (this.waiting = settle));
    }
  }

  /** Says good-bye and waits for the end. */
  async end(): Promise<void> {
    if (!this.ended) this.sendRaw(message.terminate());
    this.socket.end();
    this.socket.resume();
    await this.closed();
  }

  private take(chunk: Buffer): void {
    this.rest = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    let at = 0;
    // Byte 0: type. Bytes 1 to 4: length, itself included, the type not.
    while (this.rest.length - at >= 5) {
      const length = this.rest.readInt32BE(at + 1);
      if (this.rest.length - at < length + 1) break;
      const frame = {
        type: String.fromCharCode(this.rest[at] ?? 0),
        body: Buffer.from(this.rest.subarray(at + 5, at + 1 + length)),
      };
      at += length + 1;
      this.note(frame);
      this.received.push(frame);
      this.queue.push(frame);
    }
    this.rest = this.rest.subarray(at);
    if (this.queue.length > 0) this.wake();
  }

  private note(frame: Frame): void {
    if (frame.type === 'K') {
      this.processId = frame.body.readInt32BE(0);
      this.secretKey = frame.body.subarray(4);
    }
    if (frame.type === 'S') {
      const [name = '', value = ''] = strings(frame.body);
      this.settings.set(name, value);
    }
  }

  private wake(): void {
    const waiting = this.waiting;
    this.waiting = undefined;
    waiting?.();
  }
}

/** An ErrorResponse that ended a sign-in. */
export class WireError extends Error {
  constructor(readonly fields: Readonly<Record<string, string>>) {
    super(`${fields['S'] ?? ''} ${fields['C'] ?? ''}: ${fields['M'] ?? ''}`);
    this.name = 'WireError';
  }
}

const int16 = (value: number) => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};
const int32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const text = (value: string) => Buffer.from(`${value}\0`, 'utf8');
const untyped = (body: Buffer) => Buffer.concat([int32(body.length + 4), body]);
const typed = (type: string, body: Buffer) =>
  Buffer.concat([Buffer.from(type, 'latin1'), int32(body.length + 4), body]);

/** A bind value: text, binary, or NULL. */
export type Value = string | Buffer | null;

/** What a client says, message by message. */
export const message = {
  startup: (parameters: Readonly<Record<string, string>>, version = { major: 3, minor: 0 }) =>
    untyped(
      Buffer.concat([
        int32(version.major * 0x10000 + version.minor),
        ...Object.entries(parameters).flatMap(([name, value]) => [text(name), text(value)]),
        Buffer.from([0]),
      ]),
    ),
  sslRequest: () => untyped(int32(sslRequestCode)),
  cancel: (processId: number, secretKey: Buffer) =>
    untyped(Buffer.concat([int32(cancelRequestCode), int32(processId), secretKey])),
  password: (password: string) => typed('p', text(password)),
  query: (sql: string) => typed('Q', text(sql)),
  parse: (sql: string, name = '', types: readonly number[] = []) =>
    typed('P', Buffer.concat([text(name), text(sql), int16(types.length), ...types.map(int32)])),
  bind: (
    values: readonly Value[] = [],
    options: { portal?: string; statement?: string; formats?: readonly number[]; results?: readonly number[] } = {},
  ) => {
    const formats = options.formats ?? values.map((value) => (Buffer.isBuffer(value) ? 1 : 0));
    const results = options.results ?? [];
    return typed(
      'B',
      Buffer.concat([
        text(options.portal ?? ''),
        text(options.statement ?? ''),
        int16(formats.length),
        ...formats.map(int16),
        int16(values.length),
        ...values.flatMap((value) => {
          if (value === null) return [int32(-1)];
          const bytes = Buffer.isBuffer(value) ? value : Buffer.from(value, 'utf8');
          return [int32(bytes.length), bytes];
        }),
        int16(results.length),
        ...results.map(int16),
      ]),
    );
  },
  describe: (kind: 'S' | 'P', name = '') => typed('D', Buffer.concat([Buffer.from(kind), text(name)])),
  execute: (portal = '', rows = 0) => typed('E', Buffer.concat([text(portal), int32(rows)])),
  close: (kind: 'S' | 'P', name = '') => typed('C', Buffer.concat([Buffer.from(kind), text(name)])),
  flush: () => typed('H', Buffer.alloc(0)),
  sync: () => typed('S', Buffer.alloc(0)),
  copyData: (data: Buffer | string) => typed('d', Buffer.from(data)),
  copyDone: () => typed('c', Buffer.alloc(0)),
  copyFail: (why: string) => typed('f', text(why)),
  functionCall: (oid: number) => typed('F', Buffer.concat([int32(oid), int16(0), int16(0), int16(0)])),
  terminate: () => typed('X', Buffer.alloc(0)),
} as const;

/** The fields of an ErrorResponse or NoticeResponse by their letter: S severity, C SQLSTATE, M message, D detail, H hint. */
export function fields(body: Buffer): Record<string, string> {
  return Object.fromEntries(
    strings(body)
      .filter((field) => field !== '')
      .map((field) => [field.slice(0, 1), field.slice(1)]),
  );
}

/** The values of a DataRow, undecoded. */
export function row(body: Buffer): (Buffer | null)[] {
  const values: (Buffer | null)[] = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const length = body.readInt32BE(at);
    at += 4;
    values.push(length < 0 ? null : body.subarray(at, at + length));
    at += Math.max(length, 0);
  }
  return values;
}

/** The rows of an answer as text. */
export function rows(frames: readonly Frame[]): (string | null)[][] {
  return frames
    .filter((frame) => frame.type === 'D')
    .map((frame) => row(frame.body).map((value) => value?.toString('utf8') ?? null));
}

/** The first error of an answer, by its fields' letters. */
export function errorOf(frames: readonly Frame[]): Record<string, string> | undefined {
  const frame = frames.find(({ type }) => type === 'E');
  return frame && fields(frame.body);
}

/** An answer as one line: the types in order, repeated rows counted. "T D×3 C Z" */
export function shape(frames: readonly Frame[]): string {
  const parts: { type: string; count: number }[] = [];
  for (const { type } of frames) {
    const last = parts.at(-1);
    if (last?.type === type) last.count += 1;
    else parts.push({ type, count: 1 });
  }
  return parts.map(({ type, count }) => (count === 1 ? type : `${type}×${String(count)}`)).join(' ');
}

function strings(body: Buffer): string[] {
  const parts = body.toString('utf8').split('\0');
  parts.pop();
  return parts;
}

/** The client's half of SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677). */
class Scram {
  private readonly nonce = randomBytes(18).toString('base64');
  private signature = '';

  constructor(private readonly password: string) {}

  first(): string {
    return `n,,n=,r=${this.nonce}`;
  }

  final(serverFirst: string): string {
    const given = Object.fromEntries(serverFirst.split(',').map((part) => [part.slice(0, 1), part.slice(2)]));
    if (!given['r']?.startsWith(this.nonce)) throw new Error("SCRAM: the server's nonce does not continue ours");
    const salted = pbkdf2Sync(
      this.password.normalize('NFKC'),
      Buffer.from(given['s'] ?? '', 'base64'),
      Number(given['i']),
      32,
      'sha256',
    );
    const clientKey = createHmac('sha256', salted).update('Client Key').digest();
    const bare = `c=biws,r=${given['r']}`;
    const whole = `n=,r=${this.nonce},${serverFirst},${bare}`;
    const proof = createHmac('sha256', createHash('sha256').update(clientKey).digest()).update(whole).digest();
    const serverKey = createHmac('sha256', salted).update('Server Key').digest();
    this.signature = createHmac('sha256', serverKey).update(whole).digest('base64');
    return `${bare},p=${Buffer.from(proof.map((byte, index) => byte ^ (clientKey[index] ?? 0))).toString('base64')}`;
  }

  verify(serverFinal: string): void {
    if (serverFinal !== `v=${this.signature}`) throw new Error('SCRAM: the server does not know the password');
  }
}
