import type { AuditRecord } from './record.js';

/**
 * A record in the form of OPA's decision log (https://www.openpolicyagent.org/docs/management-decision-logs): what an intent
 * asked is its `input`. Salts are left out: with them, who has a copy could tell later what an erased value was.
 *
 * @param outcome What came of it, where that is known already.
 */
export function decisionLog(record: AuditRecord, outcome?: AuditRecord): Record<string, unknown> {
  const { labels, decision_id, timestamp, revision, result, path, metrics, personal, chain, salt, ...input } = record;
  void [chain, salt];
  return {
    labels,
    decision_id,
    path: path ?? 'sallyport/decision',
    timestamp,
    ...(revision === undefined ? {} : { bundles: { sallyport: { revision } } }),
    input: { ...input, ...(personal as object | undefined) },
    result,
    ...(outcome === undefined
      ? metrics === undefined
        ? {}
        : { metrics }
      : { metrics: outcome['metrics'], custom: { outcome: outcome['result'] } }),
  };
}
