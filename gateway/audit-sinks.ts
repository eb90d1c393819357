import type { Logger } from 'pino';
import {
  filePosition,
  givenRows,
  httpDestination,
  otlpDestination,
  postgresDestination,
  type Destination,
  type Rows,
  type SinkNews,
  type SinkOptions,
} from './audit/index.js';
import type { RemoteSink } from './config/index.js';
import type { Database } from './state/database.js';

export interface SinkParts {
  readonly directory: string;
  readonly database: Database;
  readonly version: string;
  readonly log: Logger;
}

/** The sinks besides files, as the configuration has them. */
export function auditSinks(sinks: readonly RemoteSink[], parts: SinkParts): SinkOptions[] {
  return sinks.map((sink) => ({
    name: sink.name,
    fail: sink.fail,
    limits: { records_max: sink.records_max, bytes_max: sink.bytes_max },
    destination: destinationOf(sink, parts),
    positions: filePosition(parts.directory, sink.name),
    onNews: (news) => report(news, sink.fail, parts.log),
  }));
}

function destinationOf(sink: RemoteSink, { database, version }: SinkParts): Destination {
  switch (sink.type) {
    case 'http':
      return httpDestination(sink.receiver);
    case 'otlp':
      return otlpDestination(sink.receiver, version);
    case 'postgres':
      return postgresDestination(sink.database === 'state' ? stateRows(database) : givenRows(sink.database));
  }
}

/** The gateway's own database is closed by whoever opened it. */
const stateRows = (database: Database): Rows => ({
  query: (text, values) => database.query(text, values),
  close: () => Promise.resolve(),
});

function report({ event, ...about }: SinkNews, fail: 'closed' | 'open', log: Logger): void {
  switch (event) {
    case 'failing':
      log.warn(about, 'a sink of the audit does not take records; it is tried again');
      return;
    case 'delivering':
      log.info(about, 'a sink of the audit takes records again');
      return;
    case 'full':
      log.error(
        about,
        fail === 'closed'
          ? 'a sink of the audit is too far behind: operations are refused until it has caught up'
          : 'a sink of the audit is too far behind: records are left out of it',
      );
      return;
    case 'caught_up':
      log.info(about, 'a sink of the audit has caught up');
      return;
    case 'gap':
      log.error(about, 'records were left out of a sink of the audit; the files have them');
  }
}
