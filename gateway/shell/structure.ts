import {
  forEachChild,
  type Assignment,
  type ParsedScript,
  type Redirection,
  type SyntaxNode,
  type Word,
  type WordPart,
} from 'unbash';
import { parseShell } from './parsing.js';
import { quoted, requoted, written, type Placed } from './quoting.js';

/**
 * The structure of a command line, read with a real shell grammar (bash, of which POSIX sh is a part): the simple commands
 * in it, each with its words as the program will get them, and its redirections.
 *
 * A shell decides much only while it runs (variables, substitutions, what a name means). Whatever is not known from the
 * text alone is said in `because`, and makes the operation opaque: nothing is guessed.
 */

export interface SimpleCommand {
  /** The program's name and arguments, quotes and escapes resolved. */
  readonly argv: readonly string[];
  readonly redirections: readonly FileRedirection[];
}

export interface FileRedirection {
  readonly path: string;
  readonly access: 'read' | 'write';
}

export interface ShellStructure {
  readonly commands: readonly SimpleCommand[];
  /** Why not everything is known; empty where it is. */
  readonly because: readonly string[];
  /** True where it begins with "cd FOLDER &&" and all else follows only if that went well. */
  readonly inFolder: boolean;
  /** True where something in it is to run on behind it (`&`). */
  readonly background: boolean;
  /** The line as it is sent where everything is known: no shell reads it otherwise. */
  readonly quoted?: string;
}

/** A longer line is not looked at: nobody could read it either. */
export const command_chars_max = 65_536;
const commands_max = 256;
/** The grammar reads what is in a substitution once more at each level. */
const substitutions_deep_max = 8;

/** Variables that change how a program talks, and nothing else of what it does. */
export const harmlessVariable = /^(LANG|LANGUAGE|LC_[A-Z]+|TZ|COLUMNS|LINES|NO_COLOR|CLICOLOR|TERM|COLORTERM)$/u;

/** Of such a variable: no path but a time zone's, so that no file is read as a locale or a terminal. */
export const harmlessValue = /^(?:[\w.:@+,=-]+(?:\/[\w+-]+){0,2})?$/u;

export function readShell(text: string): ShellStructure {
  if (text.length > command_chars_max)
    return {
      ...{ commands: [], inFolder: false, background: false },
      because: [`it has more than ${command_chars_max} characters`],
    };
  const reader = new Reader();
  // A shell ends a line at a NUL, and terminals act on others.
  if (/[\u0000-\u0008\u000b-\u001f\u007f]/u.test(text)) reader.because.push('it has control characters in it');
  const script = parseShell(text);
  reader.visit(script);
  const quoted = requoted(text, reader.words);
  if (quoted === undefined && reader.because.length === 0)
    reader.because.push('shells may read it in different ways (comments, redirections by name)');
  const because = [...new Set(reader.because)];
  return {
    commands: reader.commands,
    because,
    inFolder: goesOnInFolder(script),
    background: reader.background,
    ...(because.length === 0 && quoted !== undefined ? { quoted } : {}),
  };
}

/** "cd FOLDER && …", one statement: what follows runs there, or not at all. */
function goesOnInFolder({ commands }: ParsedScript): boolean {
  const [statement, ...others] = commands;
  if (statement?.command.type !== 'AndOr' || others.length > 0) return false;
  const [first] = statement.command.commands;
  return (
    first?.type === 'Command' && first.name?.value === 'cd' && statement.command.operators.every((one) => one === '&&')
  );
}

class Reader {
  readonly commands: SimpleCommand[] = [];
  readonly because: string[] = [];
  readonly words: Placed[] = [];
  background = false;
  #deep = 0;

  visit = (node: SyntaxNode): void => {
    switch (node.type) {
      case 'Script':
        if (node.errors !== undefined && node.errors.length > 0)
          this.because.push(`it cannot be read: ${node.errors[0]!.message}`);
        break;
      case 'Statement':
        this.background ||= node.background === true;
        break;
      case 'Command':
        this.#command(node);
        return;
      case 'Redirected':
        this.#compoundRedirections(node.redirects);
        break;
      case 'Function':
        this.because.push('it defines a function, and names may mean something else after it');
        return;
      case 'Coproc':
        this.because.push('it starts a coprocess');
        return;
      case 'For':
      case 'Select':
      case 'ArithmeticFor':
      case 'ArithmeticCommand':
        this.because.push('it counts or sets variables while it runs');
        break;
      case 'TestCommand':
        this.because.push('it tests with [[, which may run what is in quotes: use [');
        break;
      case 'Word':
        // Of compound commands: words of a `case`, a list of a loop.
        this.#word(node);
        return;
      default:
        break;
    }
    forEachChild(node, this.visit);
  };

