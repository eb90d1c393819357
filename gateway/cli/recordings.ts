import { setTimeout as wait } from 'node:timers/promises';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { ConfigError } from '../errors.js';
import type { CastEvent, Described, FoundRecording, RecordingQuery } from '../recordings/index.js';
import { exit, type ExitCode } from './exit.js';
import { printable, printableJson } from './printable.js';
import { configFile, type Surroundings } from './surroundings.js';
import { span, table, type Column } from './table.js';

const examples = `
Examples:
  sallyport recordings                              what is kept, newest first
  sallyport recordings search "drop table"          where these words stood on a screen
  sallyport recordings play r-4f1c09a2b7de-17       what d-4f1c09a2b7de-17 let through, as its client saw it
  sallyport recordings play --speed 4 --idle 1s r-4f1c09a2b7de-17
  sallyport recordings play --text r-4f1c09a2b7de-17 | less

They are read where they are kept: this needs the rights of the gateway's own account. play writes to the terminal what the
host wrote to its client's, as far as it draws: what a terminal would answer, store, or be set up by is left out. --text leaves out
all sequences.`;

interface Where {
  readonly config?: string;
  readonly folder?: string;
}

interface ListFlags extends Where {
  readonly principal?: string;
  readonly target?: string;
  readonly session?: string;
  readonly limit: number;
  readonly json?: boolean;
}

interface PlayFlags extends Where {
  readonly speed: number;
  readonly idle: number;
  readonly text?: boolean;
}

/** Adds recordings to the command line: list, search, play. */
export function registerRecordings(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  const recordings = program
    .command('recordings')
    .description('what was recorded of terminals and commands: find it, play it')
    .addHelpText('after', examples);
  const where = (command: Command) =>
    command
      .option('-c, --config <file>', 'the configuration (default: $SALLYPORT_CONFIG or ./sallyport.yaml)')
      .option('--folder <folder>', 'look into this folder, without a configuration');
  const filtered = (command: Command) =>
    where(command)
      .option('--principal <subject>', 'whose')
      .option('--target <name>')
      .option('--session <id>')
      .option('--limit <count>', 'so many at most', wholeNumber, 100)
      .option('--json', 'one JSON object a line');

  filtered(recordings.command('list', { isDefault: true }).description('what is kept, newest first')).action(
    async (flags: ListFlags) => finish(await search(undefined, flags, around)),
  );
  filtered(recordings.command('search').description('where a text stood on a screen'))
    .argument('<text>', 'whatever its case')
    .action(async (text: string, flags: ListFlags) => finish(await search(text, flags, around)));
  where(recordings.command('play').description('one recording, at the pace at which it went'))
    .argument('<id>', 'of the recording, or of the decision that let it through')
    .addOption(new Option('--speed <times>', 'faster, or slower').argParser(positive).default(1))
    .addOption(new Option('--idle <time>', 'no pause is longer').argParser(seconds).default(Infinity, 'as it was'))
    .option('--text', 'at once, without escape sequences')
    .action(async (id: string, flags: PlayFlags) => finish(await play(id, flags, around)));
}

function wholeNumber(text: string): number {
  if (!/^[0-9]{1,9}$/u.test(text)) throw new InvalidArgumentError('It is no whole number.');
  return Number(text);
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1_000)) throw new InvalidArgumentError('Write a number such as 2 or 0.5.');
  return value;
}

function seconds(text: string): number {
  const [, value] = /^([0-9]{1,5}(?:\.[0-9]+)?)s?$/u.exec(text) ?? [];
  if (value === undefined) throw new InvalidArgumentError('Write seconds, as in 2s.');
  return Number(value);
}

const columns: readonly Column<Described>[] = [
  { title: 'WHEN', of: ({ header }) => new Date(header.timestamp * 1_000).toISOString().slice(0, 19), width_max: 19 },
  { title: 'ID', of: ({ id }) => id, width_max: 80 },
  { title: 'WHO', of: ({ header }) => header.sallyport.principal.subject, width_max: 32 },
  { title: 'TARGET', of: ({ header }) => header.sallyport.target, width_max: 24 },
  { title: 'FOR', of: ({ seconds: length }) => span(length * 1_000), width_max: 12 },
  { title: 'END', of: ({ exit: end }) => end ?? 'runs, or was cut off', width_max: 20 },
  { title: 'WHAT', of: ({ header }) => header.command ?? header.sallyport.request, width_max: 60 },
];

async function search(text: string | undefined, flags: ListFlags, around: Surroundings): Promise<ExitCode> {
  const { searchRecordings } = await import('../recordings/index.js');
  const { principal, target, session, limit, json } = flags;
  const given = { principal, target, session, text };
  const query = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as RecordingQuery;
  const found: FoundRecording[] = [];
  for await (const one of searchRecordings(await folderOf(flags, around), query, { limit })) found.push(one);
  if (found.length === 0) {
    around.stderr.write('sallyport: nothing was found\n');
    return exit.no;
  }
  if (json === true) for (const one of found) around.stdout.write(`${printableJson(one)}\n`);
  else if (text === undefined)
    around.stdout.write(
      table(
        found.map(({ recording }) => recording),
        columns,
      ),
    );
  else for (const one of found) around.stdout.write(matchesOf(one));
  return exit.done;
}

/** A line for the recording, and one for each place. */
function matchesOf({ recording, matches }: FoundRecording): string {
  const { id, header } = recording;
  const head = `${id}  ${header.sallyport.principal.subject}  ${header.sallyport.target}`;
  const places = matches.map(({ seconds: at, line }) => `  ${span(at * 1_000).padStart(8)}  ${line}`);
  return `${[head, ...places].map(printable).join('\n')}\n`;
}

async function play(id: string, flags: PlayFlags, around: Surroundings): Promise<ExitCode> {
  const { describe, eventsOf, recordingOf } = await import('../recordings/index.js');
  const { plainText, Screen, screenReset } = await import('../content/index.js');
  const folder = await folderOf(flags, around);
  const found = await describe(folder, recordingOf(id));
  if (found === undefined) {
    around.stderr.write(`sallyport: no recording "${printable(id)}" in ${folder}\n`);
    return exit.no;
  }
  const pause = around.wait ?? (async (time_ms: number) => void (await wait(time_ms)));
  const screen = new Screen();
  let before = 0;
  for await (const event of eventsOf(found.file)) {
    const [at, code] = event;
    if (flags.text !== true && code !== 'x') await pause((Math.min(at - before, flags.idle) * 1_000) / flags.speed);
    before = at;
    const shown = shownOf(event);
    if (flags.text === true) around.stdout.write(printable(plainText(shown).replaceAll('\r', '')));
    else around.stdout.write(code === 'o' ? screen.push(shown) : shown);
  }
  if (flags.text !== true) around.stdout.write(`${screenReset}\r\n`);
  return exit.done;
}

function shownOf([, code, text]: CastEvent): string {
  if (code === 'o') return text;
  return code === 'm' || code === 'i'
    ? `\r\n[${code === 'i' ? 'input' : 'sallyport'}: ${printable(text.trimEnd())}]\r\n`
    : '';
}

async function folderOf({ folder, config: named }: Where, around: Surroundings): Promise<string> {
  if (folder !== undefined) return folder;
  const [{ loadConfig }, { protocols }] = await Promise.all([import('../config/index.js'), import('../registry.js')]);
  const { recordings, file } = await loadConfig(configFile(named, around), { env: around.env, protocols });
  if (recordings === undefined)
    throw new ConfigError(`${file} has no "recordings": nothing is recorded; or give --folder.`);
  return recordings.folder;
}
