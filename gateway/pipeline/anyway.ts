import { deny, type Decision, type Revision } from '#engine';
import type { Identity } from '../protocol.js';

/** What refuses operations before any policy is asked. */
export interface Standing {
  readonly now: () => number;
  /** Why the policy in force is too old to be enforced; undefined where it is not. Absent: it never is. */
  readonly outdated?: (() => string | undefined) | undefined;
}

/** Undefined where policy is to be asked. */
export function refusedAnyway(
  { now, outdated }: Standing,
  { expires_ms }: Identity,
  revision: Revision | undefined,
): Decision | undefined {
  const id = revision?.id ?? 'none';
  // A timer may be late; a token is not valid one operation longer for that.
  if (now() >= expires_ms) return deny('token_expired', id);
  const old = outdated?.();
  return old === undefined ? undefined : deny('policy_outdated', id, old);
}
