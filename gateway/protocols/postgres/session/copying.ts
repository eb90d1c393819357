import { ProtocolError } from '../../../errors.js';
import * as codec from '../codec.js';
import { frontend, type FrameReader } from '../codec.js';
import type { Awaitable, Exchange } from './exchange.js';

/**
 * COPY FROM STDIN. In copy-in mode only COPY's own messages mean anything.
 *
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY
 */
export class Copying {
  /** The server is in copy-in mode. */
  active = false;
  readonly #exchange: Exchange;
  readonly #left: () => void;
  /** A CopyData frame has been sent in part: the rest of it follows, whatever becomes of the COPY. */
  #cut = false;
  #resume: ((until: Awaitable) => void) | undefined;

  /** @param left The client has said good-bye. */
  constructor(exchange: Exchange, left: () => void) {
    this.#exchange = exchange;
    this.#left = left;
  }

  /** A message in copy-in mode; the server ignores Flush and Sync then. */
  message(frame: FrameReader): Awaitable {
    switch (frame.type) {
      case frontend.copyData:
        this.#pass(frame);
        return;
      case frontend.copyDone:
      case frontend.copyFail:
        this.active = false;
        this.#exchange.toUpstream.pass(frame.buffer, frame.start, frame.end);
        // Of a COPY that an Execute began the server would keep the answer until a Sync, which is not read before it.
        this.#exchange.toUpstream.push(codec.flush);
        return this.untilClear();
      case frontend.flush:
      case frontend.sync:
        return;
      case frontend.terminate:
        this.#left();
        return;
      default:
        throw new ProtocolError(`unexpected message type ${codec.describeType(frame.type)} during COPY from stdin`);
    }
  }

  /**
   * COPY's messages outside of copy-in mode are left over from one that failed: the server would ignore them too. But a
   * frame whose beginning has been sent is sent whole, or the server would take its rest out of the next message.
   */
  leftOver(frame: FrameReader): void {
    if (this.#cut && !frame.first) this.#pass(frame);
  }

  #pass(frame: FrameReader): void {
    this.#exchange.toUpstream.pass(frame.buffer, frame.start, frame.end);
    this.#cut = !frame.last;
  }

  /** Whether the server is in copy-in mode decides what the next message means: nothing is read until it has said so. */
  untilClear(): Promise<void> {
    this.#exchange.flush();
    return new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  /** The server is in copy-in mode, or (false) a statement that may have been a COPY is over, and `until` is waited for before all else. */
  clear(active: boolean, until?: Awaitable): void {
    this.active = active;
    this.wake(until);
  }

  /** Ends the wait, as what was waited for will not come. */
  wake(until?: Awaitable): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.(until);
  }
}
