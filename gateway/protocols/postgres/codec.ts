import { ProtocolError } from '../../errors.js';

export { describeType, frame_bytes_max, FrameReader } from './wire/frames.js';

/**
 * Bytes to messages and back, for both directions of the PostgreSQL frontend/backend protocol, version 3.
 *
 * Nothing here touches a socket. Frames are found without copying; only what the gateway has to understand is decoded,
 * and a field that is decoded is never encoded again: what leaves is the slice that came in.
 *
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html
 */

/** Message types, as the byte that starts a frame. The same byte means different things in the two directions. */
export const frontend = {
  bind: 0x42, // B
  close: 0x43, // C
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyFail: 0x66, // f
  describe: 0x44, // D
  execute: 0x45, // E
  flush: 0x48, // H
  functionCall: 0x46, // F
  parse: 0x50, // P
  password: 0x70, // p
  query: 0x51, // Q
  sync: 0x53, // S
  terminate: 0x58, // X
} as const;

export const backend = {
  authentication: 0x52, // R
  backendKeyData: 0x4b, // K
  bindComplete: 0x32, // 2
  closeComplete: 0x33, // 3
  commandComplete: 0x43, // C
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyInResponse: 0x47, // G
  copyOutResponse: 0x48, // H
  copyBothResponse: 0x57, // W
  dataRow: 0x44, // D
  emptyQueryResponse: 0x49, // I
  errorResponse: 0x45, // E
  negotiateProtocolVersion: 0x76, // v
  noData: 0x6e, // n
  noticeResponse: 0x4e, // N
  notificationResponse: 0x41, // A
  parameterDescription: 0x74, // t
  parameterStatus: 0x53, // S
  parseComplete: 0x31, // 1
  portalSuspended: 0x73, // s
  readyForQuery: 0x5a, // Z
  rowDescription: 0x54, // T
} as const;

/** Codes that stand where a start-up packet has its version. */
export const startupCode = {
  cancel: 80877102,
  ssl: 80877103,
  gssEncryption: 80877104,
} as const;

/** MAX_STARTUP_PACKET_LENGTH of the server. */
export const startup_bytes_max = 10_000;
/** PG_MAX_AUTH_TOKEN_LENGTH of the server. */
export const password_bytes_max = 65_535;
/** Reads the fields of one body. Every read is checked: a body that ends early is a ProtocolError. */
export class BodyReader {
  #offset: number;
  readonly #buffer: Buffer;
  readonly #end: number;

  constructor(buffer: Buffer, start: number, end: number) {
    this.#buffer = buffer;
    this.#offset = start;
    this.#end = end;
  }

  #take(bytes: number): number {
    const at = this.#offset;
    if (bytes < 0 || at + bytes > this.#end)
      throw new ProtocolError('invalid message format: insufficient data left in message');
    this.#offset = at + bytes;
    return at;
  }

