import { noUsage, type Input } from '#engine';
import type { AuditRecord } from '../audit/index.js';

/**
 * The input document of an operation, from the record of its intent. What records do not have is filled in, and the answer
 * says so where a policy reads it: usage (none, unless policy looked at it then), when the session began (with the operation),
 * labels of the target (from the configuration, where it is given).
 */
export interface Recorded {
  readonly input: Input;
  readonly decision_id: string;
  readonly revision: string;
  /** What the gateway decided then. */
  readonly outcome: string;
  /** False: the policy of then did not look at budgets, so that none were measured. */
  readonly measured: boolean;
}

/** Paths of the input that no record holds; `usage`, where it was not looked at then, is counted by operations. */
export const unrecorded = ['session.started', 'target.labels', 'prompt.text'] as const;

export type Labels = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Undefined for a record of anything else, and for one whose principal or operation has been erased. */
export function recordedOperation(record: AuditRecord, labels: Labels): Recorded | 'other' | 'erased' {
  if (record.kind !== 'intent') return 'other';
  const fields = record as unknown as Fields;
  const personal = fields['personal'] as Fields | undefined;
  const result = fields['result'] as { readonly outcome?: string } | undefined;
  const { principal, client, operation, prompt } = (personal ?? {}) as Record<string, Fields | undefined>;
  const { protocol, target, resources, stage, action } = fields as Record<string, string>;
  if (
    !isObject(principal) ||
    !isObject(client) ||
    !isObject(operation) ||
    protocol === undefined ||
    target === undefined
  )
    return 'erased';
  const measured = isObject(fields['usage']);
  const input = {
    version: 1,
    time: record.timestamp,
    principal,
    ...(isObject(prompt) ? { prompt } : {}),
    session: {
      id: fields['session_id'],
      started: record.timestamp,
      client,
      ...(fields['transaction'] === undefined ? {} : { transaction: fields['transaction'] }),
      rows: whole(fields['rows']),
      taint: Array.isArray(fields['taint']) ? (fields['taint'] as unknown[]).map(String) : [],
    },
    target: { name: target, protocol, labels: labels[target] ?? {} },
    operation: { stage, action, opaque: fields['opaque'], resources, hash: fields['hash'], [protocol]: operation },
    usage: measured ? fields['usage'] : noUsage,
  } as unknown as Input;
  return {
    input,
    decision_id: String(fields['decision_id']),
    revision: String(fields['revision']),
    outcome: result?.outcome ?? '',
    measured,
  };
}

const whole = (value: unknown): number => (Number.isSafeInteger(value) ? (value as number) : 0);

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
