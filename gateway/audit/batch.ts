/** Records that are written together, in their order. Those that asked for it wait for one promise together. */
export class Batch {
  readonly #lines: Line[] = [];
  /** All lines: put together as they come, copied only when they are written. */
  #text = '';
  bytes = 0;
  #settle: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #written: Promise<void> | undefined;

  get empty(): boolean {
    return this.#lines.length === 0;
  }

  /** Whether somebody waits for it to be on disk. */
  get awaited(): boolean {
    return this.#written !== undefined;
  }

  add(line: Line): void {
    this.#lines.push(line);
    this.#text += line.text;
    this.bytes += line.bytes;
  }

  /** Resolves when the batch is written as its records asked; one promise for all of them. */
  get written(): Promise<void> {
    if (this.#written === undefined) {
      this.#written = new Promise((resolve, reject) => {
        this.#settle = { resolve, reject };
      });
      // Whoever asked may have gone meanwhile (a connection that broke): that is no reason to end the process.
      this.#written.catch(() => undefined);
    }
    return this.#written;
  }

  content(): Buffer {
    return Buffer.from(this.#text);
  }

  resolve(): void {
    this.#settle?.resolve();
  }

  /** Tells those who wait, and returns what nobody waited for, with the numbers of what is refused by this. */
  reject(error: Error): { kept: readonly Line[]; refused: readonly number[] } {
    this.#settle?.reject(error);
    return {
      kept: this.#lines.filter(({ durable }) => !durable),
      refused: this.#lines.filter(({ durable }) => durable).map(({ sequence }) => sequence),
    };
  }
}

export interface Line {
  readonly text: string;
  /** Counted as characters, which is what they are but for those beyond ASCII: their exact number would cost a copy. */
  readonly bytes: number;
  readonly sequence: number;
  readonly durable: boolean;
}
