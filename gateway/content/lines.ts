/**
 * What a line ends in: LF alone, as JSON may have CR between its words; or LF, CR LF and CR alike, as events do (WHATWG HTML,
 * "Server-sent events").
 */
export type LineEnds = 'lf' | 'any';

/** So many pieces are joined to one, so that a line that comes a byte at a time takes little more room than its text. */
const pieces_max = 1_024;

/** Lines of a text that comes in pieces: each is looked through once, however long a line grows. */
export class Lines {
  readonly #any: boolean;
  /** The line that is not over. */
  readonly #blocks: string[] = [];
  readonly #pieces: string[] = [];
  /** Whether its last character is a CR, which may be half of a CR LF. */
  #cut = false;
  /** Its characters: for the caller to bound. */
  length = 0;

  constructor(ends: LineEnds) {
    this.#any = ends === 'any';
  }

  /** The lines that are over now, without their ends. */
  push(text: string): string[] {
    if (text === '') return [];
    if (!this.#cut && !(this.#any ? /[\r\n]/.test(text) : text.includes('\n'))) {
      this.#keep(text);
      return [];
    }
    const lines = (this.rest() + text).split(this.#any ? /\r\n|\n|\r(?!$)/ : '\n');
    const rest = lines.pop() ?? '';
    this.#keep(rest);
    this.#cut = this.#any && rest.endsWith('\r');
    return lines;
  }

  /** Takes out what stands behind the last end. */
  rest(): string {
    const rest = this.#blocks.splice(0).join('') + this.#pieces.splice(0).join('');
    this.#cut = false;
    this.length = 0;
    return rest;
  }

  #keep(text: string): void {
    this.#pieces.push(text);
    this.length += text.length;
    if (this.#pieces.length === pieces_max) this.#blocks.push(this.#pieces.splice(0).join(''));
  }
}
