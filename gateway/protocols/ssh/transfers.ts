import { createHash } from 'node:crypto';
import type { Result, Transferred } from '../../protocol.js';
import type { TransferCopy } from './copies.js';

/** What goes to and comes from one open file over SFTP. */
export class Transfer {
  readonly #settle: (result: Result) => void;
  readonly #copy: TransferCopy | undefined;
  readonly #read = new Direction();
  readonly #written = new Direction();
  #over = false;
  #lost = false;

  /**
   * @param settle Of the operation that opened it.
   * @param copy Where policy has it kept.
   */
  constructor(settle: (result: Result) => void, copy: TransferCopy | undefined) {
    this.#settle = settle;
    this.#copy = copy;
    copy?.onLost(() => (this.#lost = true));
  }

  /** It has to be kept, and can no longer be: nothing more is transferred. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Before the bytes go on: false where they must not, as they are not kept. */
  read(offset: number, bytes: Buffer): Promise<boolean> | boolean {
    this.#read.take(offset, bytes);
    return this.#copy?.read(bytes, offset) ?? true;
  }

  /** The same. */
  written(offset: number, bytes: Buffer): Promise<boolean> | boolean {
    this.#written.take(offset, bytes);
    return this.#copy?.written(bytes, offset) ?? true;
  }

  /** It was closed, or the session is over. */
  end(given: Result): void {
    if (this.#over) return;
    this.#over = true;
    const read = this.#read.total;
    const written = this.#written.total;
    const file = { ...(read === undefined ? {} : { read }), ...(written === undefined ? {} : { written }) };
    const result: Result = {
      ...given,
      ...(this.#lost ? { status: 'cancelled', code: 'recording_failed' } : {}),
      bytes: read?.bytes ?? 0,
      sent_bytes: written?.bytes ?? 0,
      ...(Object.keys(file).length === 0 ? {} : { file }),
    };
    if (this.#copy === undefined) return this.#settle(result);
    void this.#copy
      .close(this.#lost ? 'recording_failed' : given.status)
      .then((kept) => this.#settle({ ...result, ...kept }));
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
