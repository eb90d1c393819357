import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { row, type Frame } from '../../support/wire.js';
import type { Role, Step } from './corpus.js';
import { exchangeAlone, type Answer, type Open } from './exchange.js';

/** A statement that nobody means ill with: its answer is the server's own, but for the masked cells. */
export interface Useful {
  readonly family: string;
  readonly name: string;
  readonly steps: readonly Step[];
  readonly as: Role;
  /** Columns of the result that depend on masked ones; those that are masked themselves are known by where they come from. */
  readonly masked: readonly (string | number)[];
  /** shape: the columns and that it works, where the rows themselves depend on masked values. */
  readonly compare: 'whole' | 'shape';
  /** The server itself answers with errors; equal SQLSTATEs are expected. */
  readonly errors: boolean;
}

interface Given {
  readonly name?: string;
  readonly sql?: string;
  readonly steps?: readonly Step[];
  readonly as?: Role;
  readonly masked?: readonly (string | number)[];
  /** Columns that name the database, and the like. */
  readonly not?: readonly string[];
  readonly compare?: string;
  readonly errors?: boolean;
}

export function readUtility(): Useful[] {
  const folder = new URL('./utility/', import.meta.url);
  return readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .flatMap((file) => {
      const family = parse(readFileSync(new URL(file, folder), 'utf8')) as {
        family: string;
        as?: Role;
        cases: (string | Given)[];
      };
      return family.cases.flatMap((entry): Useful[] => {
        const given: Given = typeof entry === 'string' ? { sql: entry } : entry;
        const common = {
          family: family.family,
          as: given.as ?? family.as ?? 'reader',
          masked: [...(given.masked ?? []), ...(given.not ?? [])],
          compare: given.compare === 'shape' ? ('shape' as const) : ('whole' as const),
          errors: given.errors ?? false,
        };
        const name = given.name ?? given.sql ?? '';
        if (given.steps !== undefined) return [{ ...common, name, steps: given.steps }];
        return [{ ...common, name, steps: [given.sql ?? '', { extended: given.sql ?? '' }] }];
      });
    });
}

/** What the numbers in a RowDescription mean. */
export interface Numbers {
  /** Columns that the policy masks: "table OID.attribute number". */
  readonly columns: ReadonlySet<string>;
  /** Tables made in the course of it have higher numbers, and others each time. */
  readonly newest: number;
}

export interface Comparison {
  readonly useful: Useful;
  readonly outcome: 'identical' | 'refused' | 'different';
  readonly why: string;
}

/** Runs it at the server and through the gateway, in sessions of their own, and compares. */
export async function compareBoth(useful: Useful, direct: Open, gateway: Open, numbers: Numbers): Promise<Comparison> {
  // One after the other: both write, and roll back.
  const expected = await exchangeAlone(direct, {}, useful.steps);
  const got = await exchangeAlone(gateway, {}, useful.steps);
  const why = difference(useful, expected, got, numbers);
  if (why === undefined) return { useful, outcome: 'identical', why: '' };
  const refused = got.errors.length > expected.errors.length;
  const error = got.errors.at(-1);
  return {
    useful,
    outcome: refused ? 'refused' : 'different',
    why: refused ? `${error?.['C'] ?? ''} ${error?.['M'] ?? ''}` : why,
  };
}

