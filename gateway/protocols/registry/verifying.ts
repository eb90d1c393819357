import { createHash, type Hash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Transform, type TransformCallback } from 'node:stream';
import { RequestRefusal, type Passed } from '../../web/index.js';
import type { Digest } from './names.js';

/**
 * Blobs on their way, in either direction: never held, but for the last piece, which goes on once the digest of all is what
 * it has to be. So nobody ends up with a whole blob that is another one.
 */
export class Checked extends Transform {
  readonly #hash: Hash;
  readonly #expected: Digest | undefined;
  readonly #bytes_max: number;
  #last: Buffer | undefined;
  #bytes = 0;
  #found = '';

  /** @param expected Undefined: it is not known what comes, and the digest by SHA-256 is found out. */
  constructor(expected: Digest | undefined, bytes_max = Infinity) {
    super();
    this.#hash = createHash(expected?.algorithm ?? 'sha256');
    this.#expected = expected;
    this.#bytes_max = bytes_max;
  }

  /** So far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Hexadecimal; empty before the end. */
  get found(): string {
    return this.#found;
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.#hash.update(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes > this.#bytes_max) return done(new TooLong());
    const before = this.#last;
    this.#last = chunk;
    if (before === undefined) done();
    else done(null, before);
  }

  override _flush(done: TransformCallback): void {
    this.#found = this.#hash.digest('hex');
    if (this.#expected !== undefined && this.#found !== this.#expected.hex) return done(new Mismatch());
    if (this.#last === undefined) done();
    else done(null, this.#last);
  }
}

/** What came has another digest than it was said to have. */
export class Mismatch extends RequestRefusal {
  constructor() {
    super(400, 'digest_invalid', 'the digest of what was sent is another one than the request says');
  }
}

class TooLong extends Error {}

/**
 * Passes a blob on as its client takes it; what is cut off, too long or no such blob ends without its last piece. Never
 * throws.
 *
 * @param expected Undefined for a part of a blob: it has no digest of its own.
 */
export function passBlob(
  from: IncomingMessage,
  to: ServerResponse,
  expected: Digest | undefined,
  bytes_max = Infinity,
): Promise<Passed & { readonly mismatch: boolean }> {
  const checked = new Checked(expected, bytes_max);
  return new Promise((resolve) => {
    let over = false;
    const finish = (how: Passed['how'], mismatch = false): void => {
      if (over) return;
      over = true;
      to.off('close', gone);
      from.destroy();
      if (how !== 'whole') to.destroy();
      resolve({ bytes: checked.bytes, how, mismatch });
    };
    const gone = (): void => finish('gone');
    to.once('close', gone);
    from.once('error', () => finish('cut'));
    from.once('close', () => {
      if (!from.complete) finish('cut');
    });
    checked.once('error', (error) => finish(error instanceof TooLong ? 'limit' : 'cut', error instanceof Mismatch));
    checked.once('end', () => {
      to.end();
      finish('whole');
    });
    if (to.destroyed) return gone();
    from.pipe(checked);
    checked.pipe(to, { end: false });
  });
}
