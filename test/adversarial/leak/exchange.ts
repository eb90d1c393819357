import { fields, message, row, WireError, type Frame, type Value, type WireClient } from '../../support/wire.js';
import type { Step, WireStep } from './corpus.js';

/** How a client gets in: to a gateway, or to the server itself. */
export type Open = (parameters: Readonly<Record<string, string>>) => Promise<WireClient>;

export interface Answer {
  /** Of each step. */
  readonly steps: readonly (readonly Frame[])[];
  /** The fields of each error, in order. */
  readonly errors: readonly Readonly<Record<string, string>>[];
  /** Everything that came, sign-in included. */
  readonly bytes: Buffer;
  readonly elapsed_ms: number;
  /** Nothing was wrong with the session afterwards: it can be used again. */
  readonly clean: boolean;
}

/** Where an answer's end can't be counted out, it ends when nothing has come for so long. */
const quiet_ms = 250;
const hang_ms_max = 15_000;

/** Runs steps in a session, which is the caller's to close. */
export async function exchange(client: WireClient, steps: readonly Step[]): Promise<Answer> {
  client.received.length = 0;
  const started = performance.now();
  const answers: Frame[][] = [];
  let ended = false;
  for (const step of steps) {
    if (ended) break;
    const frames = await answer(client, step);
    answers.push(frames.frames);
    ended = frames.ended;
  }
  const errors = answers.flat().flatMap((frame) => (frame.type === 'E' ? [fields(frame.body)] : []));
  const last = answers.at(-1)?.at(-1);
  return {
    steps: answers,
    errors,
    bytes: Buffer.concat(client.received.flatMap(({ type, body }) => [Buffer.from(type), body])),
    elapsed_ms: performance.now() - started,
    clean: !ended && last?.type === 'Z' && last.body.toString() === 'I',
  };
}

/** As above, in a session of its own; a refusal to let it in is an answer. */
export async function exchangeAlone(
  open: Open,
  parameters: Readonly<Record<string, string>>,
  steps: readonly Step[],
): Promise<Answer> {
  let client: WireClient | undefined;
  try {
    client = await open(parameters);
    return await exchange(client, steps);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    const bytes = Buffer.from(Object.values(error.fields).join('\n'));
    return { steps: [], errors: [error.fields], bytes, elapsed_ms: 0, clean: false };
  } finally {
    client?.socket.destroy();
  }
}

async function answer(client: WireClient, step: Step): Promise<{ frames: Frame[]; ended: boolean }> {
  const parts = messages(step);
  const kinds = parts.map((part) => String.fromCharCode(part[0] ?? 0));
  const waiting = kinds.filter((kind) => kind === 'Q' || kind === 'S').length;
  // Messages that don't belong together make answers that can't be counted.
  const uncountable =
    (typeof step === 'object' && 'raw' in step) ||
    (kinds.includes('Q') && kinds.some((kind) => kind !== 'Q' && kind !== 'd' && kind !== 'c'));
  client.sendRaw(...parts);
  const frames: Frame[] = [];
  for (let ready = 0; uncountable || ready < waiting;) {
    const frame = await next(client, uncountable ? quiet_ms : hang_ms_max);
    if (frame === 'ended') return { frames, ended: true };
    if (frame === 'quiet') return { frames, ended: true };
    frames.push(frame);
    if (frame.type === 'Z') ready += 1;
    // The server waits for data that the step hasn't got.
    if (frame.type === 'G' && !kinds.includes('d') && !kinds.includes('c'))
      client.sendRaw(message.copyFail('no data'), ...(kinds.includes('S') ? [message.sync()] : []));
  }
  return { frames, ended: false };
}

async function next(client: WireClient, wait_ms: number): Promise<Frame | 'quiet' | 'ended'> {
  let timer: NodeJS.Timeout | undefined;
  const quiet = new Promise<'quiet'>((settle) => (timer = setTimeout(() => settle('quiet'), wait_ms)));
  const read = client.read().catch(() => 'ended' as const);
  const first = await Promise.race([read, quiet]);
  clearTimeout(timer);
  return first;
}

const batch = (statements: readonly string[]): Buffer[] => [
  ...statements.flatMap((sql) => [message.parse(sql), message.bind(), message.describe('P'), message.execute()]),
  message.sync(),
];

