/** Lines of a text that comes in pieces: each is looked through once, however long a line grows. */
export class Lines {
  #pieces: string[] = [];
  /** Characters of the line that is not over. */
  length = 0;

  /** The lines that are over now, without their ends (LF, CR LF, CR). */
  push(text: string): string[] {
    const cut = this.#pieces.at(-1)?.endsWith('\r') === true;
    if (!cut && !/[\r\n]/.test(text)) {
      if (text !== '') this.#pieces.push(text);
      this.length += text.length;
      return [];
    }
    // A CR at the end may be half of a CR LF.
    const lines = [...this.#pieces, text].join('').split(/\r\n|\n|\r(?!$)/);
    const rest = lines.pop() ?? '';
    this.#pieces = rest === '' ? [] : [rest];
    this.length = rest.length;
    return lines;
  }
}
