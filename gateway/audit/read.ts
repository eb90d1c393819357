import { lines } from './lines.js';
import type { AuditRecord } from './record.js';

export interface ReadOptions {
  /** Told of lines that are no record: cut off by a crash, or changed by somebody. `line` counts from 1. */
  readonly onDamaged?: (damage: { readonly file: string; readonly line: number }) => void;
}

/**
 * The records of one file, oldest first, without ever holding more than one of them. Lines that are no record are left
 * out and told to `onDamaged`; a last line without its line end is one that a crash cut off, or that is being written.
 */
export async function* readRecords(file: string, options: ReadOptions = {}): AsyncGenerator<AuditRecord> {
  for await (const { bytes, number } of lines(file)) {
    const record = bytes.length === 0 ? undefined : parseRecord(bytes);
    if (record !== undefined) yield record;
    else if (bytes.length > 0) options.onDamaged?.({ file, line: number });
  }
}

export interface FoundDecision {
  readonly decision_id: string;
  readonly intent?: AuditRecord;
  /** Absent: it was refused, or the gateway ended before it was over. */
  readonly outcome?: AuditRecord;
  /** All that carry the decision's id, oldest first. */
  readonly records: readonly AuditRecord[];
}

/** What the logs have of one decision; undefined where they know nothing of it. Files that are missing are passed by. */
export async function findDecision(files: readonly string[], id: string): Promise<FoundDecision | undefined> {
  const needle = Buffer.from(JSON.stringify(id));
  const found = new Map<string, AuditRecord>();
  for (const file of files) {
    try {
      for await (const { bytes } of lines(file)) {
        // Most lines are about something else, and looking for bytes is far cheaper than parsing.
        if (!bytes.includes(needle)) continue;
        const record = parseRecord(bytes);
        if (record?.decision_id === id) found.set(`${record.writer} ${record.sequence}`, record);
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  const records = [...found.values()];
  if (records.length === 0) return undefined;
  const intent = records.find(({ kind }) => kind === 'intent');
  const outcome = records.find(({ kind }) => kind === 'outcome');
  return { decision_id: id, ...(intent && { intent }), ...(outcome && { outcome }), records };
}

/** Undefined for what is no record. */
export function parseRecord(bytes: Buffer): AuditRecord | undefined {
  try {
    const value = JSON.parse(bytes.toString('utf8')) as Partial<AuditRecord> | null;
    const complete = value?.version === 1 && typeof value.kind === 'string' && typeof value.sequence === 'number';
    return complete ? (value as AuditRecord) : undefined;
  } catch {
    return undefined;
  }
}
