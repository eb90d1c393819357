import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import path from 'node:path';
import type { Logger } from 'pino';
import { asLedger, mayFollow, type KeptElsewhere, type Ledger } from './audit/index.js';
import type { Database, Queries } from './state/database.js';
import { keptSecret } from './state/kept.js';

export interface SharedHeadsParts {
  readonly database: Database;
  /** Of the state directory. */
  readonly directory: string;
  /** The log: its current file. */
  readonly file: string;
  readonly log: Logger;
}

const retry_ms = 2_000;
const farewell_ms = 2_000;

/**
 * Copies of the signed heads in the database that replicas share. Each gateway has a row. One that does not follow from what
 * stands there (older files and an older state directory were put back) takes another row, and the old one stays as evidence.
 */
export class SharedHeads {
  readonly #parts: SharedHeadsParts;
  /** The last that is to be kept; those between may be left out. */
  #next: Ledger | undefined;
  #keeping: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: SharedHeadsParts) {
    this.#parts = parts;
  }

  keep(ledger: Ledger): void {
    this.#next = ledger;
    this.#start();
  }

  #start(): void {
    clearTimeout(this.#retry);
    this.#keeping ??= this.#run().finally(() => (this.#keeping = undefined));
  }

  async #run(): Promise<void> {
    while (this.#next !== undefined) {
      const ledger = this.#next;
      try {
        const kept = await keepLedger(this.#parts, ledger);
        if (!kept) this.#parts.log.error({}, goneBack);
      } catch {
        // That the database is away is said by itself.
        if (this.#closed) return;
        this.#retry = setTimeout(() => this.#start(), retry_ms);
        this.#retry.unref();
        return;
      }
      if (this.#next === ledger) this.#next = undefined;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, farewell_ms)));
    if (this.#next !== undefined) this.#start();
    await Promise.race([this.#keeping, late]);
    clearTimeout(timer);
  }
}

const goneBack =
  'the state directory has signed heads of the audit that do not follow from those in the shared state: older files were put back. Run "sallyport audit verify"';

/** False: what is there does not lead to it, and stays beside it. */
async function keepLedger({ database, directory, file }: SharedHeadsParts, ledger: Ledger): Promise<boolean> {
  const store = await storeOf(directory);
  return database.transaction(async (queries) => {
    const { rows, known } = await readRow(queries, store);
    const follows = known === undefined || mayFollow(known, ledger);
    if (rows > 0 && !follows) {
      await queries.query('update sallyport.audit_heads set store = $2 where store = $1', [
        store,
        `${store} ${randomUUID()}`,
      ]);
    }
    await queries.query(
      `insert into sallyport.audit_heads (store, place, ledger) values ($1, $2, $3)
       on conflict (store) do update set place = excluded.place, ledger = excluded.ledger, changed = now()`,
      [store, placeOf(file), JSON.stringify(ledger)],
    );
    return follows;
  });
}

async function readRow(queries: Queries, store: string) {
  const rows = await queries.query<{ ledger: string }>(
    'select ledger::text from sallyport.audit_heads where store = $1 for update',
    [store],
  );
  const [row] = rows;
  return { rows: rows.length, known: row && asLedger(row.ledger) };
}

/** Names a state directory, in files that are put back with it. */
const storeOf = (directory: string) => keptSecret(path.join(directory, 'audit-store.id'), randomUUID);

const placeOf = (file: string) => `${hostname()}:${file}`;

const kept_max = 100;

/** What the shared state knows of this state directory, or of another one whose log stood in the same place. */
export async function sharedHeads({
  database,
  directory,
  file,
}: Omit<SharedHeadsParts, 'log'>): Promise<KeptElsewhere[]> {
  const rows = await database.query<{ ledger: string; changed: Date }>(
    `select ledger::text, changed from sallyport.audit_heads
     where split_part(store, ' ', 1) = $1 or place = $2 order by changed desc limit ${String(kept_max)}`,
    [await storeOf(directory), placeOf(file)],
  );
  return rows.flatMap(({ ledger: text, changed }) => {
    const ledger = asLedger(text);
    return ledger === undefined ? [] : [{ ledger, place: `the shared state, as of ${changed.toISOString()}` }];
  });
}
