import { frontend } from '../codec.js';

/** [type: byte][length: int32] */
const header_bytes = 5;

/**
 * Looks for a Terminate among messages that nobody handles yet. A client whose operation waits is read ahead, within a
 * bound, for this alone: one that leaves says so, and may keep its socket open until the gateway has closed it.
 */
export class Farewells {
  /** How much has been read ahead. */
  bytes = 0;
  /** Of the present message, still to come. */
  #body = 0;
  #header: Buffer = Buffer.alloc(0);

  /** The next bytes of the stream, which begins between two messages. True where the client says that it leaves. */
  read(chunk: Buffer): boolean {
    this.bytes += chunk.length;
    let at = 0;
    while (at < chunk.length) {
      if (this.#body > 0) {
        const here = Math.min(this.#body, chunk.length - at);
        this.#body -= here;
        at += here;
        continue;
      }
      const part = chunk.subarray(at, at + header_bytes - this.#header.length);
      this.#header = Buffer.concat([this.#header, part]);
      at += part.length;
      if (this.#header.length < header_bytes) return false;
      if (this.#header[0] === frontend.terminate) return true;
      // What has no proper length is found out by whoever handles it: nothing behind it is a message.
      const length = this.#header.readInt32BE(1);
      this.#body = length < 4 ? Infinity : length - 4;
      this.#header = Buffer.alloc(0);
    }
    return false;
  }
}
