import type { ApprovalRequest } from '../../approvals/approvals.js';
import type { HookEvent, Webhook } from '../../config/index.js';
import type { Told } from '../told.js';
import { cut, escaped, lines, preformatted, visible } from './text.js';

/** A request as a message in Slack's Block Kit: what is asked for, by whom, why, and two buttons. */

export const actions = { approve: 'sallyport_approve', refuse: 'sallyport_refuse' } as const;

/** Slack takes 150 in a header, and is known to take 3 000 in a block. */
const header_chars_max = 150;
const block_chars_max = 2_900;
const value_chars_max = 300;

type Block = Readonly<Record<string, unknown>>;

export interface SlackMessage {
  /** What notifications show; Slack reads mrkdwn in it, so that nothing of others stands there but names, escaped. */
  readonly text: string;
  readonly blocks: readonly Block[];
}

/** Undefined: a channel need not hear of it. */
export function slackMessage(hook: Webhook, event: HookEvent, told: Told): SlackMessage | undefined {
  const { request } = told;
  switch (event) {
    case 'requested':
      // Answered before it could be posted: buttons would promise something.
      return request.status === 'waiting' ? requestMessage(told, hook.answers !== undefined) : undefined;
    case 'effect':
      return request.status === 'waiting' ? effectMessage(told) : undefined;
    case 'ended':
      // Whose button it was has seen the message change.
      return isAnswered(request) && request.answers.at(-1)?.through === throughOf(hook)
        ? undefined
        : outcomeMessage(told);
    case 'answered':
      return undefined;
  }
}

const isAnswered = ({ status }: ApprovalRequest) => status === 'approved' || status === 'refused';

export const throughOf = ({ name }: Webhook): string => `webhook:${name}`;

/** The message as it stands while people are asked. */
export function requestMessage(told: Told, buttons: boolean): SlackMessage {
  const { request } = told;
  const operation = operationText(told);
  // Nobody approves what they were not shown.
  const whole = told.whole && operation.length <= block_chars_max;
  return {
    text: `Approval asked: request ${request.id} on ${escaped(nameOf(request))}`,
    blocks: [
      header(`Approval asked: ${request.operation?.action ?? 'an operation'} on ${nameOf(request)}`),
      lines(about(told)),
      preformatted(cut(operation, block_chars_max)),
      ...claimed(request),
      ...(request.effect === undefined ? [] : [lines(effectLines(request))]),
      ...(whole ? [] : [lines([['Not shown whole', 'it can be approved at the gateway, where all of it stands']])]),
      ...answersOf(request),
      ...(buttons ? [buttonsOf(request, whole)] : []),
    ],
  };
}

/** What became of it. */
export function outcomeMessage(told: Told): SlackMessage {
  const { request } = told;
  const how = `Request ${request.id} on ${nameOf(request)}: ${request.status}`;
  const text = cut(visible(operationText(told)), 600);
  const why = request.why === undefined ? [] : [['Why', cut(visible(request.why), value_chars_max)] as const];
  return {
    text: escaped(how),
    blocks: [header(how), ...(why.length > 0 ? [lines(why)] : []), preformatted(text), ...answersOf(request)],
  };
}

function effectMessage({ request, link }: Told): SlackMessage {
  const title = `Request ${request.id}: what it does`;
  return {
    text: escaped(title),
    blocks: [
      header(title),
      lines([...effectLines(request), ...(link === undefined ? [] : [['All of it', link] as const])]),
    ],
  };
}

const header = (text: string): Block => ({
  type: 'header',
  text: { type: 'plain_text', text: cut(visible(text), header_chars_max), emoji: false },
});

const nameOf = ({ target }: ApprovalRequest): string => visible(`${target.protocol}/${target.name}`);

function about({ request, link }: Told): (readonly [string, string])[] {
  const { principal, approvals, expires_ms } = request;
  const groups = [...new Set(approvals.flatMap((approval) => approval.groups))].join(', ');
  const reasons = [...new Set(approvals.map(({ reason, code }) => reason ?? code))].join('; ');
  const pairs: [string, string | undefined][] = [
    ['Who', principal && `${principal.subject} (${principal.kind}, ${principal.issuer})`],
    ['For', principal?.actor?.subject],
    ['Purpose', principal?.purpose],
    ['Why it waits', reasons],
    ['May be answered by', groups],
    ['Until', `${new Date(expires_ms).toISOString().slice(0, 19)}Z`],
    ['Request', request.id],
    ['At the gateway', link],
  ];
  return pairs.flatMap(([label, value]) =>
    value === undefined || value === '' ? [] : [[label, cut(visible(value), value_chars_max)] as const],
  );
}

/** The statement and its values where there is one, else all that its protocol says of it. */
function operationText({ recorded }: Told): string {
  if (typeof recorded !== 'object' || recorded === null) return '(left out)';
  const { statement, parameters } = recorded as { statement?: unknown; parameters?: unknown };
  if (typeof statement !== 'string') return visible(JSON.stringify(recorded, null, 1));
  const values = Array.isArray(parameters) ? parameters : [];
  return [
    visible(statement),
    ...values.map((value, index) => `$${String(index + 1)} = ${visible(JSON.stringify(value) ?? 'null')}`),
  ].join('\n');
}

function claimed({ prompt }: ApprovalRequest): Block[] {
  if (prompt === undefined) return [];
  const said = [prompt.id, prompt.text].filter((part) => part !== undefined).join(': ');
  return [lines([['Prompt, as the agent claims it', '']]), preformatted(cut(visible(said), block_chars_max))];
}

function effectLines({ effect }: ApprovalRequest): (readonly [string, string])[] {
  if (effect === undefined) return [];
  const counts = effect.relations.slice(0, 20).map(({ relation, inserted, updated, deleted }) => {
    const parts = [
      [inserted, 'inserted'],
      [updated, 'updated'],
      [deleted, 'deleted'],
    ] as const;
    const said = parts.filter(([rows]) => rows > 0).map(([rows, what]) => `${String(rows)} ${what}`);
    return [cut(visible(relation), value_chars_max), said.join(', ') || 'nothing'] as const;
  });
  return [[effect.basis === 'measured' ? 'Effect, measured' : 'Effect, estimated', ''], ...counts];
}

function answersOf({ answers }: ApprovalRequest): Block[] {
  if (answers.length === 0) return [];
  const said = answers.slice(0, 20).map(({ kind, by, comment }) => {
    const what = kind === 'approve' ? 'Approved by' : 'Refused by';
    return [
      what,
      cut(visible(`${by.subject}${comment === undefined ? '' : `: ${comment}`}`), value_chars_max),
    ] as const;
  });
  return [lines(said)];
}

const button = (text: string, style: string, action_id: string, value: string) => ({
  type: 'button',
  text: { type: 'plain_text', text, emoji: false },
  style,
  action_id,
  value,
});

const buttonsOf = ({ id }: ApprovalRequest, whole: boolean): Block => ({
  type: 'actions',
  elements: [
    ...(whole ? [button('Approve', 'primary', actions.approve, id)] : []),
    button('Refuse', 'danger', actions.refuse, id),
  ],
});
