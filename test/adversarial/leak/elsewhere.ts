import { tmpdir } from 'node:os';
import { WireClient } from '../../support/wire.js';
import type { Case, Role } from './corpus.js';
import { readCorpus } from './corpus.js';
import { makeData } from './data.js';
import { families, type Report } from './report.js';
import { runAll } from './run.js';
import type { Subject } from './world.js';

/** The corpus against whatever speaks Postgres at an address: this gateway, another one, a pooler, a server. */
export interface Place {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Of whom the cases want to be; a gateway without roles has one for all. */
  readonly passwords: Readonly<Record<Role, string>>;
  /** Filled with the variant a; undefined where inference is not looked for: the other one, filled with b. */
  readonly databases: { readonly a: string; readonly b: string | undefined };
  /** Where it speaks TLS: who has signed its certificate, in PEM, and its name there. */
  readonly tls?: { readonly ca: string; readonly servername: string };
}

/** The highest number that no object of a user's has (FirstNormalObjectId of Postgres, less one). */
const newest = 16_383;

/** @throws Error where nobody answers, or the fixture isn't there: nothing would leak then, which says nothing. */
export async function attackElsewhere(place: Place, wanted: (given: Case) => boolean): Promise<Report> {
  const started = Date.now();
  const { a, b } = place.databases;
  const words = { ...makeData('a').words, toast: await lookedAt(place, a), folder: tmpdir() };
  if (b !== undefined) await lookedAt(place, b);
  const verdicts = await runAll(
    {
      a: { filled: undefined, subject: subjectAt(place, a) },
      b: b === undefined ? undefined : { filled: undefined, subject: subjectAt(place, b) },
      canaries: { a: makeData('a').canaries, b: makeData('b').canaries },
      said: [words.guess, words.hashed],
      newest,
    },
    readCorpus(words).filter(wanted),
  );
  return families(`${place.host}:${String(place.port)}`, verdicts, [], Date.now() - started);
}

function subjectAt({ host, port, user, passwords, tls }: Place, database: string): Subject {
  return {
    open: (role) => (parameters) =>
      WireClient.open({ host, port, user, password: passwords[role], database, parameters, ...(tls ? { tls } : {}) }),
    close: () => Promise.resolve(),
  };
}

/** Whether the fixture is there; the name of its TOAST table, where it is told, as some cases read that. */
async function lookedAt(place: Place, database: string): Promise<string> {
  const where = `${database} at ${place.host}:${String(place.port)}`;
  const client = await subjectAt(place, database)
    .open('reader')({})
    .catch((error: unknown) => {
      throw new Error(`${where} lets nobody in: ${error instanceof Error ? error.message : String(error)}`);
    });
  try {
    const answered = await client.query('select count(*) from app.customers');
    if (!answered.some(({ type }) => type === 'D'))
      throw new Error(
        `${where} does not answer "select count(*) from app.customers": fill it with what --fixture prints, and let the gateway allow what --fixture policy does`,
      );
    const named = await client.query(
      "select 'pg_toast.' || t.relname from pg_class c join pg_class t on t.oid = c.reltoastrelid where c.oid = 'app.customers'::regclass",
    );
    const cell = named
      .find(({ type }) => type === 'D')
      ?.body.subarray(6)
      .toString();
    return cell ?? 'pg_toast.pg_toast_1';
  } finally {
    client.socket.destroy();
  }
}
