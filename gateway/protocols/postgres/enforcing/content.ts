import { ContentStream, kindsOf, maskInPlace, type Kinds, type Looking } from '../../../content/index.js';
import { ProtocolError } from '../../../errors.js';
import { backend, BodyReader } from '../codec.js';
import { maskBinary } from './content-binary.js';
import type { FrameView } from '../wire/frames.js';

/**
 * Patterns in what the server sends, whatever column it comes from: rows, COPY, errors and notices, notifications. Fields
 * are masked where they stand in the buffer they came in, and lengths are corrected: what is put in is never longer.
 */

/** A column of a result, as RowDescription tells of it. */
export interface Column {
  /** Of a domain the type below it. */
  readonly type: number;
  /** 0 text, 1 binary. */
  readonly format: number;
}

/** What is looked for in text, in JSON (bare numbers become 0), and in a number. */
export interface Looks {
  readonly text: Looking;
  readonly json: Looking;
  readonly number: Looking;
}

const known = new Map<Kinds, Looks>();
const card = kindsOf(['card']);

export function looksOf(kinds: Kinds): Looks {
  let looks = known.get(kinds);
  if (looks === undefined) {
    looks = {
      text: { kinds, numbers: false },
      json: { kinds, numbers: true },
      number: { kinds: kinds & card, numbers: true },
    };
    known.set(kinds, looks);
  }
  return looks;
}

/**
 * RowDescription: [count: int16]([name: string][table: oid][attribute: int16][type: oid][size: int16][modifier: int32]
 * [format: int16])…
 */
export function readColumns({ buffer, start, end }: FrameView): readonly Column[] {
  const body = new BodyReader(buffer, start + 5, end);
  const columns: Column[] = [];
  for (let count = body.uint16(); count > 0; count--) {
    body.skipString();
    body.bytes(6);
    const type = body.uint32();
    body.bytes(6);
    columns.push({ type, format: body.int16() });
  }
  body.finish();
  return columns;
}

/**
 * DataRow: [count: int16]([length: int32][value])…, masked in place. Gives the frame's new end. Throws ProtocolError for
 * what is no row of these columns.
 */
export function maskRow({ buffer, start, end }: FrameView, columns: readonly Column[], kinds: Kinds): number {
  const looks = looksOf(kinds);
  if (end - start < 7 || buffer.readUInt16BE(start + 5) !== columns.length)
    throw new ProtocolError('the server sent a row that is not as it was described');
  let from = start + 7;
  let to = from;
  for (const column of columns) {
    const length = from + 4 <= end ? buffer.readInt32BE(from) : end;
    const value = from + 4;
    const behind = value + Math.max(length, 0);
    if (length < -1 || behind > end) throw new ProtocolError('the server sent a malformed row');
    const last = length <= 0 ? behind : maskField(buffer, value, behind, column, looks);
    if (to !== from || last !== behind) {
      const masked = last < 0 ? -1 : length < 0 ? -1 : last - value;
      if (to !== from && masked > 0) buffer.copyWithin(to + 4, value, last);
      buffer.writeInt32BE(masked, to);
      to += 4 + Math.max(masked, 0);
    } else to = behind;
    from = behind;
  }
  if (from !== end) throw new ProtocolError('the server sent a malformed row');
  if (to !== end) buffer.writeInt32BE(to - start - 1, start + 1);
  return to;
}

const json: ReadonlySet<number> = new Set([114, 3802, 199, 3807]);
const bytea = 17;
/** int8, numeric, float8 and their arrays: their digits can be a card's. */
const numbers: ReadonlySet<number> = new Set([20, 1700, 701, 1016, 1231, 1022]);
/** What is too short for a number of that length, or has no free text: bool, int2, int4, oid, float4, dates and times, uuid, inet, cidr, macaddr, bits. */
const without: ReadonlySet<number> = new Set([
  16, 21, 23, 26, 28, 27, 29, 700, 1082, 1083, 1114, 1184, 1266, 1186, 2950, 869, 650, 829, 774, 1560, 1562,
]);

