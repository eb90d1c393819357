import type { Edited } from './line-editor.js';

/** Lines that come without a terminal (`ssh TARGET < script`): nobody sees them, and nothing is edited. */
export class PlainLines {
  #rest = '';

  /** The next line, if it is whole. */
  input(text: string): Edited {
    const all = this.#rest + text;
    const at = all.indexOf('\n');
    if (at === -1) {
      this.#rest = all;
      return { shown: '', rest: '' };
    }
    this.#rest = '';
    return { shown: '', typed: { kind: 'line', text: all.slice(0, at).replace(/\r$/u, '') }, rest: all.slice(at + 1) };
  }

  /** What has come of a line that has no end yet. */
  get open(): string {
    return this.#rest;
  }
}
