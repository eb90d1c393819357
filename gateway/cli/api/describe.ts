import type { ApprovalRequest, Grant } from '../../approvals/index.js';
import type { Effect } from '../../protocol.js';
import type { LiveSession } from '../../sessions.js';
import { printable, shortened } from '../printable.js';
import { span, table } from '../table.js';

/** What the API answers, for people. Statements, prompts and comments are others' text: all of it is made harmless here. */

/** One request as `GET /v1/approvals/ID` answers it. */
export type ShownRequest = ApprovalRequest & {
  readonly yours?: { readonly own: boolean; readonly answered: boolean; readonly may_answer: boolean };
};

export interface Colours {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly green: (text: string) => string;
  readonly red: (text: string) => string;
  readonly yellow: (text: string) => string;
}

const label_chars = 14;
const value_chars_max = 40;

const statementOf = ({ operation }: ApprovalRequest): string => {
  const postgres = operation?.postgres as { statement?: unknown } | undefined;
  return typeof postgres?.statement === 'string' ? postgres.statement : (operation?.action ?? '(erased)');
};

const when = (at_ms: number | undefined) => (at_ms === undefined ? '' : new Date(at_ms).toISOString());

export function requestTable(requests: readonly ShownRequest[], now_ms: number, colours: Colours): string {
  if (requests.length === 0) return 'Nothing waits for you.\n';
  const rows = table(
    requests,
    [
      { title: 'ID', of: ({ id }) => id, width_max: 40 },
      { title: 'STATUS', of: ({ status }) => status, width_max: 10 },
      {
        title: 'LEFT',
        of: ({ status, expires_ms }) => (status === 'waiting' ? span(expires_ms - now_ms) : '-'),
        width_max: 10,
      },
      { title: 'WHO', of: ({ principal }) => principal?.subject ?? '(erased)', width_max: 28 },
      { title: 'TARGET', of: ({ target }) => target.name, width_max: 20 },
      {
        title: 'YOURS',
        of: ({ yours }) => (yours?.own ? 'asked' : yours?.may_answer ? 'to answer' : ''),
        width_max: 9,
      },
      { title: 'STATEMENT', of: statementOf, width_max: 80 },
    ],
    colours.dim,
  );
  return `${rows}\nsallyport approvals show ID has the whole of it.\n`;
}

/** Everything that an approver has to see: claimed and observed are told apart. */
export function describeRequest(request: ShownRequest, now_ms: number, colours: Colours): string {
  const { principal, prompt, operation, client, approvals, effect, target } = request;
  const postgres = operation?.postgres as { parameters?: readonly unknown[] } | undefined;
  const paint = { waiting: colours.yellow, approved: colours.green, refused: colours.red }[request.status as string];
  const left = request.status === 'waiting' ? `, ${span(request.expires_ms - now_ms)} left` : '';
  const lines: [string, string][] = [
    ['request', request.id],
    ['status', `${request.status}${left}`],
    ['asked', when(request.asked_ms)],
    ['who', principal === undefined ? '(erased)' : `${principal.subject} (${principal.issuer})`],
    ['for', principal?.actor?.subject ?? ''],
    ['purpose', principal?.purpose ?? ''],
    ['from', [client?.address, client?.application].filter(Boolean).join(' ')],
    ['target', `${target.name} (${target.protocol})`],
    ['session', request.session],
    ['CLAIMED', ''],
    ['prompt', [prompt?.text ?? 'none', prompt?.id && `id ${prompt.id}`].filter(Boolean).join('\n')],
    ['OBSERVED', ''],
    ['statement', statementOf(request)],
    [
      'parameters',
      (postgres?.parameters ?? []).map((value, index) => `$${String(index + 1)} = ${valueOf(value)}`).join('\n'),
    ],
    ['touches', (operation?.resources ?? []).map(({ access, type, name }) => `${access} ${type} ${name}`).join('\n')],
    ['', operation?.opaque === true ? 'opaque: its effects cannot be known from what it says' : ''],
    ['effect', effect === undefined ? '' : describeEffect(effect)],
    [
      'needs',
      approvals
        .map(
          ({ groups, quorum, reason }) =>
            `${String(quorum)} of ${groups.join(', ')}${reason === undefined ? '' : `: ${reason}`}`,
        )
        .join('\n'),
    ],
    [
      'answers',
      request.answers
        .map(
          ({ kind, by, at_ms, comment, break_glass }) =>
            `${kind} by ${by.subject} at ${when(at_ms)}${break_glass ? ' (in an emergency, alone)' : ''}${comment === undefined ? '' : `: ${comment}`}`,
        )
        .join('\n'),
    ],
    ['why', request.why ?? ''],
    ['decision', request.decision_id],
    ['revision', request.revision],
  ];
  return lines
    .filter(([label, value]) => value !== '' || label === 'CLAIMED' || label === 'OBSERVED')
    .map(([label, value]) => {
      if (label === 'CLAIMED') return colours.dim('-- claimed: what the agent says of itself');
      if (label === 'OBSERVED') return colours.dim('-- observed: what was really sent');
      const shown = value
        .split('\n')
        .map(printable)
        .join(`\n${' '.repeat(label_chars)}`);
      return `${colours.bold(label.padEnd(label_chars))}${label === 'status' && paint !== undefined ? paint(shown) : shown}\n`.trimEnd();
    })
    .join('\n')
    .concat('\n');
}

