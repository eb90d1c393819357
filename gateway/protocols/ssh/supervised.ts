import { setImmediate as others } from 'node:timers/promises';
import type { PseudoTtyInfo, ServerChannel } from 'ssh2';
import type { Prompt } from '../../protocol.js';
import {
  changesShell,
  continuationOf,
  filledIn,
  lastingOf,
  programsData,
  programsOf,
  quoted,
  type Lasting,
} from '../../shell/index.js';
import { harmlessLine } from './cells.js';
import { CommandSide, type Show } from './command-side.js';
import { exitDenied, exitFailed, line } from './enforce.js';
import { exitElsewhere, folderOf, Kept } from './kept.js';
import { line_chars_max, LineEditor, tornOff, type Typed } from './line-editor.js';
import { execOperation, type ExecOperation } from './operation.js';
import { PlainLines } from './plain-lines.js';
import { opened as openedChannel } from './relay.js';
import type { Opened, Owner, Running } from './runs.js';
import type { SshOperation } from './schema.js';
import { openLending } from './ssh-agent.js';
import { ShellScreen } from './shell-screen.js';

/**
 * A shell in which every complete line is judged as `ssh TARGET LINE` is, and is a command of its own on the host. There is no
 * shell on the host between two lines: what stays (the folder, variables) is kept here.
 *
 *     reading ──line──▶ judging ──allowed──▶ running ──ended──▶ reading
 *        ▲                 │ denied, taken back (^C)
 *        └─────────────────┘
 */

/** Lines of one that goes on. */
const continued_lines_max = 500;
/** What a parser reads of them in all: the whole, with each that comes. */
const continued_read_max = 1_048_576;
/** What is typed before the lines in front of it are done. */
const ahead_chars_max = 65_536;
/** What `pwd` may say. */
const told_bytes_max = 8_192;
const prompt_chars_max = 48;

export interface SupervisedParts {
  readonly channel: ServerChannel;
  readonly owner: Owner;
  readonly opened: Opened;
  readonly prompt: Prompt | undefined;
  /** Undefined: lines come from a file or a program, and nothing is shown of them. */
  readonly terminal: PseudoTtyInfo | undefined;
  readonly environment: Readonly<Record<string, string>>;
  /** Its lines are lent the client's ssh-agent. */
  readonly lends: boolean;
}

export class SupervisedShell {
  readonly #parts: SupervisedParts;
  readonly #kept: Kept;
  readonly #screen: ShellScreen;
  readonly #editor: LineEditor | undefined;
  readonly #lines: LineEditor | PlainLines;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  /** Typed, and not read yet. */
  #ahead = '';
  #ended = false;
  /** Complete lines that were typed together with the one that runs. */
  #queue: string[] = [];
  /** The beginning of a line that is not complete. */
  #open = '';
  /** How much was read to find its end. */
  #openRead = 0;
  /** Something was typed that had no room: what comes behind it may be half a line, and nothing is one until ^C. */
  #lost = false;
  #command: CommandSide | undefined;
  #running: Running | undefined;
  #over = false;
  /** Why it is over, where it is not the client's own wish. */
  #said: string | undefined;
  /** Wakes whoever waits for something to be typed. */
  #wake: () => void = () => undefined;

