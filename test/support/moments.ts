import type { Gate } from './gate.js';
import { errorOf, message, type Frame, type WireClient } from './wire.js';

/** Runs a statement again and again, with a change of the catalog before each message of it in turn. */
export interface Moments {
  /** What the client got, by the number of the message that the change came before; undefined: it could not be made there. */
  readonly at: readonly (readonly Frame[] | undefined)[];
}

export interface Way {
  readonly how: string;
  /** What the statement is told with, and all that comes of it. */
  run(client: WireClient, text: string): Promise<readonly Frame[]>;
  /** What is sent, and kept, before anything is changed. */
  readonly first?: (client: WireClient, text: string) => Promise<readonly Frame[]>;
  /** Only of SELECT. */
  readonly isRead?: true;
  /** What its client is called: policy limits one, and asks people about what another writes. */
  readonly client?: 'limited' | 'held';
}

const collected = async (...steps: (() => Promise<readonly Frame[]>)[]): Promise<readonly Frame[]> => {
  const all: Frame[] = [];
  for (const step of steps) all.push(...(await step()));
  return all;
};

/** How a statement may come. */
export const ways: readonly Way[] = [
  { how: 'simple', run: (client, text) => client.query(text) },
  { how: 'several in a string', run: (client, text) => client.query(`select 1; ${text}; select id from app.kid where false`) },
  { how: 'a transaction in a string', run: (client, text) => client.query(`begin; ${text}; commit`) },
  {
    how: 'extended',
    run: (client, text) => client.exchange(message.parse(text), message.bind([]), message.execute(), message.sync()),
  },
  {
    how: 'prepared',
    first: (client, text) => client.exchange(message.parse(text, 's'), message.sync()),
    run: (client) => client.exchange(message.bind([], { statement: 's' }), message.execute(), message.sync()),
  },
  {
    how: 'prepared by SQL',
    first: (client, text) => client.query(`prepare p as ${text}`),
    run: (client) => client.query('execute p'),
  },
  {
    how: 'prepared by SQL, with an argument to compute',
    first: (client, text) => client.query(`prepare p (int) as ${text}`),
    run: (client) => client.query('execute p (1 + 1)'),
  },
  {
    how: 'prepared by SQL, extended',
    first: (client, text) => client.query(`prepare p as ${text}`),
    run: (client) => client.exchange(message.parse('execute p'), message.bind([]), message.execute(), message.sync()),
  },
  { how: 'limited', client: 'limited', run: (client, text) => client.query(text) },
  { how: 'limited, in a string', client: 'limited', run: (client, text) => client.query(`select 1; ${text}`) },
  { how: 'limited, copied', client: 'limited', run: (client, text) => client.query(`copy (${text}) to stdout`) },
  {
    how: 'limited, copied, extended',
    client: 'limited',
    run: (client, text) =>
      client.exchange(message.parse(`copy (${text}) to stdout`), message.bind([]), message.execute(), message.sync()),
  },
  { how: 'copied in an encoding', run: (client, text) => client.query(`copy (${text}) to stdout (encoding 'utf8')`) },
  { how: 'prepared in a string', run: (client, text) => client.query(`prepare p as ${text}; execute p`) },
  { how: 'copied', run: (client, text) => client.query(`copy (${text}) to stdout`) },
  {
    how: 'copied, extended',
    run: (client, text) =>
      client.exchange(message.parse(`copy (${text}) to stdout`), message.bind([]), message.execute(), message.sync()),
  },
  {
    how: 'by a cursor',
    isRead: true,
    run: (client, text) => client.query(`begin; declare c cursor for ${text}; fetch all from c; commit`),
  },
  {
    how: 'by a cursor in steps',
    isRead: true,
    first: (client) => client.query('begin'),
    run: (client, text) =>
      collected(
        () => client.query(`declare c cursor for ${text}`),
        () => client.query('fetch all from c'),
        () => client.query('commit'),
      ),
  },
  {
    how: 'as a table',
    isRead: true,
    run: (client, text) =>
      collected(
        () => client.query(`create table app.made as ${text}`),
        () => client.query('commit'),
      ),
  },
  {
    how: 'explained',
    run: (client, text) =>
      client.query(`explain (analyze, verbose, costs off, timing off, summary off, buffers off) ${text}`),
  },
]; // prettier-ignore

