import { parseRecord } from '../read.js';
import type { AuditRecord } from '../record.js';
import { NotDelivered, type Destination } from './destination.js';
import { postJson, type Receiver } from './post.js';

/**
 * OTLP/HTTP with JSON (OpenTelemetry Protocol 1.x, logs): one LogRecord each. Its body is the record as it stands in the file, so
 * that its hash can be checked; attributes have what one searches for, and nothing personal.
 */
export function otlpDestination(to: Receiver, version: string): Destination {
  return {
    async deliver(records, signal) {
      const request = {
        resourceLogs: [
          {
            resource: { attributes: attributesOf({ 'service.name': 'sallyport', 'service.version': version }) },
            scopeLogs: [{ scope: { name: 'sallyport.audit', version }, logRecords: records.map(logRecord) }],
          },
        ],
      };
      const answer = await postJson(to, JSON.stringify(request), signal);
      const rejected = rejectedIn(answer);
      if (rejected > 0) throw new NotDelivered(`${rejected} of ${records.length} rejected`, { refused: true });
    },
    close: () => Promise.resolve(),
  };
}

/** Numbers of severity as OpenTelemetry has them: INFO, WARN, ERROR. */
const severities = { INFO: 9, WARN: 13, ERROR: 17 } as const;

function logRecord(line: Buffer) {
  // The tail hands out nothing that is no record.
  const record = parseRecord(line)!;
  const severityText = severityOf(record);
  const { kind, writer, sequence, chain } = record;
  const result = record['result'] as { outcome?: unknown; status?: unknown } | undefined;
  const searched = [
    'decision_id',
    'session_id',
    'hold_id',
    'target',
    'protocol',
    'action',
    'purpose',
    'revision',
    'event',
  ];
  return {
    timeUnixNano: nanoseconds(record.timestamp),
    observedTimeUnixNano: nanoseconds(record.timestamp),
    severityNumber: severities[severityText],
    severityText,
    eventName: `sallyport.${kind}`,
    body: { stringValue: line.toString('utf8') },
    attributes: attributesOf({
      'sallyport.kind': kind,
      'sallyport.writer': writer,
      'sallyport.sequence': sequence,
      'sallyport.hash': chain?.hash,
      ...Object.fromEntries(searched.map((name) => [`sallyport.${name}`, record[name]])),
      'sallyport.outcome': result?.outcome ?? result?.status,
    }),
  };
}

function severityOf({ kind, ...fields }: AuditRecord): keyof typeof severities {
  if (kind === 'audit' && ['failed', 'gap'].includes(String(fields['event']))) return 'ERROR';
  const denied = (fields['result'] as { outcome?: unknown } | undefined)?.outcome === 'deny';
  return denied || kind === 'sign_in_refused' ? 'WARN' : 'INFO';
}

/** A 64-bit integer is a string in JSON; the time has milliseconds, or it is no time. */
function nanoseconds(timestamp: string): string {
  const time_ms = Date.parse(timestamp);
  return Number.isNaN(time_ms) ? '0' : `${time_ms}000000`;
}

type Value = { readonly stringValue: string } | { readonly intValue: string };

/** What has no value is left out. */
function attributesOf(values: Readonly<Record<string, unknown>>): { readonly key: string; readonly value: Value }[] {
  return Object.entries(values).flatMap(([key, value]) => {
    const written = valueOf(value);
    return written === undefined ? [] : [{ key, value: written }];
  });
}

function valueOf(value: unknown): Value | undefined {
  if (typeof value === 'string') return { stringValue: value };
  return Number.isSafeInteger(value) ? { intValue: String(value) } : undefined;
}

/** ExportLogsServiceResponse.partialSuccess; what is no such answer says nothing. */
function rejectedIn(answer: string): number {
  try {
    const { partialSuccess } = JSON.parse(answer) as { partialSuccess?: { rejectedLogRecords?: unknown } };
    const rejected = Number(partialSuccess?.rejectedLogRecords ?? 0);
    return Number.isSafeInteger(rejected) ? rejected : 0;
  } catch {
    return 0;
  }
}
