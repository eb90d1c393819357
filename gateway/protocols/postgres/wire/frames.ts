import { ProtocolError } from '../../../errors.js';

/** The largest frame that is held in memory; what may be larger (rows, COPY data) is streamed. */
export const frame_bytes_max = 64 * 1024 * 1024;
/** One frame inside of what was received: `buffer[start..end)`, header included. */
export interface FrameView {
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
}

/** What the protocol's own 32-bit length can say, and the server accepts for a row (1 GiB). */
const streamed_bytes_max = 0x4000_0000 - 1;

const nothing = Buffer.alloc(0);

/**
 * Finds frames in a stream of chunks: [type: byte][length: int32, itself included][body].
 *
 * The current frame is described by the reader's own fields, so that reading allocates nothing. A frame of a streamed
 * type comes in parts as its bytes arrive; every other frame comes whole.
 */
export class FrameReader {
  /** Where the current frame (or part of it) lies: `buffer[start..end)`, header included in its first part. */
  buffer: Buffer = nothing;
  start = 0;
  end = 0;
  type = 0;
  /** True for the first and the last part of a frame; both for a frame that comes whole. */
  first = true;
  last = true;

  #offset = 0;
  #streaming = 0;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #neededBytes = 0;
  readonly #streamed: (type: number) => boolean;
  readonly #bytesMax: number;

  constructor(streamed: (type: number) => boolean = () => false, bytesMax: number = frame_bytes_max) {
    this.#streamed = streamed;
    this.#bytesMax = bytesMax;
  }

  /** Bytes that wait for the rest of their frame. */
  get waiting(): number {
    return this.#pendingBytes;
  }

  /** Adds a chunk. Only after `next()` has said false. */
  push(chunk: Buffer): void {
    if (this.#pendingBytes === 0) {
      this.buffer = chunk;
      this.#offset = 0;
      return;
    }
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    if (this.#pendingBytes < this.#neededBytes) return;
    this.buffer = Buffer.concat(this.#pending, this.#pendingBytes);
    this.#offset = 0;
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  /** Moves to the next frame; false when the bytes so far hold no further one. Throws ProtocolError for a bad length. */
  next(): boolean {
    const buffer = this.buffer;
    if (this.#streaming > 0) {
      const here = Math.min(this.#streaming, buffer.length - this.#offset);
      if (here === 0) return this.#wait(0);
      this.#move(here);
      this.first = false;
      this.#streaming -= here;
      this.last = this.#streaming === 0;
      return true;
    }
    const have = buffer.length - this.#offset;
    if (have < 5) return this.#wait(5);
    const type = buffer[this.#offset]!;
    const length = buffer.readInt32BE(this.#offset + 1);
    const streamed = this.#streamed(type);
    if (length < 4 || length > (streamed ? streamed_bytes_max : this.#bytesMax)) {
      throw new ProtocolError(`invalid message length ${length} for message type ${describeType(type)}`);
    }
    const total = length + 1;
    this.type = type;
    this.first = true;
    if (have >= total) {
      this.#move(total);
      this.last = true;
      return true;
    }
    if (!streamed) return this.#wait(total);
    this.#move(have);
    this.#streaming = total - have;
    this.last = false;
    return true;
  }

  /** What has been received and not been read: for the hand-over of a connection to another reader. */
  rest(): Buffer {
    return this.#pendingBytes > 0 ? Buffer.concat(this.#pending) : this.buffer.subarray(this.#offset);
  }

  #move(bytes: number): void {
    this.start = this.#offset;
    this.end = this.#offset + bytes;
    this.#offset = this.end;
  }

  #wait(neededBytes: number): false {
    if (this.#pendingBytes === 0) {
      const tail = this.buffer.subarray(this.#offset);
      if (tail.length > 0) {
        this.#pending = [tail];
        this.#pendingBytes = tail.length;
        this.#neededBytes = neededBytes;
      }
      this.buffer = nothing;
      this.#offset = 0;
    }
    return false;
  }
}

export function describeType(type: number): string {
  return type > 0x20 && type < 0x7f ? `"${String.fromCharCode(type)}"` : `0x${type.toString(16).padStart(2, '0')}`;
}
