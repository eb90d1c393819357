import type { PolicyStatus } from '../../bundles/index.js';
import { difference } from '../replay/report.js';
import type { ShadowReport } from '../rollout/index.js';

/** Groups that are printed; --json has them all. */
const printed_max = 50;

/** A shadow's report for a terminal. */
export function shadowText(status: PolicyStatus, report: ShadowReport): string {
  const { operations, changed, dropped, canary, differences, failure } = report;
  const lines = [
    `in force    ${report.enforcing ?? 'nothing'}`,
    `tried       ${report.shadow ?? 'nothing'}, from ${status.source}`,
    `since       ${report.since}`,
    `operations  ${operations} judged by both, ${changed} differently; ${dropped} dropped; ${canary} enforced for the canary`,
  ];
  if (status.last?.ok === false) lines.push(`refused     ${status.last.error ?? ''}`);
  if (failure !== undefined) lines.push(`failed      ${failure}`);
  lines.push(...differences.slice(0, printed_max).map(difference));
  if (differences.length > printed_max) lines.push(`and ${differences.length - printed_max} more: --json has them all`);
  return lines.join('\n');
}
