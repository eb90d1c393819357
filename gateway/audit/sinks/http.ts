import { decisionLog } from '../decision-log.js';
import { parseRecord } from '../read.js';
import type { AuditRecord } from '../record.js';
import type { Destination } from './destination.js';
import { postJson, type Receiver } from './post.js';

/**
 * Batches as OPA uploads its decision log: a POST of a gzip-compressed JSON array of events. Intents are decisions; other records
 * have a path of their own (sallyport/outcome, sallyport/hold, …), and all of an operation have its `decision_id`.
 */
export function httpDestination(to: Receiver): Destination {
  return {
    async deliver(records, signal) {
      await postJson(to, JSON.stringify(records.map(eventOf)), signal);
    },
    close: () => Promise.resolve(),
  };
}

function eventOf(line: Buffer): Record<string, unknown> {
  // The tail hands out nothing that is no record.
  const record = parseRecord(line)!;
  const custom = { writer: record.writer, sequence: record.sequence, chain: record.chain };
  return { ...decisionLog({ ...record, path: pathOf(record) }), custom };
}

const pathOf = ({ kind, path }: AuditRecord) =>
  path ?? (kind === 'intent' ? 'sallyport/decision' : `sallyport/${kind}`);