function difference(useful: Useful, expected: Answer, got: Answer, numbers: Numbers): string | undefined {
  if (expected.errors.length > 0 && !useful.errors)
    return `the server itself refuses it: ${expected.errors[0]?.['C'] ?? ''} ${expected.errors[0]?.['M'] ?? ''}`;
  const codes = (answer: Answer) => answer.errors.map((error) => error['C']).join(' ');
  if (codes(expected) !== codes(got)) return `errors ${codes(got)} instead of ${codes(expected)}`;
  // What was described in one step may be fetched in a later one.
  let hidden: boolean[] = [];
  for (const [step, frames] of expected.steps.entries()) {
    const own = got.steps[step] ?? [];
    if (useful.compare === 'shape') {
      const heads = (list: readonly Frame[]) => list.filter(({ type }) => type === 'T').map(({ body }) => names(body));
      if (JSON.stringify(heads(frames)) !== JSON.stringify(heads(own))) return `step ${step + 1}: other columns`;
      continue;
    }
    if (frames.length !== own.length) return `step ${step + 1}: ${own.length} messages instead of ${frames.length}`;
    for (const [index, frame] of frames.entries()) {
      const other = own[index];
      if (other === undefined || other.type !== frame.type)
        return `step ${step + 1}: a message ${other?.type ?? 'missing'} instead of ${frame.type}`;
      if (frame.type === 'T') {
        const described = describe(frame.body, numbers.newest);
        hidden = described.map(
          ({ origin, name }, at) =>
            numbers.columns.has(origin) || useful.masked.includes(name) || useful.masked.includes(at),
        );
        const wrong = sameColumns(described, describe(other.body, numbers.newest), hidden);
        if (wrong !== undefined) return `step ${step + 1}: ${wrong}`;
      } else if (frame.type === 'D') {
        const [cells, others] = [row(frame.body), row(other.body)];
        const at = cells.findIndex((cell, column) => hidden[column] !== true && !same(cell, others[column]));
        if (at >= 0 || cells.length !== others.length)
          return `step ${step + 1}, column ${at + 1}: ${text(others[at])} instead of ${text(cells[at])}`;
      } else if (frame.type === 'd' && useful.masked.length > 0) {
        const split = (body: Buffer) => body.toString('utf8').trimEnd().split(/[\t,]/);
        const [cells, others] = [split(frame.body), split(other.body)];
        const at = cells.findIndex((cell, column) => !useful.masked.includes(column) && cell !== others[column]);
        if (at >= 0) return `step ${step + 1}, field ${at + 1}: ${others[at] ?? ''} instead of ${cells[at] ?? ''}`;
      } else if (!'ENAK'.includes(frame.type) && !frame.body.equals(other.body)) {
        return `step ${step + 1}: a message ${frame.type} of another content`;
      }
    }
  }
  return undefined;
}

interface Column {
  readonly name: string;
  readonly origin: string;
  readonly type: string;
}

/** Of a RowDescription. */
function describe(body: Buffer, newest: number): Column[] {
  const columns: Column[] = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const end = body.indexOf(0, at);
    const name = body.toString('utf8', at, end);
    at = end + 1;
    columns.push({
      name,
      origin: body.readUInt32BE(at) > newest ? 'new' : `${body.readUInt32BE(at)}.${body.readInt16BE(at + 4)}`,
      type: body.toString('hex', at + 6, at + 18),
    });
    at += 18;
  }
  return columns;
}

const names = (body: Buffer): string[] => describe(body, 0).map(({ name, type }) => `${name} ${type}`);

function sameColumns(
  expected: readonly Column[],
  got: readonly Column[],
  hidden: readonly boolean[],
): string | undefined {
  if (expected.length !== got.length) return `${got.length} columns instead of ${expected.length}`;
  for (const [index, column] of expected.entries()) {
    const other = got[index];
    if (other?.name !== column.name) return `a column ${other?.name ?? ''} instead of ${column.name}`;
    if (other.type !== column.type) return `the column ${column.name} has another type`;
    // A masked column has no origin any more.
    if (other.origin !== column.origin && !(hidden[index] === true && other.origin === '0.0'))
      return `the column ${column.name} comes from elsewhere`;
  }
  return undefined;
}

const same = (one: Buffer | null | undefined, other: Buffer | null | undefined): boolean =>
  one && other ? one.equals(other) : one === other;

const text = (cell: Buffer | null | undefined): string => JSON.stringify(cell?.toString('utf8').slice(0, 60) ?? null);
