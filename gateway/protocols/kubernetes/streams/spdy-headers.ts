import { constants, inflateRawSync } from 'node:zlib';

/**
 * Header blocks of SPDY/3.1: names and values, compressed as one zlib stream that goes on through all blocks of a direction, and
 * begins with a dictionary that both sides know.
 *
 * @see https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/#2610-NameValue-Header-Block
 */

/** A block that no reader takes for one: malformed, or of more than it may have. */
export class SpdyError extends Error {}

const compressed_bytes_max = 4_096;
const block_bytes_max = 16_384;
const pairs_max = 32;
/** As far back as DEFLATE refers. */
const window_bytes = 32_768;

const prefixed = (text: string): Buffer => {
  const bytes = Buffer.from(text, 'latin1');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
};

const words =
  'options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status';
const others = ['200 OK', 'version', 'HTTP/1.1', 'url', 'public', 'set-cookie', 'keep-alive', 'origin'];
const tail =
  '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.';

/** 1 423 bytes. */
export const dictionary = Buffer.concat([...[...words.split(' '), ...others].map(prefixed), Buffer.from(tail)]);

/** Reads the blocks of one direction, in their order. */
export class HeaderReader {
  /** What was said so far, as far as the next block may refer to it. */
  #window: Buffer = Buffer.alloc(0);
  #begun = false;

  /** Names in small letters; a name or a zero byte twice is refused. Throws SpdyError. */
  read(block: Buffer): ReadonlyMap<string, string> {
    if (block.length > compressed_bytes_max) throw new SpdyError('the headers of a stream are too long');
    const bytes = this.#inflate(this.#begun ? block : this.#begin(block));
    this.#window = Buffer.concat([this.#window, bytes]).subarray(-window_bytes);
    return pairsOf(bytes);
  }

  /** RFC 1950, 2.2: two bytes, and where the dictionary is used its checksum. */
  #begin(block: Buffer): Buffer {
    const head = block.length < 2 ? 0 : block.readUInt16BE();
    const deflate = (head >> 8) % 16 === 8 && head % 31 === 0 && head > 0;
    if (!deflate) throw new SpdyError('the headers of a stream are not compressed with zlib');
    this.#begun = true;
    const named = (head & 0x20) !== 0;
    // Another dictionary would be read wrong: its checksum is what names it.
    if (named && (block.length < 6 || block.readUInt32BE(2) !== checksum(dictionary)))
      throw new SpdyError('the headers of a stream are compressed with a dictionary that is not that of SPDY/3');
    if (named) this.#window = dictionary;
    return block.subarray(named ? 6 : 2);
  }

  /** Each block ends at a whole byte and refers to no more than the window: it can be read by itself, and at once. */
  #inflate(block: Buffer): Buffer {
    try {
      return inflateRawSync(block, {
        ...(this.#window.length === 0 ? {} : { dictionary: this.#window }),
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: block_bytes_max,
      });
    } catch {
      throw new SpdyError('the headers of a stream cannot be decompressed, or are too long');
    }
  }
}

/** Adler-32 (RFC 1950, 8.2). */
function checksum(bytes: Buffer): number {
  let [a, b] = [1, 0];
  for (const byte of bytes) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  return b * 65_536 + a;
}

function pairsOf(bytes: Buffer): Map<string, string> {
  const pairs = new Map<string, string>();
  let at = 0;
  const number = () => {
    if (at + 4 > bytes.length) throw malformed();
    at += 4;
    return bytes.readUInt32BE(at - 4);
  };
  const text = () => {
    const length = number();
    if (length > bytes.length - at) throw malformed();
    at += length;
    return bytes.toString('latin1', at - length, at);
  };
  const count = number();
  if (count > pairs_max) throw malformed();
  for (let pair = 0; pair < count; pair++) {
    const name = text();
    const value = text();
    // A zero byte parts several values.
    if (!/^[a-z0-9!#$%&'*+.^_`|~:-]+$/.test(name) || pairs.has(name) || value.includes('\0')) throw malformed();
    pairs.set(name, value);
  }
  if (at !== bytes.length) throw malformed();
  return pairs;
}

const malformed = () => new SpdyError('the headers of a stream are malformed');

/** Writes the blocks of one direction: as stored blocks, which need no state but the beginning. */
export class HeaderWriter {
  #begun = false;

  write(headers: Readonly<Record<string, string>>): Buffer {
    const entries = Object.entries(headers);
    const count = Buffer.alloc(4);
    count.writeUInt32BE(entries.length);
    const bytes = Buffer.concat([count, ...entries.flat().map(prefixed)]);
    const stored = Buffer.alloc(5);
    stored.writeUInt16LE(bytes.length, 1);
    stored.writeUInt16LE(bytes.length ^ 0xffff, 3);
    const head = this.#begun ? [] : [zlibHead];
    this.#begun = true;
    return Buffer.concat([...head, stored, bytes, flush]);
  }
}

/** RFC 1950: DEFLATE, no dictionary. */
const zlibHead = Buffer.from([0x78, 0x01]);
/** An empty stored block, at which readers hand out what they have. */
const flush = Buffer.from([0, 0, 0, 0xff, 0xff]);
