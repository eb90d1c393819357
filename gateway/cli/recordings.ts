import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { ListedRecording } from '../api/recordings.js';
import type { CastEvent, FoundRecording } from '../recordings/index.js';
import { exit, type ExitCode } from './exit.js';
import { printable, printableJson } from './printable.js';
import { folderOf, standings, type Where } from './recordings-place.js';
import type { SaveFlags } from './recordings-save.js';
import type { Surroundings } from './surroundings.js';
import { span, table, type Column } from './table.js';

const examples = `
Examples:
  sallyport recordings                              what is kept, newest first
  sallyport recordings search "drop table"          where these words stood on a screen
  sallyport recordings play r-4f1c09a2b7de-17       what d-4f1c09a2b7de-17 let through, as its client saw it
  sallyport recordings play --speed 4 --idle 1s r-4f1c09a2b7de-17
  sallyport recordings play --text r-4f1c09a2b7de-17 | less
  sallyport recordings save --output notes.txt c-4f1c09a2b7de-18   what was transferred, where policy has it kept
  sallyport recordings play --gateway https://gateway.example:18443 r-4f1c09a2b7de-17

They are read where they are kept, with the rights of the gateway's own account; with --gateway from a running gateway, by its
auditors, which is recorded there. play writes to the terminal what the host wrote to its client's, as far as it draws: what a
terminal would answer, store, or be set up by is left out. --text leaves out all sequences.`;

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

