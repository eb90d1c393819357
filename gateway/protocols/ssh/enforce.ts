import { engineCodes, type Decision } from '#engine';
import { AuditError, GatewayError } from '../../errors.js';
import type { Hold, HoldEnd } from '../../protocol.js';

/** Decisions and errors in the words of SSH: a line on standard error, and the exit code of what cannot be run. */

/** What a shell gives for a command that it may not run (POSIX, 2.8.2). */
export const exitDenied = 126;
/** What ssh itself gives for an error of its own. */
export const exitFailed = 255;

/** One line for people, one of JSON for programs. */
export function denial(decision: Decision, target: string, because: readonly string[] = []): string {
  const said = [...new Set(decision.reasons.map(({ message, title, code }) => message ?? title ?? code))];
  const machine = {
    decision: decision.id,
    outcome: decision.outcome,
    revision: decision.revision,
    target,
    reasons: decision.reasons.map(({ code, title, message }) => ({ code, title, message })),
    ...(because.length === 0 ? {} : { opaque: because }),
    explain: `sallyport explain ${decision.id}`,
  };
  return `${line(`denied by policy: ${said.join('; ')}${because.length === 0 ? '' : ` (${because.join('; ')})`}`)}${line(JSON.stringify(machine))}`;
}

/** Stopped on its way, at what policy lets it take. */
export function stopped(decision: Decision, target: string, what: string): string {
  const amount = what === 'bytes' ? `${decision.limits.bytes ?? 0} bytes` : what;
  const message = `The limit is ${amount}; what came before is not all.`;
  const machine = {
    decision: decision.id,
    outcome: 'deny',
    revision: decision.revision,
    target,
    reasons: [{ code: 'limit_exceeded', title: engineCodes.limit_exceeded, message }],
    explain: `sallyport explain ${decision.id}`,
  };
  return `${line(`stopped by policy: more than ${amount}`)}${line(JSON.stringify(machine))}`;
}

export function waiting(decision: Decision, hold: Hold): string {
  const groups = [...new Set(decision.approvals.flatMap((approval) => approval.groups))];
  const reasons = [...new Set(decision.approvals.map(({ reason, code }) => reason ?? code))].join('; ');
  const until = new Date(hold.expires_ms).toISOString().slice(0, 19);
  const where = hold.link === undefined ? '' : `: ${hold.link}`;
  return line(
    `waiting for an approval (${reasons}): request ${hold.id} may be answered by ${groups.join(', ')} until ${until}Z${where}`,
  );
}

export function notApproved(end: Exclude<HoldEnd, { how: 'approved' | 'superseded' }>): string {
  switch (end.how) {
    case 'refused':
      return line(`not approved: ${end.by} refused${end.comment === undefined ? '' : `: ${end.comment}`}`);
    case 'expired':
      return line('not approved: nobody answered in time');
    case 'withdrawn':
      return line(`not approved: the request was withdrawn: ${end.why}`);
  }
}

/** What went wrong, in words that are safe to show. */
export const failure = (error: unknown): string => line(wordsOf(error));

export function wordsOf(error: unknown): string {
  if (error instanceof AuditError) return 'refused: the operation could not be recorded';
  return error instanceof GatewayError ? error.message : 'internal error in the gateway';
}

/** For a terminal in raw mode too; nothing that is quoted can move its cursor. */
export const line = (text: string): string => `sallyport: ${harmless(text)}\r\n`;

const harmless = (text: string) =>
  text.replace(
    /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`,
  );