const valueOf = (value: unknown) => (value === null ? 'NULL' : JSON.stringify(value));

/** Counts per table first, then some of the rows before and after. */
export function describeEffect({ basis, relations, notes }: Effect): string {
  const lines = [
    basis === 'measured' ? 'measured, in a transaction that is not committed' : 'an estimate: it did not run',
  ];
  for (const { relation, inserted, updated, deleted, indirect, sample = [] } of relations) {
    const counts = [
      [inserted, 'inserted'],
      [updated, 'updated'],
      [deleted, 'deleted'],
    ] as const;
    const said = counts.filter(([count]) => count > 0).map(([count, what]) => `${String(count)} ${what}`);
    lines.push(`${relation}: ${said.join(', ') || 'no rows'}${indirect ? ' (by a trigger or a cascade)' : ''}`);
    for (const { before, after } of sample) {
      if (before !== undefined) lines.push(`  - ${row(before)}`);
      if (after !== undefined) lines.push(`  + ${row(after)}`);
    }
  }
  return [...lines, ...notes].join('\n');
}

const row = (columns: Readonly<Record<string, string | null>>) =>
  Object.entries(columns)
    .map(([name, value]) => `${name}=${value === null ? 'NULL' : shortened(value, value_chars_max)}`)
    .join('  ');

export function grantTable(grants: readonly Grant[], now_ms: number, colours: Colours): string {
  if (grants.length === 0) return 'No grants.\n';
  return table(
    grants,
    [
      { title: 'ID', of: ({ id }) => id, width_max: 40 },
      { title: 'WHO', of: ({ bound }) => bound.principal.subject, width_max: 28 },
      { title: 'TARGET', of: ({ bound }) => bound.target, width_max: 28 },
      { title: 'SAME', of: ({ terms }) => `${terms.same}${terms.session ? ', in its session' : ''}`, width_max: 24 },
      { title: 'USES LEFT', of: ({ uses_left }) => String(uses_left), width_max: 9 },
      {
        title: 'LEFT',
        of: ({ revoked, expires_ms }) => (revoked ? 'revoked' : span(expires_ms - now_ms)),
        width_max: 10,
      },
      { title: 'GIVEN BY', of: ({ by }) => by.join(', '), width_max: 40 },
      { title: 'REQUEST', of: ({ hold }) => hold, width_max: 40 },
    ],
    colours.dim,
  );
}

export function sessionTable(sessions: readonly LiveSession[], now_ms: number, colours: Colours): string {
  if (sessions.length === 0) return 'No sessions.\n';
  return table(
    sessions,
    [
      { title: 'ID', of: ({ id }) => id, width_max: 40 },
      { title: 'FOR', of: ({ started_ms }) => span(now_ms - started_ms), width_max: 10 },
      { title: 'WHO', of: ({ principal }) => principal.subject, width_max: 28 },
      { title: 'PURPOSE', of: ({ principal }) => principal.purpose ?? '', width_max: 24 },
      { title: 'TARGET', of: ({ target }) => target.name, width_max: 20 },
      {
        title: 'FROM',
        of: ({ client }) => [client.address, client.application].filter(Boolean).join(' '),
        width_max: 32,
      },
      { title: 'ROWS', of: ({ rows }) => String(rows), width_max: 12 },
      { title: 'WAITS FOR', of: ({ waiting }) => waiting ?? '', width_max: 40 },
      { title: 'PROMPT (CLAIMED)', of: ({ prompt }) => prompt?.text ?? prompt?.id ?? '', width_max: 48 },
    ],
    colours.dim,
  );
}
