/** Where values of upstreams come from. Nothing here ever names a value: places and reasons may be logged and shown. */

/** What a place gave. */
export interface Given {
  /** By name; where there is but one, its name is "". */
  readonly values: ReadonlyMap<string, string>;
  /** Milliseconds since the epoch: after that it is good for nothing. Absent: it has no end that is known. */
  readonly expires_ms?: number;
  /** How long from now it should be asked for again; absent: when the place says that it changed. */
  readonly again_ms?: number;
}

export interface Place {
  /** "the file /run/secrets/orders": stands in a sentence. */
  readonly name: string;
  /** Asks for what is there now. @throws NotGiven */
  read(): Promise<Given>;
  /** Asks for more time for what was given; undefined: it has to be read anew. @throws NotGiven */
  extend?(given: Given): Promise<Given | undefined>;
  /** Calls back when what is there may be another. */
  watch?(changed: () => void): void;
  close?(): void;
}

/** A place did not give what it was asked for. The message holds no secret: it goes into logs and refusals. */
export class NotGiven extends Error {
  /** The place answered, and the answer was no: what it gave before is not to be used any longer. */
  readonly final: boolean;

  constructor(message: string, options: { final?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'NotGiven';
    this.final = options.final ?? false;
  }
}

/** A place that holds one value. */
export const single = (value: string): ReadonlyMap<string, string> => new Map([['', value]]);
