import type { Found, Verified } from '../audit/index.js';
import { printable } from './printable.js';

const statement_chars_max = 80;

/** One thing that happened, as one line for people. */
export function rowOf({ record, outcome }: Found): string {
  const personal = object(record['personal']);
  const result = object(record['result']);
  const end = object(outcome?.['result']);
  const who = object(personal['principal'] ?? personal['administrator'] ?? personal['approver'])['subject'];
  const rows = typeof end['rows'] === 'number' ? `${end['rows']} rows` : '';
  const what = text(object(personal['operation'])['statement']).replace(/\s+/gu, ' ').slice(0, statement_chars_max);
  const columns = [
    record.timestamp,
    (text(result['outcome']) || record.kind).padEnd(8),
    text(record['decision_id']),
    text(who),
    text(record['target']),
    text(record['action'] ?? record['event'] ?? record['type'] ?? record['reason']),
    [text(end['status']), text(end['code']), rows].filter(Boolean).join(' '),
    what,
  ];
  return `${columns.filter(Boolean).map(printable).join('  ')}\n`;
}

/** Findings first, each with its place; then what was looked at. */
export function verdictOf({ records, writers, findings, count, notes }: Verified): string {
  const lines = [
    ...findings.map(({ file, line, kind, writer, sequence, message }) => {
      const place = file === undefined ? '' : `${file}${line === undefined ? '' : `:${line}`}: `;
      const which =
        writer === undefined ? '' : ` (writer ${writer}${sequence === undefined ? '' : `, record ${sequence}`})`;
      return `${place}${kind}: ${message}${which}`;
    }),
    ...(count > findings.length ? [`… and ${count - findings.length} more`] : []),
    ...notes.map(
      ({ file, line, message }) =>
        `${file === undefined ? '' : `${file}${line === undefined ? '' : `:${line}`}: `}note: ${message}`,
    ),
    `${records} records of ${writers.length} ${writers.length === 1 ? 'writer' : 'writers'}: ${count === 0 ? 'whole, nothing was changed' : `${count} ${count === 1 ? 'finding' : 'findings'}`}`,
  ];
  return `${lines.map(printable).join('\n')}\n`;
}

type Fields = Readonly<Record<string, unknown>>;

function object(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

const text = (value: unknown) => (typeof value === 'string' ? value : '');
