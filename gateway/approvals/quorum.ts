import type { Approval, GrantTerms, Principal } from '#engine';
import { ApprovalError } from '../errors.js';
import type { Answer, AnswerInput, Bound } from './approvals.js';

/** Who may answer what, and when it is enough. Pure: rows of a table in, a verdict out. */

/** A comment has at most this many characters. */
export const comment_length_max = 2_000;

/** Whoever asks, or has it asked for, is one person with whoever answers: by name, or by whom either acts for. */
export function isOwn(bound: Bound, who: Principal): boolean {
  const { principal, actor } = bound;
  if (who.issuer === principal.issuer && who.subject === principal.subject) return true;
  // An actor has no issuer of its own: by the name alone, which errs on the side of asking somebody else.
  if (actor !== undefined && (who.subject === actor || who.actor?.subject === actor)) return true;
  return who.actor?.subject === principal.subject;
}

const shared = (one: readonly string[], other: readonly string[]) => one.filter((name) => other.includes(name));

export function mayAnswer(bound: Bound, approvals: readonly Approval[], who: Principal): boolean {
  return isOwn(bound, who)
    ? approvals.every(({ break_glass }) => shared(break_glass?.groups ?? [], who.groups).length > 0)
    : approvals.some(({ groups }) => shared(groups, who.groups).length > 0);
}

/**
 * The answer as it counts. Throws ApprovalError where it is not theirs to give: their own request without the emergency
 * that policy lets them have, none of the groups, an approval of an emergency without a word why.
 */
export function admit(
  bound: Bound,
  approvals: readonly Approval[],
  who: Principal,
  input: AnswerInput,
  now_ms: number,
): Answer {
  const comment = input.comment?.trim();
  if ((comment?.length ?? 0) > comment_length_max) {
    throw new ApprovalError('malformed', `a comment has at most ${String(comment_length_max)} characters`);
  }
  const own = isOwn(bound, who);
  const emergency = own && input.break_glass === true;
  if (own && !emergency) {
    throw new ApprovalError(
      'own_request',
      'nobody answers their own request, nor one that is made on their behalf; ask somebody else, or withdraw it',
    );
  }
  const groups = emergency ? emergencyGroups(approvals, who) : ordinaryGroups(approvals, who);
  if (emergency && (comment === undefined || comment === '')) {
    throw new ApprovalError('needs_comment', 'who answers their own request in an emergency has to say why');
  }
  return {
    kind: input.kind,
    by: { issuer: who.issuer, subject: who.subject },
    groups,
    at_ms: now_ms,
    ...(comment === undefined || comment === '' ? {} : { comment }),
    ...(emergency ? { break_glass: true as const } : {}),
    through: input.through,
  };
}

function emergencyGroups(approvals: readonly Approval[], who: Principal): string[] {
  const each = approvals.map(({ break_glass }) => shared(break_glass?.groups ?? [], who.groups));
  if (each.some((groups) => groups.length === 0)) {
    throw new ApprovalError('own_request', 'policy does not let you answer your own request, in no emergency either');
  }
  return [...new Set(each.flat())];
}

function ordinaryGroups(approvals: readonly Approval[], who: Principal): string[] {
  const groups = [...new Set(approvals.flatMap((approval) => shared(approval.groups, who.groups)))];
  if (groups.length === 0) {
    const wanted = [...new Set(approvals.flatMap((approval) => approval.groups))].join(', ');
    throw new ApprovalError('not_in_group', `this may be answered by ${wanted}, and you are in none of them`);
  }
  return groups;
}

/** Each approval has its number of different people of its groups; or one did it alone, in an emergency. */
export function isMet(approvals: readonly Approval[], answers: readonly Answer[]): boolean {
  const given = answers.filter(({ kind }) => kind === 'approve');
  if (given.some(({ break_glass }) => break_glass)) return true;
  return approvals.every(({ groups, quorum }) => {
    const people = new Set(
      given.filter((answer) => shared(groups, answer.groups).length > 0).map(({ by }) => JSON.stringify(by)),
    );
    return people.size >= quorum;
  });
}

/** The widest that every approval lets a grant be; undefined where one lets it be none. */
export function widest(approvals: readonly Approval[]): GrantTerms | undefined {
  return narrowest(approvals.map(({ grant }) => grant));
}

export function narrowest(terms: readonly (GrantTerms | undefined)[]): GrantTerms | undefined {
  const all = terms.filter((one) => one !== undefined);
  if (all.length === 0 || all.length < terms.length) return undefined;
  return {
    same: all.every(({ same }) => same === 'fingerprint') ? 'fingerprint' : 'operation',
    session: all.some(({ session }) => session),
    uses: Math.min(...all.map(({ uses }) => uses)),
    for_ms: Math.min(...all.map(({ for_ms }) => for_ms)),
  };
}

/** What is asked for, with policy's own terms where nothing is said. Throws ApprovalError for more than policy lets. */
export function within(policy: GrantTerms | undefined, asked: Partial<GrantTerms>): GrantTerms {
  if (policy === undefined) throw new ApprovalError('too_wide', 'policy lets nobody widen this approval');
  const terms = { ...policy, ...asked };
  const fits = (value: number, most: number) => Number.isSafeInteger(value) && value >= 1 && value <= most;
  const known = terms.same === 'operation' || terms.same === 'fingerprint';
  if (!known || !fits(terms.uses, Number.MAX_SAFE_INTEGER) || !fits(terms.for_ms, Number.MAX_SAFE_INTEGER)) {
    throw new ApprovalError(
      'malformed',
      'a grant says same, session, uses and for; uses and for are whole numbers from 1',
    );
  }
  const wider =
    (terms.same === 'fingerprint' && policy.same === 'operation') ||
    (!terms.session && policy.session) ||
    !fits(terms.uses, policy.uses) ||
    !fits(terms.for_ms, policy.for_ms);
  if (wider) {
    throw new ApprovalError(
      'too_wide',
      `policy lets this be widened to the same ${policy.same}${policy.session ? ', within the session' : ''}, ${String(policy.uses)} uses, ${String(Math.floor(policy.for_ms / 1000))} seconds at most`,
    );
  }
  return terms;
}
