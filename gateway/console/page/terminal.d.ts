/** For the tests, which are checked by types; the page itself is plain JavaScript. */
import type { Screen } from './screen.js';

export class Terminal {
  constructor(columns: number, rows: number);
  readonly screen: Screen;
  write(text: string): void;
  copy(): Terminal;
}
