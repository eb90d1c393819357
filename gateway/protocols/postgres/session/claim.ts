import type { Prompt } from '../../../protocol.js';
import type { Template } from '../judging/statement.js';
import { promptIn, promptSetting } from '../prompt.js';
import type { Exchange } from './exchange.js';

/**
 * Which prompt the session says it works for: the setting `sallyport.prompt`. The server keeps it as it keeps every setting, so
 * that SET LOCAL, savepoints, ROLLBACK, RESET and DISCARD do with it what they always do. The gateway asks for it before the
 * next statement is judged, after anything that may have changed it; a session that never names it asks nothing.
 */
export class Claim {
  readonly #exchange: Exchange;
  readonly #say: (prompt: Prompt | undefined) => void;
  /** What the server has may be another value than what was last read. */
  #stale = false;
  /** The present transaction may have changed it: its end may change it back. */
  #moved = false;
  /** It was named, here or in the start-up packet. */
  #used: boolean;
  /** The server knows the setting: SHOW, which takes no snapshot, may be asked. */
  #known = false;

  /** @param say Told the session's prompt whenever it was read; undefined: what the session began with. */
  constructor(exchange: Exchange, atStartup: boolean, say: (prompt: Prompt | undefined) => void) {
    this.#exchange = exchange;
    this.#used = atStartup;
    this.#say = say;
  }

  /** Whether it has to be read before another statement is judged. In a failed transaction nobody can, and nothing runs. */
  get stale(): boolean {
    return this.#stale && this.#exchange.transaction !== 'E';
  }

  /** A statement is let through. True: it names the setting. */
  sent({ statements }: Template): boolean {
    const names = statements.some(({ facts }) => facts.settings.includes(promptSetting) && facts.kind !== 'show');
    if (names) this.#used = true;
    if (!this.#used) return false;
    if (names || statements.some(({ facts, moves }) => moves.anything || resetting.has(facts.kind))) {
      this.#stale = true;
      this.#moved = true;
    } else if (this.#moved && statements.some(({ control }) => undoing.has(control.kind))) this.#stale = true;
    return names;
  }

  /** A statement that names the setting has run. */
  ran(): void {
    this.#known = true;
  }

  /** The server stands in no transaction. */
  idle(): void {
    if (this.#moved) this.#stale = true;
    this.#moved = false;
  }

  /** Asks the server. Rejects with AskFailed. */
  async read(): Promise<void> {
    const exchange = this.#exchange;
    await exchange.drained();
    if (exchange.over || exchange.skipping || !this.stale) return;
    this.#stale = false;
    // In a transaction whose isolation is still to be set no snapshot may be taken.
    const sql = this.#known
      ? `show ${promptSetting}`
      : `select pg_catalog.current_setting('${promptSetting}', true) as value`;
    try {
      const [row] = await exchange.ask(sql, []);
      this.#say(promptIn(row?.[0] ?? ''));
    } catch (error) {
      this.#stale = true;
      throw error;
    }
  }
}

const resetting: ReadonlySet<string> = new Set(['reset', 'discard']);
const undoing: ReadonlySet<string> = new Set(['commit', 'rollback', 'rollback_to', 'prepare_transaction']);
