import { isUtf8 } from 'node:buffer';

/**
 * The bytes of protobuf's wire format, in the one form in which Kubernetes writes it.
 *
 *     field = varint(number << 3 | wire type) value
 *     value = varint (0) | 8 bytes (1) | varint(length) bytes (2)
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */
export type WireType = 'varint' | 'fixed64' | 'bytes';

/** What is no protobuf, or not as Kubernetes writes it. The message quotes nothing of it. */
export class WireError extends Error {}

const types: readonly (WireType | undefined)[] = ['varint', 'fixed64', 'bytes'];
const varint_bytes_max = 10;
const small_bytes_max = 4;
const cut = 'it ends in the middle of a field';
const unusual = 'it has a number in a form that nobody writes';

/** A message, or what else has its length before it, read from its beginning to its end. */
export class Wire {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;

  constructor(bytes: Buffer, from = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = end;
  }

  get done(): boolean {
    return this.#at === this.#end;
  }

  /** The head of a field. */
  tag(): { readonly number: number; readonly type: WireType } {
    const tag = this.#small('the number of a field');
    const type = types[tag & 7];
    if (type === undefined || tag < 8)
      throw new WireError('it has a field without a number, or of a type that is not used');
    return { number: tag >>> 3, type };
  }

  inside(): Wire {
    const length = this.#small('a length');
    const from = this.#at;
    if (length > this.#end - from) throw new WireError(cut);
    this.#at += length;
    return new Wire(this.#bytes, from, this.#at);
  }

  /** All that is left. */
  bytes(): Buffer {
    const rest = this.#bytes.subarray(this.#at, this.#end);
    this.#at = this.#end;
    return rest;
  }

  /** The same as a text. */
  text(): string {
    const text = this.#bytes.toString('utf8', this.#at, this.#end);
    // What is no UTF-8 is read as this character, which may as well have been meant.
    if (text.includes('\ufffd') && !isUtf8(this.#bytes.subarray(this.#at, this.#end)))
      throw new WireError('it has a text that is no UTF-8');
    this.#at = this.#end;
    return text;
  }

  bool(): boolean {
    const value = this.varint();
    if (value > 1n) throw new WireError('it has a number where yes or no belongs');
    return value === 1n;
  }

  int32(): number {
    return int32(this.varint());
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.varint());
  }

  double(): number {
    if (this.#end - this.#at < 8) throw new WireError(cut);
    const value = this.#bytes.readDoubleLE(this.#at);
    this.#at += 8;
    if (!Number.isFinite(value)) throw new WireError('it has a number that JSON has not');
    return value;
  }

  /** Of 28 bits at most: no body has room for more. */
  #small(what: string): number {
    let value = 0;
    for (let count = 0; count < small_bytes_max; count++) {
      const byte = this.#byte();
      value |= (byte & 0x7f) << (7 * count);
      if (byte >= 0x80) continue;
      if (byte === 0 && count > 0) throw new WireError(unusual);
      return value;
    }
    throw new WireError(`${what} is too large`);
  }

  /** Of 64 bits, in no more bytes than it takes. */
  varint(): bigint {
    let value = 0n;
    for (let count = 0; count < varint_bytes_max; count++) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << BigInt(7 * count);
      if (byte >= 0x80) continue;
      if ((byte === 0 && count > 0) || value !== BigInt.asUintN(64, value)) throw new WireError(unusual);
      return value;
    }
    throw new WireError(unusual);
  }

  #byte(): number {
    if (this.#at === this.#end) throw new WireError(cut);
    return this.#bytes[this.#at++]!;
  }
}

/** Negative ones are written with 64 bits. */
export function int32(varint: bigint): number {
  const value = BigInt.asIntN(64, varint);
  if (value !== BigInt.asIntN(32, value)) throw new WireError('it has a number of more than 32 bits');
  return Number(value);
}

const nothing = Buffer.alloc(0);
/** A message in which nothing stands. */
export const none = (): Wire => new Wire(nothing);

/** The fields of a message, none of which may come twice. */
export interface Singles {
  has(number: number): boolean;
  /** Of a field that is not there: empty. */
  bytes(number: number): Wire;
  /** Of a field that is not there: 0. */
  varint(number: number): bigint;
}

/** Reads one whose fields have these types, from the number 1 on. Throws WireError for any other. */
export function singles(wire: Wire, name: string, known: readonly ('varint' | 'bytes')[]): Singles {
  const bytes = new Map<number, Wire>();
  const varints = new Map<number, bigint>();
  const has = (number: number) => bytes.has(number) || varints.has(number);
  while (!wire.done) {
    const { number, type } = wire.tag();
    if (known[number - 1] !== type)
      throw new WireError(`it has a field that is not known here (${name}, ${String(number)})`);
    if (has(number)) throw new WireError(`it has a field twice (${name}, ${String(number)})`);
    if (type === 'bytes') bytes.set(number, wire.inside());
    else varints.set(number, wire.varint());
  }
  return { has, bytes: (number) => bytes.get(number) ?? none(), varint: (number) => varints.get(number) ?? 0n };
}
