import { deny, type Action, type Decision, type Input, type Operation } from '#engine';
import type { Obligation } from '../protocol.js';

/** An obligation that the protocol cannot fulfil is no permission. */
export function withinMeans(decision: Decision, input: Input, supports: ReadonlySet<Obligation>): Decision {
  if (decision.outcome === 'deny') return decision;
  const asked: Obligation[] = [];
  if (decision.masks.length > 0) asked.push('mask');
  if (decision.filters.length > 0) asked.push('filter');
  if (decision.previews !== undefined && changes(input.operation)) asked.push('preview');
  // Approvals and limits wait for the execution.
  if (input.operation.stage === 'execute') {
    if (decision.outcome === 'hold') asked.push('approval');
    if (decision.keeps !== undefined) asked.push('keep');
    if (decision.limits.rows !== undefined) asked.push('limit.rows');
    if (decision.limits.bytes !== undefined) asked.push('limit.bytes');
    if (decision.limits.seconds !== undefined) asked.push('limit.seconds');
  }
  if (asked.includes('preview') && supports.has('preview') && input.operation.stage === 'execute') {
    const unknown = unknownEffect(input);
    if (unknown !== undefined) return deny('preview_failed', decision.revision, unknown);
  }
  const missing = asked.filter((obligation) => !supports.has(obligation));
  if (missing.length === 0) return decision;
  const { masks, filters, approvals, previews = [], keeps = [] } = decision;
  const codes = [...masks, ...filters, ...approvals, ...previews, ...keeps].map(({ code }) => code);
  return deny(
    'obligation_unsupported',
    decision.revision,
    `policy asks for ${missing.join(', ')}${codes.length === 0 ? '' : ` (${[...new Set(codes)].join(', ')})`}, which ${input.target.protocol} targets cannot do${missing.includes('keep') ? ' here: copies are kept over SSH, where the configuration has "recordings"' : ''}`,
  );
}

const looking: ReadonlySet<Action> = new Set<Action>(['connect', 'session', 'read']);
/** What only looks would do nothing that could be found out. */
const changes = ({ action, opaque }: Operation): boolean => opaque || !looking.has(action);

/** Why what it would do is not known, where it is not: what policy wants to look at has to be there. */
function unknownEffect({ operation, target }: Input): string | undefined {
  const own = operation[target.protocol] as { result?: { known?: boolean; why?: string } } | undefined;
  if (own?.result?.known === true) return undefined;
  return `What this would do is not known: ${own?.result?.why ?? 'it was not tried out'}.`;
}
