import type { Socket } from 'node:net';

/** Up to here it costs less to put slices together than to hand them to the kernel one by one; rows of any size are not copied. */
const joined_bytes_max = 16 * 1024;

/**
 * What is to be written to one socket. Slices that lie side by side in one buffer go out as one, so that a chunk from
 * which nothing was taken leaves as the buffer it came in; a batch is one write.
 */
export class Outbox {
  readonly #socket: Socket;
  #slices: Buffer[] = [];
  #buffer: Buffer | undefined;
  #start = 0;
  #end = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get empty(): boolean {
    return this.#buffer === undefined && this.#slices.length === 0;
  }

  /** Passes on `buffer[start..end)` as it is. The buffer must not change afterwards. */
  pass(buffer: Buffer, start: number, end: number): void {
    if (this.#buffer === buffer && this.#end === start) {
      this.#end = end;
      return;
    }
    this.#seal();
    this.#buffer = buffer;
    this.#start = start;
    this.#end = end;
  }

  /**
   * Passes on what may have become shorter where it lay, behind what already waits of the same buffer: it is moved there,
   * so that a chunk still leaves in one piece. What lies between must be done with.
   */
  pull(buffer: Buffer, start: number, end: number): void {
    if (this.#buffer !== buffer || start <= this.#end) return this.pass(buffer, start, end);
    buffer.copyWithin(this.#end, start, end);
    this.#end += end - start;
  }

  push(message: Buffer): void {
    this.#seal();
    this.#slices.push(message);
  }

  /** Hands everything to the socket. False: it has enough for now, and 'drain' will say when it wants more. */
  flush(): boolean {
    if (this.#slices.length === 0) {
      if (this.#buffer === undefined) return !this.#socket.writableNeedDrain;
      const only = this.#whole();
      this.#buffer = undefined;
      return this.#socket.write(only);
    }
    this.#seal();
    const slices = this.#slices;
    this.#slices = [];
    let bytes = 0;
    for (const slice of slices) bytes += slice.length;
    if (bytes <= joined_bytes_max)
      return this.#socket.write(slices.length === 1 ? slices[0]! : Buffer.concat(slices, bytes));
    this.#socket.cork();
    let wants = true;
    for (const slice of slices) wants = this.#socket.write(slice);
    this.#socket.uncork();
    return wants;
  }

  #whole(): Buffer {
    const buffer = this.#buffer!;
    return this.#start === 0 && this.#end === buffer.length ? buffer : buffer.subarray(this.#start, this.#end);
  }

  #seal(): void {
    if (this.#buffer === undefined) return;
    this.#slices.push(this.#whole());
    this.#buffer = undefined;
  }
}