/** The same in a transaction whose snapshot was taken before all else. */
export const byAnOlderSnapshot = ({ how, run, first, ...way }: Way): Way => ({
  ...way,
  how: `${how}, by an older snapshot`,
  run,
  first: (client, text) =>
    collected(
      () => client.query('begin isolation level repeatable read'),
      () => client.query('select 1'),
      ...(first === undefined ? [] : [() => first(client, text)]),
    ),
});

const data = [message.copyData('1\tplain\n'), message.copyDone()];

/** How rows may be copied in. */
export const waysIn: readonly Way[] = [
  { how: 'simple', run: (client, text) => client.exchange(message.query(text), ...data) },
  { how: 'in a string', run: (client, text) => client.exchange(message.query(`select 1; ${text}; select 2`), ...data) },
  {
    how: 'extended',
    run: (client, text) =>
      client.exchange(message.parse(text), message.bind([]), message.execute(), ...data, message.sync()),
  },
  { how: 'limited', client: 'limited', run: (client, text) => client.exchange(message.query(text), ...data) },
];

export interface Case {
  readonly text: string;
  readonly change: string;
  readonly back: string;
}

/**
 * @param open A client through the gate.
 * @param between Run before each: what is remembered counts no more, and what was made is gone.
 */
export async function moments(
  gate: Gate,
  open: () => Promise<WireClient>,
  somebody: WireClient,
  { text, change, back }: Case,
  way: Way,
): Promise<Moments> {
  const at: (readonly Frame[] | undefined)[] = [];
  for (let before = 0; ; before++) {
    const client = await open();
    try {
      for (const warm of [way.first, way.first === undefined ? way.run : undefined]) await warm?.(client, text);
      if (way.first === undefined) await client.query('rollback');
      await done(somebody, 'drop table if exists app.made');
      await client.query('deallocate all');
      if (way.first !== undefined) await way.first(client, text);
      let failure: string | undefined = 'it did not come to it';
      gate.arm(before, async () => {
        failure = errorOf(await somebody.query(change))?.['C'];
      });
      const frames = [...(await way.run(client, text))];
      gate.disarm();
      if (failure === 'it did not come to it') return { at };
      if (failure !== undefined && failure !== lockTimeout) throw new Error(`${change}: ${failure}`);
      frames.push(...(await made(somebody)));
      await client.query('rollback');
      at.push(failure === undefined ? frames : undefined);
      if (failure === undefined) await done(somebody, back);
    } finally {
      gate.disarm();
      await client.end();
    }
  }
}

/** What of it has become a table, or rows that may be read. */
const made = async (somebody: WireClient): Promise<readonly Frame[]> => {
  const frames: Frame[] = [];
  for (const name of ['app.made', 'app.taken']) {
    const rows = await somebody.query(`table ${name}`);
    if (errorOf(rows) === undefined) frames.push(...rows);
  }
  return frames;
};

const lockTimeout = '55P03';

async function done(client: WireClient, sql: string): Promise<void> {
  const error = errorOf(await client.query(sql));
  if (error !== undefined) throw new Error(`${sql}: ${String(error['M'])}`);
}

/** A value that is masked, or rows of a plan that reads it without a mask. */
export function leaks(frames: readonly Frame[]): boolean {
  const said = (some: readonly Frame[]) => Buffer.concat(some.map(({ body }) => body)).toString('latin1');
  const rows = said(frames.filter(({ type }) => type === 'D'));
  return said(frames).includes('canary') || (/app\.(?:masked|kid)\b/.test(rows) && !rows.includes('***'));
}
