import type { ClientChannel } from 'ssh2';

/** A terminal: what is shown, and what is typed when something was shown. */
export class Terminal {
  shown = '';
  code: number | null = null;
  prompt = '';
  readonly #channel: ClientChannel;
  readonly over: Promise<void>;
  #look: () => void = () => undefined;

  constructor(channel: ClientChannel) {
    this.#channel = channel;
    channel.on('data', (chunk: Buffer) => this.#show(chunk));
    channel.stderr.on('data', (chunk: Buffer) => this.#show(chunk));
    channel.on('exit', (given: number | null) => (this.code = given));
    this.over = new Promise((resolve) => channel.once('close', () => resolve()));
  }

  #show(chunk: Buffer): void {
    this.shown += chunk.toString();
    this.#look();
  }

  type(keys: string): void {
    this.#channel.write(keys);
  }

  end(): void {
    this.#channel.end();
  }

  resize(rows: number, columns: number): void {
    this.#channel.setWindow(rows, columns, 0, 0);
  }

  /** What was shown up to and with these words; it is not looked at again. */
  async until(words: string): Promise<string> {
    for (;;) {
      const at = this.shown.indexOf(words);
      if (at !== -1) {
        const seen = this.shown.slice(0, at + words.length);
        this.shown = this.shown.slice(at + words.length);
        return seen;
      }
      await new Promise<void>((resolve) => (this.#look = resolve));
    }
  }

  /** Types a line at a prompt, and gives what is shown up to the next. */
  async line(text: string): Promise<string> {
    this.type(`${text}\r`);
    await this.until('\r\n\x1b[?2004l');
    const said = await this.until('\x1b[?2004h');
    this.prompt = await this.until('$ ');
    return said.replace('\x1b[?2004h', '');
  }
}
