import { createHash } from 'node:crypto';
import type { Approval, GrantTerms } from '#engine';
import type { Bound } from './approvals.js';

/**
 * Digests of what an answer is bound to. Whatever is compared is compared as a whole: a field that is missing, or one
 * that runs over into the next, cannot make two things alike.
 */

/** JSON with the names of each object in order (as RFC 8785 has it, for the values that occur here). */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, item]) => `${JSON.stringify(name)}:${canonical(item)}`);
  return `{${members.join(',')}}`;
}

/** SHA-256, in base64url. */
export const digest = (value: unknown): string => createHash('sha256').update(canonical(value)).digest('base64url');

export const boundKey = (bound: Bound): string => digest({ receipt: bound });

/** Undefined where a grant on these terms fits nothing: there is no fingerprint to widen it to. */
export function grantKey(bound: Bound, terms: Pick<GrantTerms, 'same' | 'session'>): string | undefined {
  const { hash, fingerprint, session, ...rest } = bound;
  if (terms.same === 'fingerprint' && fingerprint === undefined) return undefined;
  const what = terms.same === 'operation' ? { hash } : { fingerprint };
  return digest({ grant: { ...rest, ...what, ...(terms.session ? { session } : {}) } });
}

/** Every key under which a grant may stand that covers this. */
export function grantKeys(bound: Bound): string[] {
  const terms = (['operation', 'fingerprint'] as const).flatMap((same) =>
    [true, false].map((session) => grantKey(bound, { same, session })),
  );
  return terms.filter((key) => key !== undefined);
}

/** One of what policy asked for. The reason is for people to read: it may name numbers that change. */
export function approvalKey(approval: Approval): string {
  const { reason: _, ...rest } = approval;
  return digest({ approval: { ...rest, groups: [...rest.groups].sort() } });
}

export const approvalKeys = (approvals: readonly Approval[]): string[] => [...new Set(approvals.map(approvalKey))];

export const personKey = ({ issuer, subject }: { readonly issuer: string; readonly subject: string }): string =>
  digest({ person: [issuer, subject] });