function messages(step: Step): Buffer[] {
  if (typeof step === 'string') return [message.query(step)];
  if ('queries' in step) return step.queries.map((sql) => message.query(sql));
  if ('pipeline' in step) return batch(step.pipeline);
  if ('batches' in step) return step.batches.flatMap(batch);
  if ('wire' in step) return step.wire.map(wireMessage);
  if ('raw' in step) return [raw(step.raw, step.body)];
  return [
    message.parse(step.extended),
    message.bind(step.values ?? [], { results: step.results ?? [] }),
    message.describe('P'),
    message.execute(),
    message.sync(),
  ];
}

function raw(type: string, body: string): Buffer {
  const bytes = Buffer.from(body, 'utf8');
  const head = Buffer.alloc(5);
  head.write(type, 0, 'latin1');
  head.writeInt32BE(bytes.length + 4, 1);
  return Buffer.concat([head, bytes]);
}

function wireMessage([kind, first = '', second = '', third, fourth]: WireStep): Buffer {
  const one = String(first);
  const two = String(second);
  switch (kind) {
    case 'query':
      return message.query(one);
    case 'parse':
      return message.parse(two, one);
    case 'bind':
      return message.bind((third ?? []) as Value[], {
        portal: one,
        statement: two,
        results: (fourth ?? []) as number[],
      });
    case 'execute':
      return message.execute(one, second === '' ? 0 : Number(second));
    case 'describe':
      return message.describe(one as 'S' | 'P', two);
    case 'close':
      return message.close(one as 'S' | 'P', two);
    case 'data':
      return message.copyData(one);
    case 'done':
      return message.copyDone();
    case 'call':
      return message.functionCall(Number(one));
    case 'flush':
      return message.flush();
    case 'sync':
      return message.sync();
    default:
      throw new Error(`the corpus knows no message ${kind}`);
  }
}

/**
 * What two clients of equal databases have to find equal: every byte, but for what names the decision (its number, and
 * hints that quote it), the session's temporary schema, the process that notified, and numbers of objects that were made in the course of it.
 */
export function signature(given: Answer, newest: number, unordered = false): string {
  const parts = given.steps.map((frames) => {
    const said = frames.map(({ type, body }) => {
      if (type === 'T') return `T${withoutNew(body, newest).toString('latin1')}`;
      if (type === 'A') return `A${body.subarray(4).toString('latin1')}`;
      return (
        type +
        body
          .toString('latin1')
          .replace(/\bd-[0-9a-z]+-\d+\b/g, 'd-0')
          .replace(/\bpg_temp_\d+\b/g, 'pg_temp_0')
      );
    });
    return unordered ? said.sort() : said;
  });
  const alone = given.steps.length === 0 ? given.errors.map((error) => [error['C'], error['M']]) : [];
  return JSON.stringify([parts, alone]);
}

/** A RowDescription in which tables and types behind the fixture's newest have no number. */
function withoutNew(body: Buffer, newest: number): Buffer {
  const copy = Buffer.from(body);
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    at = body.indexOf(0, at) + 1;
    for (const place of [at, at + 6]) if (copy.readUInt32BE(place) > newest) copy.writeUInt32BE(0, place);
    at += 18;
  }
  return copy;
}

/**
 * What a patient client makes of the answers: the cells of a row side by side, those of a column one below the other, the
 * numbers of rows as characters' codes.
 */
export function reassembled(given: Answer): Buffer {
  const lines: string[] = [];
  const everything: string[] = [];
  const counts: number[] = [];
  for (const frames of given.steps) {
    const columns: string[][] = [];
    let count = 0;
    for (const { type, body } of frames) {
      if (type === 'C') {
        counts.push(Number(/(\d+)\0?$/.exec(body.toString('latin1'))?.[1] ?? 0));
        count = 0;
      }
      if (type !== 'D') continue;
      count += 1;
      const cells = row(body).map((cell) => cell?.toString('latin1') ?? '');
      if (cells.length > 1) lines.push(cells.join(''));
      cells.forEach((cell, index) => (columns[index] ??= []).push(cell));
      if (count < 3) everything.push(...cells);
    }
    for (const column of columns) {
      if (column.length > 1 && column.every((cell) => cell.length <= 4)) {
        lines.push(column.join(''));
        if (column.every((cell) => /^\d{2,3}$/.test(cell))) lines.push(characters(column.map(Number)));
      }
    }
  }
  if (everything.every((cell) => cell.length <= 4)) lines.push(everything.join(''));
  if (counts.length > 2) lines.push(characters(counts));
  return Buffer.from(lines.join('\n'), 'latin1');
}

const characters = (codes: readonly number[]): string =>
  String.fromCharCode(...codes.map((code) => (code > 31 && code < 256 ? code : 32)));
