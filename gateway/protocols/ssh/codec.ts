/**
 * Bytes to SFTP packets and back: version 3, which is what servers and clients speak.
 *
 * Only what policy has to see is taken apart; a packet leaves as the bytes it came in.
 *
 * @see https://datatracker.ietf.org/doc/html/draft-ietf-secsh-filexfer-02
 */
import { ProtocolError } from '../../errors.js';

export const packetTypes = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attrs: 105,
  extended: 200,
  extendedReply: 201,
} as const;

export const statusCodes = {
  ok: 0,
  eof: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  badMessage: 5,
  unsupported: 8,
} as const;

/** OpenSSH's own bound (SFTP_MAX_MSG_LENGTH); it reads and writes 255 KiB at once at most. */
export const packet_bytes_max = 256 * 1024;

/** One packet inside what was received. `bytes` includes the four of the length. */
export interface Packet {
  readonly type: number;
  /** Of INIT and VERSION: the version. */
  readonly id: number;
  readonly bytes: Buffer;
}

/** Cuts a stream into packets. Holds at most one that is not whole. */
export class PacketReader {
  #rest: Buffer = Buffer.alloc(0);

  /** @throws ProtocolError for a length that cannot be. */
  *read(chunk: Buffer): Generator<Packet> {
    let buffer = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (buffer.length >= 4) {
      const length = buffer.readUInt32BE(0);
      if (length < 5 || length > packet_bytes_max) throw new ProtocolError(`an SFTP packet of ${length} bytes`);
      if (buffer.length < length + 4) break;
      const bytes = buffer.subarray(0, length + 4);
      buffer = buffer.subarray(length + 4);
      yield { type: bytes[4]!, id: bytes.readUInt32BE(5), bytes };
    }
    this.#rest = buffer;
  }
}

/** Takes the fields of a packet one after the other. */
export class Fields {
  readonly #bytes: Buffer;
  #at: number;

  /** Starts behind the id. */
  constructor({ bytes }: Packet) {
    this.#bytes = bytes;
    this.#at = 9;
  }

  uint32(): number {
    if (this.#at + 4 > this.#bytes.length) throw new ProtocolError('an SFTP packet ends too early');
    const value = this.#bytes.readUInt32BE(this.#at);
    this.#at += 4;
    return value;
  }

  /** Offsets: exact as far as files are ever long. */
  uint64(): number {
    return this.uint32() * 2 ** 32 + this.uint32();
  }

  bytes(): Buffer {
    const length = this.uint32();
    if (this.#at + length > this.#bytes.length) throw new ProtocolError('an SFTP packet ends too early');
    const value = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return value;
  }

  /** @throws ProtocolError for what is not UTF-8, or holds a NUL: two names must never look like one. */
  text(): string {
    try {
      const text = utf8.decode(this.bytes());
      if (!text.includes('\0')) return text;
    } catch {
      // Said below.
    }
    throw new ProtocolError('a name in an SFTP packet is not UTF-8');
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const flagNames = ['read', 'write', 'append', 'create', 'truncate', 'exclusive'] as const;

/**
 * pflags of SSH_FXP_OPEN. What asks for neither reading nor writing is opened for reading by servers (0 is O_RDONLY), and
 * says so here.
 *
 * @throws ProtocolError for bits that version 3 does not have.
 */
export function openFlags(flags: number): string[] {
  if (flags >>> flagNames.length !== 0) throw new ProtocolError('an SFTP request to open has flags that are not known');
  const named = flagNames.filter((_, bit) => (flags & (1 << bit)) !== 0);
  return named.includes('read') || named.includes('write') ? named : ['read', ...named];
}

export function status(id: number, code: number, message: string): Buffer {
  const text = Buffer.from(message);
  const bytes = Buffer.alloc(4 + 1 + 4 + 4 + 4 + text.length + 4);
  bytes.writeUInt32BE(bytes.length - 4, 0);
  bytes[4] = packetTypes.status;
  bytes.writeUInt32BE(id, 5);
  bytes.writeUInt32BE(code, 9);
  bytes.writeUInt32BE(text.length, 13);
  text.copy(bytes, 17);
  return bytes;
}

/** VERSION with those extensions alone that the gateway knows how to judge. */
export function versionWith(packet: Packet, known: ReadonlySet<string>): Buffer {
  const fields = new Fields(packet);
  const kept: Buffer[] = [];
  while (!fields.ended) {
    const name = fields.bytes();
    const data = fields.bytes();
    if (known.has(name.toString('latin1'))) kept.push(string(name), string(data));
  }
  const body = Buffer.concat(kept);
  const head = Buffer.alloc(9);
  head.writeUInt32BE(5 + body.length, 0);
  head[4] = packetTypes.version;
  head.writeUInt32BE(packet.id, 5);
  return Buffer.concat([head, body]);
}

function string(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
