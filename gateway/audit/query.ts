import type { AuditRecord, RecordKind } from './record.js';

/** What is looked for; every field that is given has to fit. Names are compared exactly, texts by what they contain. */
export interface AuditQuery {
  readonly kinds?: readonly RecordKind[];
  readonly decision_id?: string;
  readonly session_id?: string;
  /** The decision inside of which it happened: that of a tunnel. */
  readonly within?: string;
  /** The prompt's id or trace, or a part of its text in any case. */
  readonly prompt?: string;
  /** Subject of the principal, of the one it acts for, or of whoever answered. */
  readonly principal?: string;
  readonly purpose?: string;
  readonly target?: string;
  /** A resource's name, or the end of one behind a dot: "orders" finds app.orders, and its columns. */
  readonly resource?: string;
  readonly decision?: 'allow' | 'deny' | 'hold';
  /** ok | error | cancelled | lost; none: allowed, and nothing of its end was recorded. */
  readonly outcome?: 'ok' | 'error' | 'cancelled' | 'lost' | 'none';
  /** A reason's code, or the code that the target answered with. */
  readonly code?: string;
  /** Milliseconds since the epoch: not before, and before. */
  readonly since_ms?: number;
  readonly until_ms?: number;
}

type Fields = Readonly<Record<string, unknown>>;

/** Whether a record fits, as far as it tells by itself: its outcome is looked at by `fitsOutcome`. */
export function fits(record: AuditRecord, query: AuditQuery): boolean {
  if (query.kinds !== undefined && !query.kinds.includes(record.kind)) return false;
  if (query.decision_id !== undefined && record['decision_id'] !== query.decision_id) return false;
  if (query.session_id !== undefined && record['session_id'] !== query.session_id) return false;
  if (query.within !== undefined && record['within'] !== query.within) return false;
  if (query.target !== undefined && record['target'] !== query.target) return false;
  if (!within(record, query)) return false;
  const personal = object(record['personal']);
  const principal = object(personal['principal']);
  if (query.purpose !== undefined && (record['purpose'] ?? principal['purpose']) !== query.purpose) return false;
  if (query.decision !== undefined && object(record['result'])['outcome'] !== query.decision) return false;
  if (query.principal !== undefined && !subjects(personal).includes(query.principal)) return false;
  if (query.prompt !== undefined && !isPrompt(record, object(personal['prompt']), query.prompt)) return false;
  return query.resource === undefined || touches(record['resources'], query.resource);
}

/** Whether an operation's end fits; `code` may stand with its decision or with its outcome. */
export function fitsOutcome(record: AuditRecord, outcome: AuditRecord | undefined, query: AuditQuery): boolean {
  const result = object(record['result']);
  const end = object(outcome?.['result']);
  if (query.outcome === 'none' && (outcome !== undefined || result['outcome'] !== 'allow')) return false;
  if (query.outcome !== undefined && query.outcome !== 'none' && end['status'] !== query.outcome) return false;
  if (query.code === undefined) return true;
  const codes = [
    record['code'],
    record['reason'],
    end['code'],
    ...list(result['reasons']).map((one) => object(one)['code']),
  ];
  return codes.includes(query.code);
}

export function within(record: AuditRecord, { since_ms, until_ms }: AuditQuery): boolean {
  if (since_ms === undefined && until_ms === undefined) return true;
  const time_ms = Date.parse(record.timestamp);
  return (since_ms === undefined || time_ms >= since_ms) && (until_ms === undefined || time_ms < until_ms);
}

/** Everybody whom the personal part of a record names by subject. */
export function subjects(personal: Fields): string[] {
  const people = [personal['principal'], personal['administrator'], personal['approver'], personal['by']].map(object);
  return people
    .flatMap((one) => [one['subject'], object(one['actor'])['subject']])
    .filter((name) => typeof name === 'string');
}

function isPrompt(record: AuditRecord, prompt: Fields, asked: string): boolean {
  if (prompt['id'] === asked || prompt['trace'] === asked || record['prompt_id'] === asked) return true;
  const { text } = prompt;
  return typeof text === 'string' && text.toLowerCase().includes(asked.toLowerCase());
}

function touches(resources: unknown, asked: string): boolean {
  return list(resources)
    .map((resource) => object(resource)['name'])
    .some((name) => typeof name === 'string' && `.${name}.`.includes(`.${asked}.`));
}

// What stands in a record came from a file: what has not the expected shape fits nothing.

function object(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
