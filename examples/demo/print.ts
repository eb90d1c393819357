import pc from 'picocolors';

/** What the demo says: for a person, or, with `json`, one object a line for a program. */
export interface Printer {
  title(text: string): void;
  /** One part of the world that is up: what, and in a few words where and how big. */
  ready(what: string, text: string): void;
  /** Beside the story: a port that was taken, a program that is being fetched. */
  remark(text: string): void;
  step(number: number, title: string, why: string): void;
  sql(text: string, values?: readonly unknown[]): void;
  table(rows: readonly Readonly<Record<string, unknown>>[]): void;
  refusal(refusal: Refusal): void;
  diff(text: string): void;
  passed(text: string): void;
  failed(text: string): void;
  /** A line to be copied, with a word before it. */
  command(what: string, command: string): void;
}

/** A denial as the client got it: DETAIL and HINT are JSON. */
export interface Refusal {
  readonly sqlstate: string;
  readonly message: string;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly hint: Readonly<Record<string, unknown>>;
}

export interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

const cell_characters_max = 32;

export function createPrinter(output: Output, options: { json: boolean }): Printer {
  return options.json ? jsonPrinter(output) : textPrinter(output);
}

function textPrinter(output: Output): Printer {
  const colour = pc.createColors(output.isTTY === true && pc.isColorSupported);
  const say = (text = '') => output.write(`${text}\n`);
  const indent = (text: string) => text.trimEnd().replaceAll(/^/gm, '   ');
  return {
    title: (text) => say(`\n${colour.bold(text)}\n`),
    ready: (what, text) => say(`  ${what.padEnd(18)}${text}`),
    remark: (text) => say(colour.dim(`  ${text}`)),
    step(number, title, why) {
      say(`\n${colour.bold(`${String(number)}. ${title}`)}`);
      say(colour.dim(indent(why)));
      say();
    },
    sql(text, values = []) {
      say(colour.cyan(indent(text)));
      if (values.length > 0)
        say(
          colour.dim(
            indent(values.map((value, index) => `$${String(index + 1)} = ${JSON.stringify(value)}`).join(', ')),
          ),
        );
      say();
    },
    table: (rows) => say(`${indent(layOut(rows))}\n`),
    refusal({ sqlstate, message, detail, hint }) {
      say(indent(`${colour.red(`ERROR ${sqlstate}`)}: ${message}`));
      const reasons = Array.isArray(detail['reasons']) ? (detail['reasons'] as { code: string; title?: string }[]) : [];
      for (const { code, title } of reasons)
        say(indent(`  reason    ${code}${title === undefined ? '' : ` (${title})`}`));
      for (const [name, value] of [
        ['decision', detail['decision']],
        ['revision', detail['revision']],
        ['next', hint['next']],
      ]) {
        if (typeof value === 'string') say(indent(`  ${String(name).padEnd(10)}${value}`));
      }
      say();
    },
    diff(text) {
      for (const line of text.trimEnd().split('\n')) {
        const paint = line.startsWith('+') ? colour.green : line.startsWith('-') ? colour.red : colour.dim;
        say(paint(`   ${line}`));
      }
      say();
    },
    passed: (text) => say(`   ${colour.green('✓')} ${text}`),
    failed: (text) => say(`\n   ${colour.red('✗')} ${text.replaceAll('\n', '\n     ')}\n`),
    command: (what, command) => say(`  ${what}\n\n    ${colour.cyan(command)}\n`),
  };
}

function jsonPrinter(output: Output): Printer {
  const say = (event: string, more: object) => output.write(`${JSON.stringify({ event, ...more })}\n`);
  return {
    title: (text) => say('title', { text }),
    ready: (what, text) => say('ready', { what, text }),
    remark: (text) => say('remark', { text }),
    step: (number, title, why) => say('step', { number, title, why }),
    sql: (text, values = []) => say('sql', { text, values }),
    table: (rows) => say('rows', { rows }),
    refusal: (refusal) => say('refusal', refusal),
    diff: (text) => say('diff', { text }),
    passed: (text) => say('passed', { text }),
    failed: (text) => say('failed', { text }),
    command: (what, command) => say('command', { what, command }),
  };
}

/** Rows as psql prints them: numbers to the right, the rest to the left. */
export function layOut(rows: readonly Readonly<Record<string, unknown>>[]): string {
  const names = Object.keys(rows[0] ?? {});
  const show = (value: unknown) => {
    const text =
      value === null || value === undefined
        ? ''
        : value instanceof Date
          ? value.toISOString().slice(0, 10)
          : typeof value === 'string'
            ? value
            : JSON.stringify(value);
    return text.length > cell_characters_max ? `${text.slice(0, cell_characters_max - 1)}…` : text;
  };
  const cells = rows.map((row) => names.map((name) => show(row[name])));
  const widths = names.map((name, at) => Math.max(name.length, ...cells.map((row) => row[at]?.length ?? 0)));
  const numeric = names.map((_, at) => cells.every((row) => /^-?[\d.]*$/.test(row[at] ?? '')));
  const line = (row: readonly string[], centre = false) =>
    row
      .map((text, at) => {
        const width = widths[at] ?? 0;
        if (centre) return text.padStart(Math.floor((width + text.length) / 2)).padEnd(width);
        return numeric[at] ? text.padStart(width) : text.padEnd(width);
      })
      .join(' | ')
      .trimEnd();
  const count = `(${String(rows.length)} row${rows.length === 1 ? '' : 's'})`;
  if (names.length === 0) return count;
  return [
    line(names, true),
    widths.map((width) => '-'.repeat(width)).join('-+-'),
    ...cells.map((row) => line(row)),
    count,
  ].join('\n');
}
