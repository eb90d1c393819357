import { SpdyError } from './spdy-headers.js';

/**
 * Frames of SPDY/3.1, as far as port-forwards have them.
 *
 * @see https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/#22-framing
 */
export type Frame =
  | { readonly type: 'data'; readonly stream: number; readonly fin: boolean; readonly data: Buffer }
  | { readonly type: 'open'; readonly stream: number; readonly fin: boolean; readonly headers: Buffer }
  | { readonly type: 'reply'; readonly stream: number; readonly fin: boolean }
  | { readonly type: 'reset'; readonly stream: number; readonly status: number }
  | { readonly type: 'ping'; readonly id: number }
  | { readonly type: 'goaway' }
  /** Settings and windows: nobody of those who forward ports keeps to them. */
  | { readonly type: 'ignored' };

const head_bytes = 8;
const data_bytes_max = 1_048_576;
const control_bytes_max = 8_192;
const control = 0x8003;
const types = { open: 1, reply: 2, reset: 3, settings: 4, ping: 6, goaway: 7, headers: 8, window: 9 } as const;
const flagFin = 1;
/** Status of a reset. */
export const reset = { protocolError: 1, refused: 3, cancel: 5, internal: 6 } as const;

/** Frames out of bytes that come in pieces. */
export class FrameReader {
  #pieces: Buffer[] = [];
  #bytes = 0;
  #needed = head_bytes;

  /** Throws SpdyError for what is no frame, or a longer one than anybody has use for. */
  push(piece: Buffer): Frame[] {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    if (this.#bytes < this.#needed) return [];
    let rest = this.#pieces.length === 1 ? piece : Buffer.concat(this.#pieces);
    const frames: Frame[] = [];
    for (;;) {
      this.#needed = rest.length < head_bytes ? head_bytes : head_bytes + lengthOf(rest);
      if (rest.length < this.#needed) break;
      frames.push(frameOf(rest.subarray(0, this.#needed)));
      rest = rest.subarray(this.#needed);
    }
    this.#pieces = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
    return frames;
  }
}

function lengthOf(frame: Buffer): number {
  const length = frame.readUIntBE(5, 3);
  const isControl = (frame[0]! & 0x80) !== 0;
  if (isControl && frame.readUInt16BE() !== control) throw new SpdyError('a frame is not of SPDY/3');
  if (length > (isControl ? control_bytes_max : data_bytes_max)) throw new SpdyError('a frame is too long');
  return length;
}

function frameOf(frame: Buffer): Frame {
  const fin = (frame[4]! & flagFin) !== 0;
  const payload = frame.subarray(head_bytes);
  if ((frame[0]! & 0x80) === 0) return { type: 'data', stream: idAt(frame, 0), fin, data: payload };
  switch (frame.readUInt16BE(2)) {
    case types.open:
      if (frame[4] !== 0 && frame[4] !== flagFin) throw new SpdyError('a stream with an unknown flag');
      return { type: 'open', stream: idAt(payload, 0), fin, headers: from(payload, 10) };
    case types.reply:
      return { type: 'reply', stream: idAt(payload, 0), fin };
    case types.reset:
      return { type: 'reset', stream: idAt(payload, 0), status: from(payload, 4).readUInt32BE() };
    case types.ping:
      return { type: 'ping', id: from(payload, 0).readUInt32BE() };
    case types.goaway:
      return { type: 'goaway' };
    case types.settings:
    case types.window:
      return { type: 'ignored' };
    default:
      throw new SpdyError('a frame of an unknown type');
  }
}

const idAt = (bytes: Buffer, at: number): number => from(bytes, at).readUInt32BE() & 0x7fffffff;

/** At least four bytes follow, or it is cut short. */
function from(bytes: Buffer, at: number): Buffer {
  if (bytes.length < at + 4) throw new SpdyError('a frame is cut short');
  return bytes.subarray(at);
}

export function dataFrame(stream: number, data: Buffer, fin: boolean): Buffer {
  const head = Buffer.alloc(head_bytes);
  head.writeUInt32BE(stream);
  head.writeUInt32BE(data.length, 4);
  head[4] = fin ? flagFin : 0;
  return Buffer.concat([head, data]);
}

export const openFrame = (stream: number, headers: Buffer): Buffer =>
  controlFrame(types.open, Buffer.concat([words(stream, 0), Buffer.alloc(2), headers]));

export const replyFrame = (stream: number, headers: Buffer): Buffer =>
  controlFrame(types.reply, Buffer.concat([words(stream), headers]));

export const resetFrame = (stream: number, status: number): Buffer => controlFrame(types.reset, words(stream, status));

export const pingFrame = (id: number): Buffer => controlFrame(types.ping, words(id));

/** @param last The last stream that was taken. */
export const goawayFrame = (last: number): Buffer => controlFrame(types.goaway, words(last, 0));

function controlFrame(type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(head_bytes);
  head.writeUInt16BE(control);
  head.writeUInt16BE(type, 2);
  head.writeUInt32BE(payload.length, 4);
  return Buffer.concat([head, payload]);
}

function words(...numbers: number[]): Buffer {
  const bytes = Buffer.alloc(numbers.length * 4);
  numbers.forEach((number, index) => bytes.writeUInt32BE(number, index * 4));
  return bytes;
}
