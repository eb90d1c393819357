import { get, post } from './api.js';
import { confirm } from './dialog.js';
import { badge, h, link, terms, visible } from './dom.js';
import { short, span, statementOf, when } from './format.js';
import { widening } from './grants.js';
import { claimed, effect, parameters, resources, statement } from './statement.js';

/** What waits for me, and one request. */

export async function waiting() {
  const { approvals } = await get('/approvals?status=waiting');
  const mine = approvals.filter(({ yours }) => yours.may_answer || yours.may_break_glass);
  const others = approvals.filter((request) => !mine.includes(request));
  return {
    title: mine.length > 0 ? `Waiting for you (${mine.length})` : 'Nothing waits for you',
    waiting: mine.length,
    body: [
      list(mine),
      others.length > 0 && [h('h2', null, 'Waiting for others'), list(others)],
      h('p', { class: 'note' }, link('#/answered', 'What was answered lately')),
    ],
  };
}

export async function answered() {
  const { approvals } = await get('/approvals?status=all');
  const ended = approvals.filter(({ status }) => status !== 'waiting');
  return { title: 'Answered lately', body: ended.length === 0 ? h('p', null, 'Nothing yet.') : list(ended) };
}

const list = (requests) =>
  h(
    'ul',
    { class: 'cards' },
    requests.map((request) =>
      h(
        'li',
        null,
        h(
          'a',
          { class: 'card', href: `#/approvals/${encodeURIComponent(request.id)}`, 'data-row': '' },
          h(
            'span',
            { class: 'line' },
            badge(request.status),
            h('b', null, visible(request.principal?.subject ?? '(erased)')),
            ' → ',
            h('b', null, visible(request.target.name)),
            left(request),
          ),
          h(
            'code',
            { class: 'line' },
            visible(short(statementOf(request.operation)) || (request.operation?.action ?? '(erased)')),
          ),
          request.like > 1 && h('span', { class: 'note' }, `${request.like} of the same wait`),
        ),
      ),
    ),
  );

const left = ({ status, expires_ms }) =>
  status === 'waiting' && h('span', { class: 'left', 'data-until': String(expires_ms) }, span(expires_ms - Date.now()));

export async function request(id) {
  const one = await get(`/approvals/${encodeURIComponent(id)}`);
  const { yours, operation, principal } = one;
  const answerable = yours.may_answer || yours.may_break_glass;
  return {
    title: `Request ${one.id}`,
    actions: answerable
      ? { a: () => answer(one, 'approve'), r: yours.may_answer ? () => answer(one, 'refuse') : undefined }
      : {},
    body: [
      h('p', { class: 'line' }, badge(one.status), left(one), yours.own && h('span', null, 'your own')),
      answerable &&
        h(
          'div',
          { class: 'buttons', role: 'group', 'aria-label': 'Answer' },
          h(
            'button',
            { class: 'approve', onclick: () => answer(one, 'approve') },
            yours.may_answer ? 'Approve' : 'Approve in an emergency',
            h('kbd', null, 'a'),
          ),
          yours.may_answer &&
            h('button', { class: 'refuse', onclick: () => answer(one, 'refuse') }, 'Refuse', h('kbd', null, 'r')),
        ),
      h(
        'section',
        { class: 'observed', 'aria-label': 'Observed by the gateway' },
        h('h2', null, 'Observed', h('small', null, ' what was really sent')),
        operation === undefined
          ? h('p', null, 'Erased.')
          : [statement(statementOf(operation)), parameters(operation.postgres?.parameters)],
        operation?.opaque && h('p', { class: 'warning' }, 'Opaque: its effects cannot be known from what it says.'),
        operation !== undefined &&
          h(
            'details',
            null,
            h('summary', null, `Touches ${operation.resources.length}`),
            resources(operation.resources),
          ),
      ),
      effect(one.effect),
      claimed(one.prompt),
      h('h2', null, 'Who and why'),
      terms([
        ['Who', principal?.subject],
        ['Issuer', principal?.issuer],
        ['For', principal?.actor?.subject],
        ['Purpose', principal?.purpose],
        ['From', [one.client?.address, one.client?.application].filter(Boolean).join(' ')],
        ['Target', `${one.target.name} (${one.target.protocol})`],
        ['Asked', when(one.asked_ms)],
        ['Expires', when(one.expires_ms)],
        [
          'Needs',
          one.approvals
            .map(({ groups, quorum, reason }) => `${quorum} of ${groups.join(', ')}${reason ? `: ${reason}` : ''}`)
            .join('; '),
        ],
        ['May be widened to', widest(one) && widening(widest(one))],
        ['Withdrawn', one.why],
        ['Revision', one.revision],
        ['Decision', link(`#/decisions/${encodeURIComponent(one.decision_id)}`, one.decision_id)],
      ]),
      one.answers.length > 0 && [
        h('h2', null, 'Answers'),
        h(
          'ul',
          { class: 'plain' },
          one.answers.map(({ kind, by, at_ms, comment, break_glass }) =>
            h(
              'li',
              null,
              h('b', null, kind === 'approve' ? 'approved' : 'refused'),
              ' by ',
              visible(by.subject),
              `, ${when(at_ms)}`,
              break_glass && ' (in an emergency, alone)',
              comment && [': ', visible(comment)],
            ),
          ),
        ),
      ],
    ],
  };
}

/** The widest that this approval may be made, where policy lets all that are asked for be widened. */
const widest = ({ approvals }) => {
  const terms = approvals.map(({ grant }) => grant);
  return terms.length > 0 && terms.every((grant) => grant !== undefined)
    ? {
        same: terms.every(({ same }) => same === 'fingerprint') ? 'fingerprint' : 'operation',
        session: terms.some(({ session }) => session),
        uses: Math.min(...terms.map(({ uses }) => uses)),
        for_ms: Math.min(...terms.map(({ for_ms }) => for_ms)),
      }
    : undefined;
};

/** Asks once more, with the statement before the eyes; resolves with what to say, or undefined where nothing was done. */
async function answer(one, kind) {
  const approving = kind === 'approve';
  const emergency = approving && !one.yours.may_answer;
  const wide = approving && !emergency ? widest(one) : undefined;
  const said = await confirm({
    title: approving ? 'Approve this?' : 'Refuse this?',
    text: `${one.principal?.subject ?? '(erased)'} on ${one.target.name}, ${one.id}`,
    sql: statementOf(one.operation),
    label: emergency
      ? 'Why it cannot wait (needed)'
      : approving
        ? 'Comment (kept with your answer)'
        : 'Why not (whoever asked is told)',
    needed: emergency || !approving,
    option: wide && `Also what is the same from now on: ${widening(wide)}`,
    button: approving ? 'Approve' : 'Refuse',
    danger: !approving,
  });
  if (said === undefined) return undefined;
  const { written, ticked } = wide === undefined ? { written: said, ticked: false } : said;
  const body = {
    ...(written === '' ? {} : { comment: written }),
    ...(emergency ? { break_glass: true } : {}),
    // Nothing named: as wide as policy lets it be.
    ...(ticked ? { grant: {} } : {}),
  };
  const after = await post(`/approvals/${encodeURIComponent(one.id)}/${kind}`, body);
  return after.status === 'waiting' ? `${one.id}: yours is given; it waits for others` : `${one.id}: ${after.status}`;
}