  byte(): number {
    return this.#buffer[this.#take(1)]!;
  }
  int16(): number {
    return this.#buffer.readInt16BE(this.#take(2));
  }
  uint16(): number {
    return this.#buffer.readUInt16BE(this.#take(2));
  }
  int32(): number {
    return this.#buffer.readInt32BE(this.#take(4));
  }
  uint32(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }
  bytes(length: number): Buffer {
    const at = this.#take(length);
    return this.#buffer.subarray(at, at + length);
  }
  /** A zero-terminated string. Bytes that are no UTF-8 are refused: the gateway would read another text than the server. */
  string(): string {
    const zero = this.#buffer.indexOf(0, this.#offset);
    if (zero < 0 || zero >= this.#end) throw new ProtocolError('invalid message format: invalid string in message');
    const at = this.#offset;
    this.#offset = zero + 1;
    return decodeText(this.#buffer, at, zero);
  }
  /** The same where nobody reads it, whatever its encoding. */
  skipString(): void {
    const zero = this.#buffer.indexOf(0, this.#offset);
    if (zero < 0 || zero >= this.#end) throw new ProtocolError('invalid message format: invalid string in message');
    this.#offset = zero + 1;
  }
  remaining(): number {
    return this.#end - this.#offset;
  }
  /** The body must end here: bytes behind what was understood are never forwarded. */
  finish(): void {
    if (this.#offset !== this.#end) throw new ProtocolError('invalid message format');
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text in the one encoding that the gateway lets a session have. Throws ProtocolError for bytes that are no UTF-8. */
export function decodeText(buffer: Buffer, start: number, end: number): string {
  // Short ASCII, which most text is, is fastest by latin1; anything with a high bit goes through the strict decoder.
  for (let index = start; index < end; index++) {
    if (buffer[index]! > 0x7f) {
      try {
        return utf8.decode(buffer.subarray(start, end));
      } catch {
        throw new InvalidEncoding();
      }
    }
  }
  return buffer.toString('latin1', start, end);
}

/** Bytes that are no text in the session's encoding: an error of the statement, as the server has it, not of the stream. */
export class InvalidEncoding extends ProtocolError {
  constructor() {
    super('invalid byte sequence for encoding "UTF8"');
  }
}

// What the frontend sends. Each decoder takes the frame as the reader shows it.

interface FrameView {
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
}

const body = (frame: FrameView) => new BodyReader(frame.buffer, frame.start + 5, frame.end);

/** Query: [text: string] */
export function decodeQuery(frame: FrameView): string {
  const reader = body(frame);
  const text = reader.string();
  reader.finish();
  return text;
}

export interface ParseMessage {
  readonly name: string;
  readonly text: string;
  /** Types that the client names; 0 leaves one to the server. */
  readonly types: readonly number[];
}

/** Parse: [name: string][text: string][count: int16][type: int32]… */
export function decodeParse(frame: FrameView): ParseMessage {
  const reader = body(frame);
  const name = reader.string();
  const text = reader.string();
  const count = reader.int16();
  if (count < 0) throw new ProtocolError('invalid message format');
  const types: number[] = [];
  for (let index = 0; index < count; index++) types.push(reader.uint32());
  reader.finish();
  return { name, text, types };
}

export interface BindMessage {
  readonly portal: string;
  readonly statement: string;
  /** 0 text, 1 binary: none (all text), one for all, or one each. */
  readonly formats: readonly number[];
  /** The raw values; null is SQL's NULL. Slices of the frame: copy what outlives it. */
  readonly values: readonly (Buffer | null)[];
}

/** Bind: [portal][statement][count: int16][format: int16]…[count: int16]([length: int32][value])…[count: int16][format: int16]… */
export function decodeBind(frame: FrameView): BindMessage {
  const reader = body(frame);
  const portal = reader.string();
  const statement = reader.string();
  const formats: number[] = [];
  for (let count = reader.uint16(); count > 0; count--) formats.push(reader.int16());
  const values: (Buffer | null)[] = [];
  for (let count = reader.uint16(); count > 0; count--) {
    const length = reader.int32();
    values.push(length === -1 ? null : reader.bytes(length));
  }
  for (let count = reader.uint16(); count > 0; count--) reader.int16();
  reader.finish();
  return { portal, statement, formats, values };
}

export interface NamedMessage {
  /** "S"tatement or "P"ortal. */
  readonly what: 'S' | 'P';
  readonly name: string;
}

/** Describe and Close: [what: byte][name: string] */
export function decodeNamed(frame: FrameView): NamedMessage {
  const reader = body(frame);
  const what = reader.byte();
  const name = reader.string();
  reader.finish();
  if (what !== 0x53 && what !== 0x50) throw new ProtocolError(`invalid message subtype ${what}`);
  return { what: what === 0x53 ? 'S' : 'P', name };
}

/** Execute: [portal: string][rows: int32]; gives the portal's name. */
export function decodeExecute(frame: FrameView): string {
  const reader = body(frame);
  const portal = reader.string();
  reader.int32();
  reader.finish();
  return portal;
}

/** Sync, Flush, CopyDone, Terminate: no body. */
export function decodeEmpty(frame: FrameView): void {
  body(frame).finish();
}

export interface StartupMessage {
  readonly minor: number;
  readonly parameters: ReadonlyMap<string, string>;
}

/** What follows the version of a StartupMessage: ([name: string][value: string])…[0]. */
export function decodeStartup(packet: Buffer): StartupMessage {
  const version = packet.readInt32BE(4);
  if (version >> 16 !== 3) {
    throw new ProtocolError(
      `unsupported frontend protocol ${version >> 16}.${version & 0xffff}: server supports 3.0 to 3.0`,
    );
  }
  const reader = new BodyReader(packet, 8, packet.length);
  const parameters = new Map<string, string>();
  while (reader.remaining() > 1) {
    const name = reader.string();
    if (name === '') break;
    const value = reader.string();
    if (parameters.has(name)) throw new ProtocolError(`start-up parameter "${name}" is given twice`);
    parameters.set(name, value);
  }
  if (reader.remaining() === 1 && reader.byte() !== 0)
    throw new ProtocolError('invalid startup packet layout: expected terminator as last byte');
  reader.finish();
  return { minor: version & 0xffff, parameters };
}

/** PasswordMessage: [password: string] */
export function decodePassword(frame: FrameView): string {
  return decodeQuery(frame);
}

// What the backend sends, as far as the gateway reads it.

/** The fields of ErrorResponse and NoticeResponse, by their one-letter codes. */
export function decodeFields(frame: FrameView): Map<string, string> {
  const fields = new Map<string, string>();
  const { buffer, end } = frame;
  let offset = frame.start + 5;
  while (offset < end && buffer[offset] !== 0) {
    const code = String.fromCharCode(buffer[offset]!);
    const zero = buffer.indexOf(0, offset + 1);
    if (zero < 0 || zero >= end) throw new ProtocolError('the server sent a malformed error message');
    fields.set(code, buffer.toString('utf8', offset + 1, zero));
    offset = zero + 1;
  }
  return fields;
}

/** CommandComplete: [tag: string] */
export function decodeTag(frame: FrameView): string {
  return frame.buffer.toString('utf8', frame.start + 5, Math.max(frame.start + 5, frame.end - 1));
}

/** ParameterStatus: [name: string][value: string] */
export function decodeParameterStatus(frame: FrameView): { name: string; value: string } {
  const reader = body(frame);
  return { name: reader.string(), value: reader.string() };
}

/** ParameterDescription: [count: int16][type: int32]… */
export function decodeParameterDescription(frame: FrameView): number[] {
  const reader = body(frame);
  const types: number[] = [];
  for (let count = reader.uint16(); count > 0; count--) types.push(reader.uint32());
  return types;
}

/** DataRow: [count: int16]([length: int32][value])…, text format. */
export function decodeTextRow(frame: FrameView): (string | null)[] {
  const reader = body(frame);
  const row: (string | null)[] = [];
  for (let count = reader.uint16(); count > 0; count--) {
    const length = reader.int32();
    row.push(length === -1 ? null : reader.bytes(length).toString('utf8'));
  }
  return row;
}

// What the gateway says itself, to either side.

function message(type: number, ...parts: (Buffer | string)[]): Buffer {
  const buffers = parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part));
  const length = buffers.reduce((sum, part) => sum + part.length, 4);
  const header = Buffer.allocUnsafe(5);
  header[0] = type;
  header.writeInt32BE(length, 1);
  return Buffer.concat([header, ...buffers], length + 1);
}

const int16 = (value: number) => {
  const buffer = Buffer.allocUnsafe(2);
  buffer.writeInt16BE(value);
  return buffer;
};
const int32 = (value: number) => {
  const buffer = Buffer.allocUnsafe(4);
  buffer.writeInt32BE(value | 0);
  return buffer;
};

export interface ErrorFields {
  readonly severity: 'ERROR' | 'FATAL' | 'WARNING' | 'NOTICE';
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  /** 1-based, in characters. */
  readonly position?: number | undefined;
}

// A zero byte would end the field early and let its rest be read as another one.
const field = (code: string, value: string) => Buffer.from(`${code}${value.replaceAll('\0', '')}\0`);

function fields(type: number, error: ErrorFields): Buffer {
  return message(
    type,
    field('S', error.severity),
    field('V', error.severity),
    field('C', error.sqlstate),
    field('M', error.message),
    ...(error.detail === undefined ? [] : [field('D', error.detail)]),
    ...(error.hint === undefined ? [] : [field('H', error.hint)]),
    ...(error.position === undefined ? [] : [field('P', String(error.position))]),
    Buffer.of(0),
  );
}

export const errorResponse = (error: ErrorFields) => fields(backend.errorResponse, error);
export const noticeResponse = (notice: ErrorFields) => fields(backend.noticeResponse, notice);

const ready = new Map(
  ['I', 'T', 'E'].map((status) => [status, message(backend.readyForQuery, Buffer.from(status))] as const),
);
export const readyForQuery = (status: 'I' | 'T' | 'E') => ready.get(status)!;

export const authenticationOk = message(backend.authentication, int32(0));
export const authenticationCleartextPassword = message(backend.authentication, int32(3));
export const parseComplete = message(backend.parseComplete);
export const bindComplete = message(backend.bindComplete);
export const closeComplete = message(backend.closeComplete);
export const commandComplete = (tag: string) => message(backend.commandComplete, tag);
export const copyData = (...parts: Buffer[]) => message(backend.copyData, ...parts);
export const dataRow = (values: readonly Buffer[]) =>
  message(backend.dataRow, int16(values.length), ...values.flatMap((value) => [int32(value.length), value]));
export const parameterStatus = (name: string, value: string) => message(backend.parameterStatus, name, value);
export const backendKeyData = (processId: number, secret: number) =>
  message(backend.backendKeyData, int32(processId), int32(secret));

/** What of the start-up the gateway did not understand: minor versions and `_pq_.` options. */
export const negotiateProtocolVersion = (minor: number, options: readonly string[]) =>
  message(backend.negotiateProtocolVersion, int32(minor), int32(options.length), ...options);

/** StartupMessage of version 3.0: [length: int32][version: int32]([name: string][value: string])…[0]. */
export function startup(place: { user: string; database: string }, settings: ReadonlyMap<string, string>): Buffer {
  const pairs = [...Object.entries(place), ...settings].map(([name, value]) => `${name}\0${value}\0`);
  const body = Buffer.concat([int32(3 << 16), Buffer.from(`${pairs.join('')}\0`)]);
  return Buffer.concat([int32(body.length + 4), body]);
}

export const sync = message(frontend.sync);
export const flush = message(frontend.flush);
export const terminate = message(frontend.terminate);

export const query = (text: string) => message(frontend.query, text);
export const parse = (name: string, text: string, types: readonly number[] = []) =>
  message(frontend.parse, name, text, int16(types.length), ...types.map(int32));

/** A client's Bind for another statement. */
export function bindOther(frame: FrameView, portal: string, statement: string): Buffer {
  const reader = body(frame);
  reader.skipString();
  reader.skipString();
  return message(frontend.bind, portal, statement, reader.bytes(reader.remaining()));
}
export const describePortal = (name: string) => message(frontend.describe, Buffer.from('P'), name);
export const describeStatement = (name: string) => message(frontend.describe, Buffer.from('S'), name);

/** All of a Bind behind its names: values as text, and results as text, or as binary. */
export const bindValues = (values: readonly (string | null)[], isBinary = false): Buffer =>
  Buffer.concat([
    int16(0),
    int16(values.length),
    ...values.flatMap((value) => {
      if (value === null) return [int32(-1)];
      const bytes = Buffer.from(value);
      return [int32(bytes.length), bytes];
    }),
    ...(isBinary ? [int16(1), int16(1)] : [int16(0)]),
  ]);
/** @param values As `bindValues` makes them, once where they are sent often. */
export const bindMade = (portal: string, statement: string, values: Buffer) =>
  message(frontend.bind, portal, statement, values);
/** A Bind whose parameters and results are all text. */
export const bind = (portal: string, statement: string, values: readonly (string | null)[]) =>
  bindMade(portal, statement, bindValues(values));
export const execute = (portal: string) => message(frontend.execute, portal, int32(0));
export const closeStatement = (name: string) => message(frontend.close, Buffer.from('S'), name);
export const closePortal = (name: string) => message(frontend.close, Buffer.from('P'), name);
