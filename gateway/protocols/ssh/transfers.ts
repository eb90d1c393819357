import { createHash } from 'node:crypto';
import type { Result, Transferred } from '../../protocol.js';

/** What goes to and comes from one open file over SFTP. */
export class Transfer {
  readonly #settle: (result: Result) => void;
  readonly #read = new Direction();
  readonly #written = new Direction();
  #over = false;

  /** @param settle Of the operation that opened it. */
  constructor(settle: (result: Result) => void) {
    this.#settle = settle;
  }

  read(offset: number, bytes: Buffer): void {
    this.#read.take(offset, bytes);
  }

  written(offset: number, bytes: Buffer): void {
    this.#written.take(offset, bytes);
  }

  /** It was closed, or the session is over. */
  end(result: Result): void {
    if (this.#over) return;
    this.#over = true;
    const read = this.#read.total;
    const written = this.#written.total;
    const file = { ...(read === undefined ? {} : { read }), ...(written === undefined ? {} : { written }) };
    this.#settle({
      ...result,
      bytes: read?.bytes ?? 0,
      sent_bytes: written?.bytes ?? 0,
      ...(Object.keys(file).length === 0 ? {} : { file }),
    });
  }
}

/** Clients ask for many pieces at once, and servers answer in that order: then it has a digest. */
class Direction {
  readonly #digest = createHash('sha256');
  #bytes = 0;
  #next = 0;
  #inOrder = true;

  take(offset: number, bytes: Buffer): void {
    this.#bytes += bytes.length;
    this.#inOrder &&= offset === this.#next;
    this.#next = offset + bytes.length;
    if (this.#inOrder) this.#digest.update(bytes);
  }

  get total(): Transferred | undefined {
    if (this.#bytes === 0) return undefined;
    return { bytes: this.#bytes, ...(this.#inOrder ? { sha256: this.#digest.copy().digest('hex') } : {}) };
  }
}
