/**
 * The first message of TLS, as far as it says whom the client wants to talk to. Pure: no network, no clock.
 *
 * RFC 8446, 4.1.2 and 5.1; RFC 6066, 3 (server_name). The same bytes begin TLS 1.2.
 */

/** What is wrong with what a client sent first. */
export class HelloRefusal extends Error {
  /** Short and stable, for records. */
  readonly reason: 'not_tls' | 'no_sni' | 'sni_mismatch' | 'ech';
  constructor(reason: HelloRefusal['reason']) {
    super(reason);
    this.reason = reason;
  }
}

/** Hellos with post-quantum keys have 1 to 2 KiB; tickets and padding add some. */
export const hello_bytes_max = 16_384;
const record_bytes_max = 16_384;
const records_max = 16;

const handshake = 22;
const client_hello = 1;
const server_name = 0;
const encrypted_client_hello = 0xfe0d;

/**
 * The name in the hello: undefined where more bytes have to come, null where there is none. Throws HelloRefusal for what is
 * no hello, has a name in more than one reading, or an encrypted hello beside the one that can be read.
 *
 * @param bytes Everything from the first byte on.
 */
export function serverNameOf(bytes: Buffer): string | null | undefined {
  const message = messageOf(bytes);
  if (message === undefined) return undefined;
  try {
    return nameIn(message);
  } catch (error) {
    if (error instanceof RangeError) throw new HelloRefusal('not_tls');
    throw error;
  }
}

/** The handshake message without its head, out of the records that it came in. */
function messageOf(bytes: Buffer): Buffer | undefined {
  const pieces: Buffer[] = [];
  let length = 0;
  for (let at = 0, records = 0; ; records++) {
    const head = bytes.subarray(at, at + 5);
    if ((head.length > 0 && head[0] !== handshake) || (head.length > 1 && head[1] !== 3))
      throw new HelloRefusal('not_tls');
    if (head.length < 5) return undefined;
    const size = head.readUInt16BE(3);
    if (size === 0 || size > record_bytes_max || records >= records_max) throw new HelloRefusal('not_tls');
    const piece = bytes.subarray(at + 5, at + 5 + size);
    pieces.push(piece);
    length += piece.length;
    at += 5 + size;
    const joined = length >= 4 ? Buffer.concat(pieces) : undefined;
    if (joined !== undefined) {
      const wanted = joined.readUIntBE(1, 3);
      if (joined[0] !== client_hello || wanted > hello_bytes_max) throw new HelloRefusal('not_tls');
      // Nothing may come behind it in its last record: the client has to hear from the server first.
      if (joined.length > 4 + wanted) throw new HelloRefusal('not_tls');
      if (joined.length === 4 + wanted) return joined.subarray(4);
    }
    if (piece.length < size) return undefined;
  }
}

function nameIn(message: Buffer): string | null {
  const reader = new Reader(message);
  reader.skip(2 + 32); // version and random
  reader.vector(1); // session
  reader.vector(2); // cipher suites
  reader.vector(1); // compression
  if (reader.over) return null;
  const extensions = new Reader(reader.vector(2));
  if (!reader.over) throw new HelloRefusal('not_tls');
  const seen = new Set<number>();
  let name: string | null = null;
  while (!extensions.over) {
    const type = extensions.number(2);
    const content = extensions.vector(2);
    if (seen.has(type)) throw new HelloRefusal('not_tls');
    seen.add(type);
    if (type === encrypted_client_hello) throw new HelloRefusal('ech');
    if (type === server_name) name = listed(content);
  }
  return name;
}

/** The one name in the list. */
function listed(content: Buffer): string {
  const outer = new Reader(content);
  const list = new Reader(outer.vector(2));
  const type = list.number(1);
  const name = list.vector(2);
  if (type !== 0 || name.length === 0 || !list.over || !outer.over) throw new HelloRefusal('not_tls');
  return name.toString('latin1');
}

/** Throws RangeError where there is less than is asked for. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get over(): boolean {
    return this.#at === this.#bytes.length;
  }

  skip(bytes: number): Buffer {
    if (this.#bytes.length - this.#at < bytes) throw new RangeError('the message ends too early');
    this.#at += bytes;
    return this.#bytes.subarray(this.#at - bytes, this.#at);
  }

  number(bytes: number): number {
    return this.skip(bytes).readUIntBE(0, bytes);
  }

  /** Bytes with their length before them, in so many bytes. */
  vector(length_bytes: number): Buffer {
    return this.skip(this.number(length_bytes));
  }
}

/** A fatal alert (RFC 8446, 6.2), before there are any keys: the client is told in its own words. */
export function alertOf(reason: HelloRefusal['reason']): Buffer {
  const unrecognized_name = 112;
  const unexpected_message = 10;
  return Buffer.from([21, 3, 1, 0, 2, 2, reason === 'not_tls' ? unexpected_message : unrecognized_name]);
}
