import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** A terminal that is one: tmux draws what a program writes, and what stands on its screen is read from there. */
export class Tmux {
  readonly #socket: string;
  readonly #environment: NodeJS.ProcessEnv;
  #last = '';

  /** @param folder For its socket. @param command Of bash; the screen stays when it has ended. */
  constructor(folder: string, command: string, environment: Readonly<Record<string, string>>) {
    this.#socket = join(folder, 'tmux.sock');
    this.#environment = { ...process.env, ...environment, TMUX: '' };
    const options = ['set-option -g remain-on-exit on', 'set-option -g default-terminal screen', 'set-option -g history-limit 5000']; // prettier-ignore
    this.#ask('-f', '/dev/null', 'start-server', ...options.flatMap((option) => [';', ...option.split(' ')]), ';', 'new-session', '-d', '-x', '80', '-y', '24', 'bash', '-c', command); // prettier-ignore
  }

  #ask(...words: readonly string[]): string {
    const { status, stdout, stderr } = spawnSync('tmux', ['-u', '-S', this.#socket, ...words], { encoding: 'utf8', env: this.#environment }); // prettier-ignore
    if (status !== 0) throw new Error(`tmux ${words[0] ?? ''} ended with ${String(status)}: ${stderr}`);
    return stdout;
  }

  /** Keys by their names in tmux: Left, C-a, Enter. */
  keys(...names: readonly string[]): void {
    this.#ask('send-keys', ...names);
  }

  /** Letters, as they are. */
  type(text: string): void {
    this.#ask('send-keys', '-l', text);
  }

  /** A paste, marked as one where the program asked for that. */
  paste(text: string): void {
    this.#ask('set-buffer', text);
    this.#ask('paste-buffer', '-p');
  }

  resize(columns: number, rows: number): void {
    this.#ask('resize-window', '-x', String(columns), '-y', String(rows));
  }

  /** The lines of the screen, without what is empty at its end. */
  get screen(): string {
    return this.#ask('capture-pane', '-p').trimEnd();
  }

  /** Where the cursor stands: column and row, from 0. */
  get cursor(): readonly [number, number] {
    const [column, row] = this.#ask('display-message', '-p', '#{cursor_x} #{cursor_y}').trim().split(' ').map(Number);
    return [column!, row!];
  }

  /** The screen, once it fits. */
  async until(fits: RegExp | ((screen: string) => boolean)): Promise<string> {
    const end_ms = performance.now() + 60_000;
    for (;;) {
      this.#last = this.screen;
      if (typeof fits === 'function' ? fits(this.#last) : fits.test(this.#last)) return this.#last;
      if (performance.now() > end_ms) throw new Error(`the screen never came to ${String(fits)}:\n${this.#last}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  close(): void {
    this.#ask('kill-server');
  }
}
