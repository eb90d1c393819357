import { deny, type Decision, type Input } from '#engine';
import type { Obligation } from '../protocol.js';

/** An obligation that the protocol cannot fulfil is no permission. */
export function withinMeans(decision: Decision, input: Input, supports: ReadonlySet<Obligation>): Decision {
  if (decision.outcome === 'deny') return decision;
  const asked: Obligation[] = [];
  if (decision.masks.length > 0) asked.push('mask');
  if (decision.filters.length > 0) asked.push('filter');
  // Approvals and limits wait for the execution.
  if (input.operation.stage === 'execute') {
    if (decision.outcome === 'hold') asked.push('approval');
    if (decision.limits.rows !== undefined) asked.push('limit.rows');
    if (decision.limits.bytes !== undefined) asked.push('limit.bytes');
    if (decision.limits.seconds !== undefined) asked.push('limit.seconds');
  }
  const missing = asked.filter((obligation) => !supports.has(obligation));
  if (missing.length === 0) return decision;
  const codes = [...decision.masks, ...decision.filters, ...decision.approvals].map((obligation) => obligation.code);
  return deny(
    'obligation_unsupported',
    decision.revision,
    `policy asks for ${missing.join(', ')}${codes.length === 0 ? '' : ` (${[...new Set(codes)].join(', ')})`}, which ${input.target.protocol} targets cannot do`,
  );
}
