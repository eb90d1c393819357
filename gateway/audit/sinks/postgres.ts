import { parseRecord } from '../read.js';
import { NotDelivered, type Destination } from './destination.js';

/** What a sink needs of a database. Rejects with an error whose message may be logged. */
export interface Rows {
  query(text: string, values: readonly unknown[]): Promise<unknown>;
  close(): Promise<void>;
}

/**
 * Rows of sallyport.audit_records, a batch in one statement. `record` has the line as it stands in the file (of the type json,
 * which keeps the text): so its chain can be checked there as well. A row that is there already stays.
 */
export function postgresDestination(rows: Rows): Destination {
  return {
    async deliver(records) {
      const columns: unknown[][] = [[], [], [], [], [], [], [], []];
      for (const line of records) {
        // The tail hands out nothing that is no record.
        const record = parseRecord(line)!;
        const { writer, sequence, kind, timestamp, chain } = record;
        const row = [
          chain?.hash,
          writer,
          sequence,
          kind,
          timestamp,
          textOf(record['decision_id']),
          textOf(record['target']),
          line.toString('utf8'),
        ];
        for (const [index, value] of row.entries()) columns[index]!.push(value);
      }
      try {
        await rows.query(insert, columns);
      } catch (error) {
        throw notDelivered(error);
      }
    },
    close: () => rows.close(),
  };
}

/** As the state's migrations have it. Tests see to it that they agree. */
export const audit_records = `create table if not exists sallyport.audit_records (
  hash text primary key,
  writer text not null,
  sequence bigint not null,
  kind text not null,
  "timestamp" timestamptz not null,
  decision_id text,
  target text,
  record json not null
)`;

const insert = `insert into sallyport.audit_records (hash, writer, sequence, kind, "timestamp", decision_id, target, record)
  select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::json[])
  on conflict (hash) do nothing`;

const textOf = (value: unknown) => (typeof value === 'string' ? value : null);

/** Data exceptions (class 22) are about the rows; all else may pass. */
function notDelivered(error: unknown): NotDelivered {
  const { code } = ((error as Error).cause ?? error) as { code?: unknown };
  const known = typeof code === 'string' ? code : (error as Error).name;
  return new NotDelivered(known, { refused: /^22[0-9A-Z]{3}$/u.test(known), cause: error });
}