  #command(node: Extract<SyntaxNode, { type: 'Command' }>): void {
    if (this.commands.length >= commands_max) {
      this.because.push(`it has more than ${commands_max} commands`);
      return;
    }
    for (const part of node.prefix) if (part.type === 'Assignment') this.#assignment(part);
    const redirections = this.#redirections(node.redirects);
    const words = [node.name, ...node.args].filter((word) => word !== undefined);
    const argv: string[] = [];
    for (const word of words) {
      if (word.type === 'Assignment') {
        // An argument that looks like one (`dd if=…`): it is a word all the same, where its value is known.
        if (word.value.type === 'Word' && word.index === undefined && word.append !== true) {
          const value = this.#value(word.value);
          argv.push(`${word.name}=${value}`);
          this.words.push({ pos: word.pos, end: word.end, written: quoted(`${word.name}=${value}`) });
        } else this.because.push(`the words of ${word.text} are not known`);
      } else argv.push(this.#word(word, argv.length === 0));
    }
    if (argv.length > 0 || redirections.length > 0) this.commands.push({ argv, redirections });
  }

  #assignment(assignment: Assignment): void {
    if (!harmlessVariable.test(assignment.name) || assignment.append === true || assignment.index !== undefined)
      this.because.push(`it sets ${assignment.name}, which may change what programs do`);
    if (assignment.value.type === 'Word') {
      const value = this.#value(assignment.value);
      if (!harmlessValue.test(value)) this.because.push(`${assignment.name} is set to what may name a file`);
      const { pos, end, name } = assignment;
      this.words.push({ pos, end, written: `${name}=${value === '' ? '' : quoted(value)}` });
    } else this.because.push(`it sets ${assignment.name} to a list`);
  }

  #redirections(redirects: readonly Redirection[]): FileRedirection[] {
    const files: FileRedirection[] = [];
    for (const redirect of redirects) {
      if (redirect.type === 'HereDoc') {
        this.because.push('it has its input in it (<<)');
        for (const part of redirect.body.parts ?? []) this.#part(part);
        continue;
      }
      if (redirect.target === undefined) {
        this.because.push('a redirection leads nowhere');
        continue;
      }
      const path = this.#word(redirect.target);
      if (redirect.type === 'HereString') continue;
      if (redirect.operator === '<&' || redirect.operator === '>&') {
        if (/^([0-9]+-?|-)$/u.test(path)) continue;
        if (redirect.operator === '<&') this.because.push(`what <&${path} leads to is not known`);
      }
      if (path === '/dev/null') continue;
      if (/^\/dev\/(tcp|udp)\//u.test(path)) {
        this.because.push('a redirection opens a network connection');
        continue;
      }
      if (redirect.operator === '<>') files.push({ path, access: 'read' });
      files.push({ path, access: redirect.operator === '<' || redirect.operator === '<&' ? 'read' : 'write' });
    }
    return files;
  }

  #compoundRedirections(redirects: readonly Redirection[]): void {
    const redirections = this.#redirections(redirects);
    if (redirections.length > 0) this.commands.push({ argv: [], redirections });
  }

  /** The word as the program gets it; where that is not known, as it is written, and a reason is noted. */
  #word(word: Word, isName = false): string {
    this.words.push({ pos: word.pos, end: word.end, written: written(word, isName) });
    return this.#value(word, isName);
  }

  #value(word: Word, isName = false): string {
    const parts = word.parts ?? [];
    let known = true;
    for (const [index, part] of parts.entries()) known = this.#part(part, index === 0 || isName) && known;
    if (parts.length === 0 && isName && word.text !== '[' && /[*?[]/u.test(word.text))
      this.because.push('a pattern stands for a program');
    return known ? word.value : word.text;
  }

  /** The commands of a substitution: it is opaque anyway, and they are named for whoever reads it. */
  #within(substitution: Extract<WordPart, { type: 'CommandExpansion' | 'ProcessSubstitution' }>): void {
    if (this.#deep >= substitutions_deep_max) {
      this.because.push(`it has more than ${substitutions_deep_max} substitutions in one another`);
      return;
    }
    // Read only when it is asked for.
    const { script } = substitution;
    if (script === undefined) return;
    this.#deep += 1;
    this.visit(script);
    this.#deep -= 1;
  }

  /** Whether it is known. A pattern in front could become an option, so it is not. */
  #part(part: WordPart, first = false): boolean {
    switch (part.type) {
      case 'Literal':
      case 'SingleQuoted':
      case 'AnsiCQuoted':
        return true;
      case 'DoubleQuoted':
      case 'LocaleString':
        return part.parts.map((inner) => this.#part(inner)).every(Boolean);
      case 'Glob':
        if (first)
          this.because.push(`what ${part.text} at the start of a word becomes is not known; write ./${part.text}`);
        return !first;
      default:
        this.because.push(`what ${clip(part.text)} becomes is not known`);
        if (part.type === 'CommandExpansion' || part.type === 'ProcessSubstitution') this.#within(part);
        return false;
    }
  }
}

const clip = (text: string) => (text.length > 60 ? `${text.slice(0, 60)}…` : text);