  constructor(parts: SupervisedParts) {
    this.#parts = parts;
    const { channel, owner, opened, terminal, environment } = parts;
    this.#kept = new Kept(environment);
    this.#editor = terminal === undefined ? undefined : new LineEditor(terminal.cols);
    this.#lines = this.#editor ?? new PlainLines();
    this.#screen = new ShellScreen({
      ...{ channel, opened, session: owner.session, terminal: terminal !== undefined },
      stop: (said, code) => this.#leave(code, said),
    });
  }

  /** What runs now. */
  get running(): Running | undefined {
    return this.#running;
  }

  resize({ rows, cols, height, width }: { rows: number; cols: number; height: number; width: number }): void {
    this.#editor?.resize(cols);
    this.#parts.opened.recording?.resize(cols, rows);
    this.#running?.upstream.setWindow(rows, cols, height, width);
  }

  /** Reads and runs lines until there are no more. */
  async run(): Promise<void> {
    const { channel, opened } = this.#parts;
    channel.on('data', (chunk: Buffer) => this.#typed(chunk));
    channel.once('end', () => {
      this.#ended = true;
      this.#command?.typed(null);
      this.#wake();
    });
    const left = () => {
      this.#over = true;
      this.#command?.destroy();
      this.#wake();
    };
    opened.gone.addEventListener('abort', left, { once: true });
    if (opened.gone.aborted) left();
    this.#begin();
    for (;;) {
      const typed = await this.#next();
      if (typed === undefined) break;
      await this.#act(typed);
      if (this.#over) break;
      this.#begin();
    }
    await this.#screen.close(this.#kept.status, this.#said);
  }

  /** A program that has a terminal gets what is typed while it runs; all else waits for its turn. */
  #typed(chunk: Buffer): void {
    const { channel } = this.#parts;
    // What comes behind the end is nobody's.
    if (this.#over) return;
    if (this.#running !== undefined && this.#command?.takesInput === true) {
      if (!this.#command.typed(chunk)) channel.pause();
      return;
    }
    let text = this.#decoder.decode(chunk, { stream: true });
    if (this.#editor !== undefined && (this.#command !== undefined || this.#lost)) text = this.#interrupted(text);
    if (!this.#lost) this.#ahead += text;
    if (this.#ahead.length > ahead_chars_max) this.#tooMuch();
    this.#wake();
  }

  /** What counts from a ^C on: of what stands before it nothing does. */
  #interrupted(text: string): string {
    const at = text.lastIndexOf('\x03');
    if (at === -1) return text;
    this.#forget();
    this.#lost = false;
    // At the prompt, it is a key like others.
    if (this.#command === undefined) return text.slice(at);
    this.#screen.say('^C\r\n');
    this.#command.interrupt();
    return text.slice(at + 1);
  }

  #tooMuch(): void {
    // With a piece left out, what stands around it would be a line that nobody wrote: more waits where it comes from.
    if (this.#editor === undefined || this.#command === undefined) return void this.#parts.channel.pause();
    // There, a ^C would wait with it.
    this.#lose(`more than ${ahead_chars_max} characters were typed ahead`);
  }

  #lose(why: string): void {
    this.#forget();
    this.#lost = true;
    void this.#screen.tell(line(`${why}; nothing that is typed counts until Ctrl-C`));
  }

  /** As terminals do at ^C: what was typed before it is gone as well. */
  #forget(): void {
    this.#ahead = '';
    this.#queue = [];
    this.#open = '';
  }

  /** The next line, or what else was typed; undefined where the shell is over. */
  async #next(): Promise<Typed | undefined> {
    for (;;) {
      if (this.#ahead !== '') await others();
      await this.#screen.taken();
      if (this.#over) return undefined;
      const { shown, typed, rest } = this.#lines.input(this.#ahead);
      this.#ahead = rest;
      this.#screen.say(shown);
      if (typed !== undefined) return typed;
      if (this.#lines instanceof PlainLines && this.#lines.open.length > line_chars_max) return { kind: 'cut' };
      if (rest !== '') continue;
      if (this.#ended) return this.#lastLine();
      this.#parts.channel.resume();
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** What is left where no more comes: of a script a line without an end, in a terminal nothing. */
  #lastLine(): Typed {
    if (!(this.#lines instanceof PlainLines) || this.#lines.open === '') return { kind: 'end' };
    const { typed } = this.#lines.input('\n');
    return typed ?? { kind: 'end' };
  }

  #begin(): void {
    if (this.#over || this.#editor === undefined) return;
    this.#screen.freshLine();
    this.#screen.say(this.#editor.begin(this.#open === '' ? this.#prompt() : '> '));
  }

  #prompt(): string {
    const { owner } = this.#parts;
    const folder = harmlessLine(this.#kept.folder);
    const clipped = folder.length > prompt_chars_max ? `…${folder.slice(-prompt_chars_max)}` : folder;
    return harmlessLine(`${owner.place.user}@${owner.session.target.input.name}:${clipped}$ `);
  }

  async #act(typed: Typed): Promise<void> {
    if (this.#editor !== undefined) this.#screen.record(`${this.#editor.screenLine}${typed.kind === 'interrupt' ? '^C' : ''}\r\n`); // prettier-ignore
    if (typed.kind === 'interrupt') {
      this.#open = '';
      this.#kept.status = 130;
      return;
    }
    if (typed.kind === 'end') {
      if (this.#open !== '') {
        await this.#screen.tell(line('the last line is not complete: it was not run'));
        this.#kept.status = 2;
      }
      return this.#leave(this.#kept.status);
    }
    if (typed.kind === 'cut') await this.#tooLong(false);
    else await this.#take(typed.text);
    for (let next = this.#queue.shift(); next !== undefined && !this.#over; next = this.#queue.shift())
      await this.#run(next);
  }

  /** What is typed may be several lines, and less than one. */
  async #take(text: string): Promise<void> {
    const pieces = text.split('\n');
    for (const piece of pieces) {
      const whole = this.#open + piece;
      if (this.#open === '') this.#openRead = 0;
      else await others();
      if (this.#over) return;
      this.#openRead += whole.length;
      if (
        whole.length > line_chars_max ||
        this.#openRead > continued_read_max ||
        whole.split('\n').length > continued_lines_max
      )
        return this.#tooLong(this.#open !== '' && pieces.length === 1);
      const goesOn = continuationOf(whole);
      if (goesOn === 'open') this.#open = `${whole}\n`;
      else if (goesOn === 'joined') this.#open = whole.slice(0, -1);
      else {
        this.#open = '';
        this.#queue.push(whole);
        this.#editor?.remember(whole);
      }
    }
  }

  /**
   * Nothing is run of a line that has no end within its bounds, nor of what was pasted with it.
   *
   * @param goesOn Its rest is still to come, and would be lines that nobody wrote.
   */
  async #tooLong(goesOn: boolean): Promise<void> {
    const why = `a line has more than ${line_chars_max} characters, or ${continued_lines_max} lines, or is too much to read: it was not run`;
    this.#kept.status = exitDenied;
    this.#open = '';
    this.#queue = [];
    // A script says no ^C.
    if (this.#editor === undefined) return this.#leave(exitDenied, line(why));
    if (goesOn) this.#lose(why);
    else await this.#screen.tell(line(why));
  }

  async #run(text: string): Promise<void> {
    if (/^\s*(#[^\n]*)?$/u.test(text)) return;
    const filled = filledIn(text, this.#kept.values);
    const lasting = lastingOf(filled);
    switch (lasting?.kind) {
      case 'exit':
        return this.#leave(lasting.code ?? this.#kept.status);
      case 'cd':
        return this.#enter(filled, lasting);
      case 'export':
      case 'unset':
      case 'umask':
        return this.#keep(lasting);
      default:
        return this.#execute(filled, lasting === undefined ? [] : [lasting.why]);
    }
  }

  async #keep(lasting: Extract<Lasting, { kind: 'export' | 'unset' | 'umask' }>): Promise<void> {
    const kept = this.#kept;
    kept.status = 0;
    if (lasting.kind === 'umask') kept.umask = lasting.mask;
    else {
      const values =
        lasting.kind === 'export' ? lasting.values : lasting.names.map((name) => [name, undefined] as const);
      if (values.every(([name, value]) => kept.set(name, value))) return;
      kept.status = 1;
      await this.#screen.tell(line('there are too many variables already'));
    }
  }

  /** Goes where the host says that the folder really is: what stands behind is judged there. */
  async #enter(whole: string, { folder, rest }: Extract<Lasting, { kind: 'cd' }>): Promise<void> {
    const { owner } = this.#parts;
    const kept = this.#kept;
    const back = folder === '-';
    if (back && kept.previous === undefined) {
      kept.status = 1;
      return this.#screen.tell(line('cd: there is no folder from before'));
    }
    const word = !back ? folder : kept.previous === '~' ? '~' : quoted(kept.previous!);
    // What is denied as a whole is not begun: it would be half done.
    const all = back && rest !== undefined ? `cd ${word} && ${rest}` : whole;
    if (rest !== undefined && this.#denies(all)) return this.#execute(all, []);
    let told = Buffer.alloc(0);
    const command = await this.#started(this.#understood(entering(word), [], false), async (stream, bytes) => {
      if (stream === 'stderr') return this.#screen.show(stream, bytes);
      told = Buffer.concat([told, bytes]).subarray(0, told_bytes_max);
    });
    if (command.code === exitElsewhere) return this.#lookAround();
    if (command.code !== 0 || this.#over) return;
    const found = folderOf(told);
    if (found === undefined) {
      kept.status = 1;
      return this.#screen.tell(line('cd: what the host says of this folder is not the plain name of one: nothing was changed')); // prettier-ignore
    }
    // It came as it is shown, and would name another folder.
    if (found.includes('***') && owner.session.masks()) {
      kept.status = 1;
      return this.#screen.tell(line('cd: what policy masks stands in the name of this folder: nothing was changed'));
    }
    kept.enter(found);
    if (back) await this.#screen.tell(`${harmlessLine(found)}\r\n`);
    if (rest !== undefined) this.#queue.unshift(rest);
  }

  /** A line says by its exit code that it did not run, as its folder is none any more: the next ones need one that is. */
  async #lookAround(): Promise<void> {
    const kept = this.#kept;
    const { folder: lost, previous, status } = kept;
    if (lost === '~' || this.#over) return;
    // It is there: the code was a program's own.
    if (await this.#entered(lost)) return void Object.assign(kept, { previous, status });
    const why = `${lost} cannot be entered any more: the line did not run`;
    // What its next lines were meant for is not there.
    if (this.#editor === undefined) return this.#leave(1, line(`${why}, and no other does`));
    const home = (await this.#entered('~')) || (await this.#entered('/'));
    if (this.#over) return;
    if (!home) Object.assign(kept, { folder: lost, previous });
    kept.status = 1;
    const where = !home ? 'neither the home folder nor / can be entered' : `the next ones run in ${kept.folder === '~' ? 'the home folder' : kept.folder}`; // prettier-ignore
    if (this.#queue.length > 0 || this.#ahead !== '') this.#lose(`${why}; ${where}`);
    else await this.#screen.tell(line(`${why}, and ${where}`));
  }

  /** Whether policy and the host let it be entered; then it is. From the home folder, as nothing is known of another. */
  async #entered(folder: string): Promise<boolean> {
    this.#kept.enter('~');
    const look = entering(folder === '~' ? folder : quoted(folder));
    if (this.#over || this.#outcomeOf(look) !== 'allow') return false;
    const { code } = await this.#started(this.#understood(look, [], false), async () => undefined);
    if (code !== 0 || this.#over) return false;
    this.#kept.folder = folder;
    return true;
  }

  #denies(text: string): boolean {
    return this.#outcomeOf(text) === 'deny';
  }

  #outcomeOf(text: string): string {
    const { owner, prompt } = this.#parts;
    const { operation } = this.#understood(text, [], false);
    return owner.session.decide(operation, prompt === undefined ? {} : { prompt }).outcome;
  }

  async #execute(text: string, because: readonly string[]): Promise<void> {
    const understood = this.#best(text, because);
    const command = await this.#started(understood, undefined);
    if (command.code === exitElsewhere) return this.#lookAround();
    const changed = [
      ...new Set(((understood.operation['ssh'] as SshOperation).commands ?? []).map(({ program }) => program)),
    ];
    const lost = changed.filter((program) => changesShell.has(program));
    if (command.decided && lost.length > 0 && !this.#over)
      await this.#screen.tell(line(`what ${lost.join(', ')} changed is not kept for the next line: give it a line of its own`)); // prettier-ignore
  }

  /** With a terminal; without one what would only start a pager in it. */
  #best(text: string, because: readonly string[]): Understood {
    if (this.#parts.terminal === undefined) return this.#understood(text, because, false);
    const within = this.#understood(text, because, true);
    if (!within.operation.opaque) return within;
    const without = this.#understood(text, because, false);
    return without.operation.opaque ? within : without;
  }

  #understood(text: string, because: readonly string[], terminal: boolean): Understood {
    const { owner } = this.#parts;
    const { known } = owner;
    const { folder, umask, prefix, environment } = this.#kept;
    const surroundings = {
      ...{ terminal, environment, programs: programsOf(known?.documents ?? []) },
      line: { folder, umask, prefix, because },
    };
    return {
      ...execOperation(owner.place, text, surroundings),
      terminal: terminal ? this.#parts.terminal : undefined,
      understoodBy: known === undefined ? undefined : { data: programsData, digest: known.digest },
    };
  }

  /** Judges it, runs it, waits for its end. `take`: gets what it says, in the place of the client. */
  async #started(understood: Understood, take: Show | undefined): Promise<CommandSide> {
    const { owner, prompt, environment, opened, channel, lends } = this.#parts;
    const { operation, sent, terminal, understoodBy } = understood;
    const command = new CommandSide({
      show: take ?? ((stream, bytes) => this.#screen.show(stream, bytes)),
      terminal: terminal !== undefined,
      returns: this.#editor !== undefined && terminal === undefined && take === undefined,
      more: () => channel.resume(),
    });
    this.#command = command;
    // Whoever has nothing more to type has nothing more for this one either.
    if (this.#ended) command.typed(null);
    const options = {
      ...(terminal === undefined ? {} : { pty: terminal }),
      ...(Object.keys(environment).length === 0 ? {} : { env: { ...environment } }),
    };
    this.#running = await owner.run({
      ...{ channel: command, operation, prompt, terminal, understoodBy },
      open: (client) =>
        lends
          ? openLending(owner.agent, channel, (more, done) => client.exec(sent, { ...options, ...more }, done))
          : openedChannel((done) => client.exec(sent, options, done)),
      within: {
        recording: opened.recording?.id,
        kinds: opened.permit.kinds,
        decided: (decision) => {
          command.decided = true;
          opened.recording?.note(decision);
        },
      },
    });
    if (this.#running !== undefined && !this.#ended) this.#handOver(command);
    await command.over;
    const ran = this.#running !== undefined;
    this.#running = undefined;
    this.#command = undefined;
    // What ended the shell has said how.
    if (this.#over) return command;
    if (ran && command.code === undefined && !command.interrupted)
      await this.#screen.tell(line('the command was lost: the host did not say how it ended'));
    this.#kept.status = command.interrupted ? 130 : (command.code ?? exitFailed);
    return command;
  }

  /** Of a line that was begun already the rest goes to the command, and so does its beginning. */
  #handOver(command: CommandSide): void {
    if (this.#editor === undefined || !command.takesInput) return;
    const at = tornOff(this.#ahead);
    const begun = this.#ahead.slice(at);
    this.#ahead = this.#ahead.slice(0, at);
    if (begun !== '') command.typed(Buffer.from(begun));
  }

  /** The shell is over. `said`: why, where it is not the client's own wish. */
  #leave(code: number, said?: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#kept.status = code;
    this.#said = said;
    this.#command?.destroy();
    this.#wake();
  }
}

const entering = (word: string): string => `cd ${word} && pwd -P`;

type Understood = ExecOperation & {
  readonly terminal: PseudoTtyInfo | undefined;
  readonly understoodBy: { readonly data: string; readonly digest: string } | undefined;
};
