import { resolve } from 'node:path';
import type { AuditRecord } from '../audit/record.js';
import { ConfigError } from '../errors.js';
import { exit, type ExitCode } from './exit.js';
import { printable, printableJson } from './printable.js';
import { configFile, type Surroundings } from './surroundings.js';

export interface ExplainOptions {
  /** A decision id, as a refusal carries it. */
  readonly id: string;
  readonly config: string | undefined;
  /** Audit files to look into instead of those of the configuration. */
  readonly audit: readonly string[];
  readonly json: boolean;
}

/** Answers "why, and what asked for it?" from the audit alone: nothing is evaluated again. */
export async function explain(options: ExplainOptions, around: Surroundings): Promise<ExitCode> {
  const files =
    options.audit.length > 0 ? options.audit.map((file) => resolve(file)) : await auditFiles(options, around);
  const { findDecision } = await import('../audit/index.js');
  const found = await findDecision(files, options.id);
  if (found === undefined) {
    around.stderr.write(`sallyport: no decision "${options.id}" in ${files.join(', ')}\n`);
    return exit.no;
  }
  around.stdout.write(options.json ? `${printableJson(found, 2)}\n` : describe(found.records));
  return exit.done;
}

async function auditFiles(options: ExplainOptions, around: Surroundings): Promise<string[]> {
  const { loadConfig } = await import('../config/index.js');
  const { protocols } = await import('../registry.js');
  const config = await loadConfig(configFile(options.config, around), { env: around.env, protocols });
  const files = config.audit.sinks.map(({ file }) => file);
  if (files.length === 0)
    throw new ConfigError(`${config.file} names no audit file: say where to look with --audit FILE.`);
  return files;
}

const labelWidth = 12;

/** The records of one decision as a person wants to read them; ends with a newline. */
export function describe(records: readonly AuditRecord[]): string {
  const judged = records.find(({ kind }) => kind === 'intent') ?? records[0];
  const outcome = records.find(({ kind }) => kind === 'outcome');
  if (judged === undefined) return '';
  const { principal, prompt, client, operation, result } = parts(judged);
  const lines = [
    line('decision', [text(result['outcome']), text(judged['decision_id'])]),
    line('when', [judged.timestamp, wrapped('at ', text(judged['stage']))]),
    line('who', [text(principal['subject']), forWhom(principal), wrapped('', text(principal['issuer']))]),
    line('purpose', [text(judged['purpose'] ?? principal['purpose'])]),
    line('from', [text(client['address']), text(client['application'])]),
    line('prompt', [said(prompt)]),
    line('target', [text(judged['target']), wrapped('', text(judged['protocol']))]),
    line('inside of', [text(judged['within'])]),
    line('action', [text(judged['action']), judged['opaque'] === true ? '(opaque: its effects cannot be known)' : '']),
    line('statement', [text(operation['statement'])]),
    line('parameters', [parameters(operation['parameters'])]),
    line('touches', [resources(judged['resources'])]),
    line('because', [reasons(result['reasons'])]),
    line('revision', [text(judged['revision'])]),
    line('outcome', [outcome === undefined ? whatHappened(result) : whatCame(outcome)]),
    line('recording', [recordingOf(outcome)]),
    line('copy', [keptOf(object(outcome?.['result'])['copy'])]),
    line('record', [`${judged.writer} #${judged.sequence}`, outcome && `and #${outcome.sequence}`]),
  ];
  return `${lines.filter((part) => part !== '').join('\n')}\n`;
}

/** Where an intent keeps what: fields that may identify a person stand under `personal`, and may have been erased. */
function parts(record: AuditRecord) {
  const personal = object(record['personal']);
  return {
    principal: object(personal['principal']),
    prompt: object(personal['prompt']),
    client: object(personal['client']),
    operation: object(personal['operation']),
    result: object(record['result']),
  };
}

function line(label: string, parts: readonly (string | undefined)[]): string {
  const whole = parts.filter((part) => part !== undefined && part !== '').join(' ');
  if (whole === '') return '';
  const indent = ' '.repeat(labelWidth);
  return label.padEnd(labelWidth) + whole.split('\n').map(printable).join(`\n${indent}`);
}

function forWhom(principal: Fields): string {
  const subject = text(object(principal['actor'])['subject']);
  return subject === '' ? '' : `for ${subject}`;
}

function said(prompt: Fields): string {
  const { text: words, id, trace } = prompt;
  return [text(words), prefixed('id ', text(id)), prefixed('trace ', text(trace))].filter(Boolean).join('\n');
}

function parameters(value: unknown): string {
  return list(value)
    .map((one, index) => `$${index + 1} = ${one === null ? 'NULL' : JSON.stringify(one)}`)
    .join('\n');
}

function resources(value: unknown): string {
  return list(value)
    .map(object)
    .map(({ access, type, name, use }) => [access, type, name, use].map(text).filter(Boolean).join(' '))
    .join('\n');
}

function reasons(value: unknown): string {
  return list(value)
    .map(object)
    .map(({ code, rule, title, message }) => {
      const words = [text(title), text(message)].filter(Boolean).join(': ');
      return [text(code), wrapped('', text(rule)), words].filter(Boolean).join(' ');
    })
    .join('\n');
}

function whatHappened(result: Fields): string {
  switch (result['outcome']) {
    case 'allow':
      return 'not recorded: it may still run, or the gateway ended before the answer came';
    case 'deny':
    case 'hold':
      return 'refused: nothing was sent to the target';
    default:
      return '';
  }
}

function whatCame(outcome: AuditRecord): string {
  const { status, tag, code, rows, bytes, warnings } = object(outcome['result']);
  const { duration_ms } = object(outcome['metrics']);
  const counted = [
    [rows, 'rows'],
    [bytes, 'bytes'],
    [duration_ms, 'ms'],
  ] as const;
  const numbers = counted
    .filter(([value]) => typeof value === 'number')
    .map(([value, unit]) => `${text(value)} ${unit}`);
  const warned = list(warnings).map(text).join(', ');
  return [text(status), text(tag), text(code), numbers.join(', '), warned].filter(Boolean).join(' · ');
}

/** Its id, and by what it is known to be the one. */
function recordingOf(outcome: AuditRecord | undefined): string {
  const { recording, recorded_in } = object(outcome?.['result']);
  if (recorded_in !== undefined) return `${text(recorded_in)} (a shell's, of which this is a line)`;
  return keptOf(recording);
}

function keptOf(kept: unknown): string {
  const { id, sha256, complete } = object(kept);
  const whole = complete === false ? 'not complete' : '';
  return [text(id), wrapped('sha256 ', text(sha256)), whole].filter(Boolean).join(' ');
}

function prefixed(before: string, words: string): string {
  return words === '' ? '' : `${before}${words}`;
}

function wrapped(before: string, words: string): string {
  return words === '' ? '' : `(${before}${words})`;
}

type Fields = Readonly<Record<string, unknown>>;

// What stands in a record came from a file: anything that has not the expected shape is left out, not trusted.

function object(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === 'string'
    ? value
    : typeof value === 'number' || typeof value === 'boolean'
      ? String(value)
      : '';
}
