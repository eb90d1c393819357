import { ProtocolError } from '../errors.js';

/**
 * The data types of SSH: a string is its length in four bytes and then so many bytes. What is read is read strictly:
 * nothing is left over, and nothing is taken from behind the end.
 *
 * @see https://www.rfc-editor.org/rfc/rfc4251#section-5
 */

/** Takes fields one after the other. */
export class WireReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** How many bytes were taken. */
  get position(): number {
    return this.#at;
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length;
  }

  uint32(): number {
    return this.#take(4).readUInt32BE(0);
  }

  uint64(): bigint {
    return this.#take(8).readBigUInt64BE(0);
  }

  string(): Buffer {
    return this.#take(this.uint32());
  }

  /** @throws ProtocolError for what is not UTF-8, or holds a control character: two names must never look like one. */
  text(): string {
    const bytes = this.string();
    let text: string;
    try {
      text = utf8.decode(bytes);
    } catch {
      throw new ProtocolError('a text in SSH data is not UTF-8');
    }
    if (/\p{Cc}/u.test(text)) throw new ProtocolError('a text in SSH data has control characters');
    return text;
  }

  /** @throws ProtocolError where something is left. */
  end(): void {
    if (!this.ended) throw new ProtocolError('SSH data goes on behind its end');
  }

  #take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw new ProtocolError('SSH data ends too early');
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return taken;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

export function string(value: Buffer | string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

/** A whole number that is not negative, as a string: the fewest bytes, with a zero in front where the first bit is set. */
export function mpint(value: Buffer): Buffer {
  let start = 0;
  while (start < value.length && value[start] === 0) start += 1;
  const bytes = value.subarray(start);
  return string(bytes.length > 0 && (bytes[0]! & 0x80) !== 0 ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes);
}

/**
 * The number of an mpint, in exactly so many bytes.
 *
 * @throws ProtocolError for a negative one, one with more bytes than it needs, and one that is too large.
 */
export function ofMpint(bytes: Buffer, length: number): Buffer {
  const [first = 0, second = 0] = bytes;
  const padded = bytes.length > 0 && first === 0;
  if ((first & 0x80) !== 0 || (padded && (second & 0x80) === 0))
    throw new ProtocolError('a number in SSH data is not in its shortest form');
  const digits = padded ? bytes.subarray(1) : bytes;
  if (digits.length > length) throw new ProtocolError('a number in SSH data is too large');
  return Buffer.concat([Buffer.alloc(length - digits.length), digits]);
}