/** Adds recordings to the command line: list, search, play, save. */
export function registerRecordings(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  const recordings = program
    .command('recordings')
    .description(
      'what was recorded of terminals and commands, and kept of what was transferred: find it, play it, save it',
    )
    .addHelpText('after', examples);
  const where = (command: Command) =>
    command
      .option('-c, --config <file>', 'the configuration (default: $SALLYPORT_CONFIG or ./sallyport.yaml)')
      .option('--folder <folder>', 'look into this folder, without a configuration')
      .addOption(new Option('--gateway <url>', 'ask this gateway: https://HOST:PORT').conflicts('folder'))
      .option('--ca <file>', 'who vouches for its certificate, PEM (default: $SALLYPORT_CA)')
      .option('--token-file <file>', 'a file with the token (default: $SALLYPORT_TOKEN_FILE, else $SALLYPORT_TOKEN)');
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
  where(recordings.command('save').description('what was transferred, into a file'))
    .argument('<id>', 'of the copy, or of the decision that let it through')
    .requiredOption('--output <file>', 'which must not be there yet')
    .addOption(new Option('--read', 'what came from the target').conflicts('written'))
    .option('--written', 'what went to the target')
    .action(async (id: string, flags: SaveFlags) => {
      const { save } = await import('./recordings-save.js');
      finish(await save(id, flags, around));
    });
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

/** What is shown of one in a list, wherever it was found. */
interface Row {
  readonly started: string;
  readonly id: string;
  readonly subject: string;
  readonly target: string;
  readonly seconds: number;
  readonly exit: string | undefined;
  readonly what: string;
  readonly matches: FoundRecording['matches'];
}

const columns: readonly Column<Row>[] = [
  { title: 'WHEN', of: ({ started }) => started.slice(0, 19), width_max: 19 },
  { title: 'ID', of: ({ id }) => id, width_max: 80 },
  { title: 'WHO', of: ({ subject }) => subject, width_max: 32 },
  { title: 'TARGET', of: ({ target }) => target, width_max: 24 },
  { title: 'FOR', of: ({ seconds: length }) => span(length * 1_000), width_max: 12 },
  { title: 'END', of: ({ exit: end }) => end ?? 'runs, or was cut off', width_max: 20 },
  { title: 'WHAT', of: ({ what }) => what, width_max: 60 },
];

const rowOf = ({ recording: { id, seconds: length, exit: end, header }, matches }: FoundRecording): Row => ({
  ...{ id, seconds: length, exit: end, matches, target: header.sallyport.target },
  started: new Date(header.timestamp * 1_000).toISOString(),
  subject: header.sallyport.principal.subject,
  what: whatOf(header.sallyport.request, header),
});

const whatOf = (request: string, { command, path: file }: { readonly command?: string; readonly path?: string }) =>
  file === undefined ? (command ?? request) : `${file} (copy)`;

const rowOfListed = (one: ListedRecording): Row => ({
  ...one,
  exit: one.exit,
  subject: one.principal.subject,
  what: whatOf(one.request, one),
});

async function search(text: string | undefined, flags: ListFlags, around: Surroundings): Promise<ExitCode> {
  if (flags.gateway !== undefined) return searchThere(text, flags, around);
  const { searchRecordings } = await import('../recordings/index.js');
  const found: FoundRecording[] = [];
  for await (const one of searchRecordings(await folderOf(flags, around), queryOf(text, flags), { limit: flags.limit }))
    found.push(one);
  return tell(found, rowOf, text, flags, around);
}

async function searchThere(text: string | undefined, flags: ListFlags, around: Surroundings): Promise<ExitCode> {
  const { ask } = await import('./api/ask.js');
  const query = new URLSearchParams({ ...queryOf(text, flags), limit: String(Math.min(flags.limit, listed_max)) });
  return ask(flags, around, async ({ api }) => {
    const { found, complete } = await api.get<{ found: ListedRecording[]; complete: boolean }>(
      `/v1/recordings?${query.toString()}`,
    );
    if (!complete) around.stderr.write('sallyport: the time ran out before everything was looked through\n');
    return tell(found, rowOfListed, text, flags, around);
  });
}

/** The API gives no more at once. */
const listed_max = 200;

const queryOf = (text: string | undefined, { principal, target, session }: ListFlags) =>
  Object.fromEntries(
    Object.entries({ principal, target, session, text }).filter(([, value]) => value !== undefined),
  ) as Record<string, string>;

function tell<T>(
  found: readonly T[],
  toRow: (one: T) => Row,
  text: string | undefined,
  { json }: ListFlags,
  around: Surroundings,
): ExitCode {
  if (found.length === 0) {
    around.stderr.write('sallyport: nothing was found\n');
    return exit.no;
  }
  if (json === true) for (const one of found) around.stdout.write(`${printableJson(one)}\n`);
  else if (text === undefined) around.stdout.write(table(found.map(toRow), columns));
  else for (const one of found) around.stdout.write(matchesOf(toRow(one)));
  return exit.done;
}

/** A line for the recording, and one for each place. */
function matchesOf({ id, subject, target, matches }: Row): string {
  const head = `${id}  ${subject}  ${target}`;
  const places = matches.map(({ seconds: at, line }) => `  ${span(at * 1_000).padStart(8)}  ${line}`);
  return `${[head, ...places].map(printable).join('\n')}\n`;
}

async function play(id: string, flags: PlayFlags, around: Surroundings): Promise<ExitCode> {
  if (flags.gateway !== undefined) return playThere(id, flags, around);
  const { describe, eventsOf, recordingOf } = await import('../recordings/index.js');
  const folder = await folderOf(flags, around);
  const found = await describe(folder, recordingOf(id));
  if (found?.kind !== 'recording') {
    around.stderr.write(`sallyport: no recording "${printable(id)}" in ${folder}\n`);
    return exit.no;
  }
  return show(eventsOf(found.file), flags, around);
}

async function playThere(id: string, flags: PlayFlags, around: Surroundings): Promise<ExitCode> {
  const { ask } = await import('./api/ask.js');
  const { eventsIn, eventsOf } = await import('../recordings/index.js');
  return ask(flags, around, async ({ api }) => {
    const { content, headers } = await api.content(`/v1/recordings/${encodeURIComponent(id)}`);
    const standing = standings[String(headers['sallyport-recording'])];
    if (standing !== undefined) around.stderr.write(`sallyport: ${standing}\n`);
    if (flags.text === true) return show(eventsIn(content), flags, around);
    // The gateway waits for nobody who plays it at the pace at which it went.
    const folder = await mkdtemp(path.join(tmpdir(), 'sallyport-recording-'));
    try {
      const file = path.join(folder, 'played.cast');
      await pipeline(content, createWriteStream(file, { mode: 0o600 }));
      return await show(eventsOf(file), flags, around);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}

async function show(events: AsyncIterable<CastEvent>, flags: PlayFlags, around: Surroundings): Promise<ExitCode> {
  const { plainText, Screen, screenReset } = await import('../content/index.js');
  const pause = around.wait ?? (async (time_ms: number) => void (await wait(time_ms)));
  const screen = new Screen();
  let before = 0;
  for await (const event of events) {
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
