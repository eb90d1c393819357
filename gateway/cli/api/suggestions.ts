import type { ApprovalRequest } from '../../approvals/index.js';
import { printableLine, shortened } from '../printable.js';

/** What people have always approved, as rules that would tell it apart from the rest. */
export interface Suggestion {
  /** How many were approved; none was refused, and none was left to expire. */
  readonly approved: number;
  readonly first_ms: number;
  readonly last_ms: number;
  readonly approvers: readonly string[];
  /** Codes of the approvals that asked for it. */
  readonly codes: readonly string[];
  /** The most rows that one of them was shown to write; absent where nobody was shown any. */
  readonly rows_max?: number;
  /** The latest of them. */
  readonly example: ApprovalRequest;
}

/** More things than a person reads in one rule. */
const resources_max = 50;

interface Alike {
  readonly statements?: readonly { readonly fingerprint?: unknown; readonly bounded?: unknown }[];
  readonly database?: unknown;
  readonly user?: unknown;
}

const own = ({ operation }: ApprovalRequest) => operation?.['postgres'] as Alike | undefined;

const names = ({ operation }: ApprovalRequest): string[] =>
  [...new Set((operation?.resources ?? []).map(({ name }) => name))].sort();

/**
 * What operations have in common that differ in their values alone; undefined for what has no likeness: what was erased, what is
 * opaque (what it does may stand in a value), and what touches more than fits into a rule.
 */
function likeness(request: ApprovalRequest): string | undefined {
  const { principal, operation, target } = request;
  const { statements = [], database, user } = own(request) ?? {};
  if (principal === undefined || operation === undefined || operation.opaque || statements.length === 0)
    return undefined;
  if (statements.some(({ fingerprint }) => typeof fingerprint !== 'string' || fingerprint === '')) return undefined;
  if (names(request).length > resources_max) return undefined;
  const { issuer, subject, purpose = null, actor } = principal;
  const who = [issuer, subject, purpose, actor?.subject ?? null];
  const what = [operation.action, names(request), database ?? null, user ?? null];
  return JSON.stringify([
    target.protocol,
    target.name,
    who,
    what,
    statements.map((one) => [one.fingerprint, one.bounded]),
  ]);
}

/**
 * @param requests That are over, of one time that they cover wholly: one that is left out could be the one that was refused.
 * @param approved_min So many of the same have to have been approved.
 */
export function suggestionsFor(requests: readonly ApprovalRequest[], approved_min: number): Suggestion[] {
  const groups = new Map<string, ApprovalRequest[]>();
  for (const request of requests) {
    const key = likeness(request);
    if (key !== undefined) groups.set(key, [...(groups.get(key) ?? []), request]);
  }
  return [...groups.values()]
    .filter((group) => group.every(isPlainYes) && group.filter(isApproved).length >= approved_min)
    .map((group) => summed(group.filter(isApproved).sort((one, other) => one.asked_ms - other.asked_ms)))
    .sort((one, other) => other.approved - one.approved);
}

const isApproved = ({ status }: ApprovalRequest) => status === 'approved';

/** Approved, and not in an emergency; or taken back by who asked, which says nothing. */
const isPlainYes = ({ status, answers }: ApprovalRequest) =>
  status === 'withdrawn'
    ? answers.every(({ kind }) => kind === 'approve')
    : status === 'approved' && answers.every(({ break_glass }) => break_glass !== true);

function summed(group: readonly ApprovalRequest[]): Suggestion {
  const example = group.at(-1)!;
  const rows = group.flatMap(({ effect }) =>
    effect === undefined
      ? []
      : [effect.relations.reduce((sum, { inserted, updated, deleted }) => sum + inserted + updated + deleted, 0)],
  );
  return {
    approved: group.length,
    first_ms: group[0]!.asked_ms,
    last_ms: example.asked_ms,
    approvers: [...new Set(group.flatMap(({ answers }) => answers.map(({ by }) => by.subject)))].sort(),
    codes: [...new Set(group.flatMap(({ approvals }) => approvals.map(({ code }) => code)))].sort(),
    ...(rows.length === 0 ? {} : { rows_max: rows.reduce((most, count) => Math.max(most, count), 0) }),
    example,
  };
}

const day = (at_ms: number) => new Date(at_ms).toISOString().slice(0, 10);

/** A text as Rego reads it: what JSON escapes, Rego does. What others wrote ends neither a string nor a line. */
const literal = (value: unknown) => JSON.stringify(value);

/** One module with a rule for each, which allows nothing by itself; unformatted. */
export function moduleOf(suggestions: readonly Suggestion[]): string {
  const codes = [...new Set(suggestions.flatMap((one) => one.codes))].sort().map((code) => shortened(code, 100));
  return [
    '# METADATA',
    '# scope: package',
    '# schemas:',
    '#   - input: schema.postgres',
    'package policy.postgres',
    '',
    '# What people have always approved, as `sallyport approvals suggest` found it. Nothing asks for less because of it before a rule',
    `# that asks says so: add \`not _always_approved\` to the approval ${codes.join(', ')}.`,
    ...suggestions.flatMap((one) => ['', ...comments(one), ...rule(one)]),
    '',
  ].join('\n');
}

function comments({ approved, first_ms, last_ms, approvers, rows_max, example }: Suggestion): string[] {
  const { statement } = (example.operation?.['postgres'] ?? {}) as { statement?: unknown };
  const by = approvers.slice(0, 10).map((name) => shortened(name, 60));
  return [
    `# ${String(approved)} from ${day(first_ms)} to ${day(last_ms)}, approved by ${by.join(', ')}; none was refused or expired. Any values fit:`,
    `# ${shortened(printableLine(typeof statement === 'string' ? statement : ''), 300)}`,
    ...(rows_max === undefined
      ? []
      : [`# Its effect was looked at each time (at most ${String(rows_max)} rows), which nobody would do any more.`]),
  ];
}

function rule({ example }: Suggestion): string[] {
  const { principal, operation, target } = example;
  const { statements = [], database, user } = own(example) ?? {};
  const is = (path: string, value: unknown) =>
    value === undefined ? `\tnot input.${path}` : `\tinput.${path} == ${literal(value)}`;
  return [
    '_always_approved if {',
    is('principal.issuer', principal?.issuer),
    is('principal.subject', principal?.subject),
    is('principal.purpose', principal?.purpose),
    principal?.actor === undefined
      ? '\tnot input.principal.actor'
      : is('principal.actor.subject', principal.actor.subject),
    is('target.name', target.name),
    is('operation.action', operation?.action),
    '\tnot input.operation.opaque',
    ...(database === undefined ? [] : [is('operation.postgres.database', database)]),
    ...(user === undefined ? [] : [is('operation.postgres.user', user)]),
    `\t[one.fingerprint | some one in input.operation.postgres.statements] == ${literal(statements.map((one) => one.fingerprint))}`,
    `\t[one.bounded | some one in input.operation.postgres.statements] == ${literal(statements.map((one) => one.bounded))}`,
    `\t{one.name | some one in input.operation.resources} == {${names(example).map(literal).join(', ')}}`,
    '}',
  ];
}
