import type { Principal } from '#engine';
import type { ApprovalRequest, Grant } from '../approvals/approvals.js';
import type { AuditRecord } from '../audit/index.js';
import type { Caller } from './caller.js';

/** Who may see what. Who may answer is for the approvals themselves to say, when they are answered. */

export const isSame = (one: { issuer: string; subject: string } | undefined, other: Principal) =>
  one !== undefined && one.issuer === other.issuer && one.subject === other.subject;

/** Whether a group of theirs stands in one of the approvals that it waits for. */
export const isAsked = ({ approvals }: ApprovalRequest, { groups }: Principal) =>
  approvals.some((approval) => approval.groups.some((group) => groups.includes(group)));

/** Their own request, one that they are asked to answer or have answered, or any where they are an auditor. */
export function maySeeRequest(caller: Caller, request: ApprovalRequest): boolean {
  const { principal } = caller.identity;
  return (
    caller.roles.has('auditor') ||
    isSame(request.principal, principal) ||
    isAsked(request, principal) ||
    request.answers.some(({ by }) => isSame(by, principal))
  );
}

/** A grant that serves them, or any where they are an auditor. */
export const maySeeGrant = (caller: Caller, { bound }: Grant) =>
  caller.roles.has('auditor') || isSame(bound.principal, caller.identity.principal);

/** Everybody may see why they themselves were answered as they were. */
export function maySeeDecision(caller: Caller, records: readonly AuditRecord[]): boolean {
  if (caller.roles.has('auditor')) return true;
  return records.some((record) => {
    const principal = (record['personal'] as { principal?: { issuer: string; subject: string } } | undefined)
      ?.principal;
    return isSame(principal, caller.identity.principal);
  });
}