/** Gives the value's new end; -1 where it becomes NULL. */
function maskField(buffer: Buffer, start: number, end: number, { type, format }: Column, looks: Looks): number {
  if (without.has(type)) return end;
  if (format !== 0) return maskBinary(buffer, start, end, type, looks);
  if (numbers.has(type)) return maskInPlace(buffer, start, end, looks.number);
  if (json.has(type)) return maskInPlace(buffer, start, end, looks.json);
  // \x…: hexadecimal digits, unless bytea_output is "escape".
  if (type === bytea && buffer[start] === 0x5c && buffer[start + 1] === 0x78) return end;
  return maskInPlace(buffer, start, end, looks.text);
}

/** COPY … TO STDOUT in text or csv: one text over all of its messages. */
export class CopyMask {
  readonly #stream: ContentStream;

  constructor(kinds: Kinds) {
    this.#stream = new ContentStream(looksOf(kinds).text);
  }

  /** A CopyData as it may leave: the frame itself (true), another in its place, or none yet. */
  data({ buffer, start, end }: FrameView): Buffer | true | undefined {
    const came = buffer.subarray(start + 5, end);
    const may = this.#stream.push(came);
    if (may === came) return true;
    return may.length === 0 ? undefined : frame(backend.copyData, may);
  }

  /** What was held back, once there is no more. */
  finish(): Buffer | undefined {
    const rest = this.#stream.finish();
    return rest.length === 0 ? undefined : frame(backend.copyData, rest);
  }
}

/** Severity, SQLSTATE, positions, the server's own file and line: no text of the statement or its rows. */
const harmless: ReadonlySet<string> = new Set(['S', 'V', 'C', 'P', 'p', 'F', 'L', 'R']);

/** ErrorResponse or NoticeResponse: ([code: byte][text: string])…[0]. Undefined where nothing is found in it. */
export function maskNotice({ buffer, start, end }: FrameView, kinds: Kinds): Buffer | undefined {
  const { text } = looksOf(kinds);
  const parts: Buffer[] = [];
  let changed = false;
  let at = start + 5;
  while (at < end && buffer[at] !== 0) {
    const zero = buffer.indexOf(0, at + 1);
    if (zero < 0 || zero >= end) throw new ProtocolError('the server sent a malformed error message');
    const field = buffer.subarray(at, zero + 1);
    const masked = harmless.has(String.fromCharCode(field[0]!)) ? field : maskedString(field, 1, text);
    changed ||= masked !== field;
    parts.push(masked);
    at = zero + 1;
  }
  return changed ? frame(buffer[start]!, Buffer.concat([...parts, Buffer.of(0)])) : undefined;
}

/** NotificationResponse: [process: int32][channel: string][payload: string]; where the payload begins. */
function payloadOf({ buffer, start, end }: FrameView): number {
  const body = new BodyReader(buffer, start + 5, end);
  body.int32();
  body.skipString();
  const payload = end - body.remaining();
  body.skipString();
  body.finish();
  return payload;
}

/** Without what it carries. */
export function emptyNotification(view: FrameView): Buffer {
  const head = view.buffer.subarray(view.start + 5, payloadOf(view));
  return frame(backend.notificationResponse, Buffer.concat([head, Buffer.of(0)]));
}

/** Undefined where nothing is found in its payload. */
export function maskNotification(view: FrameView, kinds: Kinds): Buffer | undefined {
  const { buffer, start, end } = view;
  const payload = payloadOf(view);
  const came = buffer.subarray(payload, end);
  const masked = maskedString(came, 0, looksOf(kinds).text);
  return masked === came ? undefined : frame(backend.notificationResponse, Buffer.concat([buffer.subarray(start + 5, payload), masked])); // prettier-ignore
}

/** Of a zero-terminated string, from an offset on. */
function maskedString(came: Buffer, from: number, looking: Looking): Buffer {
  const copy = Buffer.from(came);
  const end = maskInPlace(copy, from, copy.length - 1, looking);
  if (end === copy.length - 1) return came;
  copy[end] = 0;
  return copy.subarray(0, end + 1);
}

function frame(type: number, body: Buffer): Buffer {
  const header = Buffer.alloc(5);
  header[0] = type;
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}
