/** For the tests, which are checked by types; the page itself is plain JavaScript. */
import type { Cast } from './cast.js';
import type { Terminal } from './terminal.js';

export class Playback {
  constructor(cast: Cast, pause_s_max?: number);
  readonly terminal: Terminal;
  readonly seconds: number;
  readonly at: number;
  readonly recorded_s: number;
  readonly copies: readonly unknown[];
  pace(pause_s_max: number): void;
  seek(seconds: number): void;
  step(): void;
  work(units_max: number): boolean;
}
