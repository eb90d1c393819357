import { get } from './api.js';
import { badge, h, link, table, terms, visible } from './dom.js';
import { count, short, when } from './format.js';
import { claimed, parameters, resources, statement } from './statement.js';

/** What happened, newest first, and one decision rule by rule. */

const fields = [
  ['prompt', 'Prompt', 'id, trace or words'],
  ['principal', 'Principal', 'agent:billing-bot'],
  ['target', 'Target', 'orders'],
  ['resource', 'Table', 'app.customers'],
  ['purpose', 'Purpose', ''],
];
const decisions = ['', 'allow', 'deny', 'hold'];

export async function timeline({ query, go }) {
  const asked = new URLSearchParams([...query].filter(([, value]) => value !== ''));
  asked.set('limit', '100');
  const { found, complete } = await get(`/audit?${asked}`);
  return {
    title: 'Timeline',
    body: [
      search(query, go),
      !complete &&
        h('p', { class: 'warning' }, 'The time ran out before everything was looked through: narrow the search.'),
      found.length === 0
        ? h('p', null, 'Nothing was found.')
        : table(
            'What happened, newest first',
            ['When', 'Decision', 'Who', 'Target', 'What', 'Outcome'],
            found.map(row),
          ),
    ],
  };
}

function search(query, go) {
  const submit = (event) => {
    event.preventDefault();
    const given = [...new FormData(event.target)].filter(([, value]) => value !== '');
    go(`#/timeline?${new URLSearchParams(given)}`);
  };
  return h(
    'form',
    { class: 'search', role: 'search', onsubmit: submit },
    fields.map(([name, label, hint]) =>
      h(
        'label',
        null,
        label,
        h('input', { name, value: query.get(name) ?? '', placeholder: hint, maxlength: '512', autocomplete: 'off' }),
      ),
    ),
    h(
      'label',
      null,
      'Decision',
      h(
        'select',
        { name: 'decision' },
        decisions.map((value) =>
          h('option', { value, selected: (query.get('decision') ?? '') === value }, value || 'any'),
        ),
      ),
    ),
    h('button', { type: 'submit' }, 'Search'),
  );
}

function row({ record, outcome }) {
  const personal = record.personal ?? {};
  const who = (personal.principal ?? personal.administrator ?? personal.approver ?? {}).subject;
  const end = outcome?.result ?? {};
  const decided = record.result?.outcome;
  const what =
    short(personal.operation?.statement, 100) ||
    record.action ||
    record.act ||
    record.event ||
    record.type ||
    record.reason ||
    '';
  return [
    when(record.timestamp),
    decided === undefined ? badge(record.kind) : badge(decided),
    who ?? '',
    record.target ?? '',
    record.decision_id === undefined
      ? String(what)
      : link(
          `#/decisions/${encodeURIComponent(record.decision_id)}`,
          h('code', null, visible(what || record.decision_id)),
        ),
    [
      visible(
        [end.status, end.code, typeof end.rows === 'number' ? `${count(end.rows)} rows` : ''].filter(Boolean).join(' '),
      ),
      end.recording?.id !== undefined && [
        ' ',
        link(`#/recordings/${encodeURIComponent(end.recording.id)}`, 'recording'),
      ],
    ],
  ];
}

/** Whoever may not play it is told its id. */
function recordingOf(recording, me) {
  if (recording === undefined) return undefined;
  const { id, complete } = recording;
  return [
    me.roles.includes('auditor') ? link(`#/recordings/${encodeURIComponent(id)}`, visible(id)) : visible(id),
    complete === false && ' (not complete)',
  ];
}

/** It is taken out where what was transferred can do no harm, and not shown by a page. */
function copyOf(copy) {
  if (copy === undefined) return undefined;
  const { id, complete } = copy;
  return [h('code', null, 'sallyport recordings save ', visible(id)), complete === false && ' (not complete)'];
}

export async function decision(id, { me }) {
  const { records, rules } = await get(`/decisions/${encodeURIComponent(id)}`);
  const judged = records.find(({ kind }) => kind === 'intent') ?? records[0];
  const outcome = records.find(({ kind }) => kind === 'outcome');
  const { result = {}, personal = {} } = judged;
  const { principal = {}, operation = {}, client = {} } = personal;
  return {
    title: `Decision ${id}`,
    body: [
      h('p', { class: 'line' }, badge(result.outcome ?? judged.kind), when(judged.timestamp)),
      h('h2', null, 'Because'),
      h(
        'ol',
        { class: 'rules' },
        (result.reasons ?? []).map((reason) => ruleOf(reason, rules)),
      ),
      ['masks', 'filters', 'approvals'].map((kind) => obligations(kind, result[kind], rules)),
      h(
        'section',
        { class: 'observed', 'aria-label': 'Observed by the gateway' },
        h('h2', null, 'Observed'),
        operation.statement !== undefined && statement(operation.statement),
        parameters(operation.parameters),
        judged.resources !== undefined &&
          h('details', null, h('summary', null, `Touches ${judged.resources.length}`), resources(judged.resources)),
      ),
      claimed(personal.prompt),
      terms([
        ['Who', principal.subject],
        ['For', principal.actor?.subject],
        ['Purpose', judged.purpose ?? principal.purpose],
        ['From', [client.address, client.application].filter(Boolean).join(' ')],
        ['Target', judged.target],
        [
          'Request',
          judged.hold_id === undefined
            ? undefined
            : link(`#/approvals/${encodeURIComponent(judged.hold_id)}`, judged.hold_id),
        ],
        ['Revision', judged.revision],
        [
          'Outcome',
          outcome === undefined
            ? undefined
            : [outcome.result?.status, outcome.result?.tag, outcome.result?.code].filter(Boolean).join(' · '),
        ],
        ['Recording', recordingOf(outcome?.result?.recording, me)],
        ['Copy', copyOf(outcome?.result?.copy)],
        ['Record', `${judged.writer} #${judged.sequence}`],
      ]),
      h(
        'details',
        null,
        h('summary', null, `All ${records.length} records`),
        h('pre', null, visible(JSON.stringify(records, undefined, 2))),
      ),
    ],
  };
}

function ruleOf({ code, rule, title, message }, rules) {
  const known = rules.find((one) => one.code === code);
  return h(
    'li',
    null,
    h('code', null, visible(code)),
    ' ',
    h('b', null, visible(title ?? known?.title ?? '')),
    message && h('p', null, visible(message)),
    h(
      'p',
      { class: 'note' },
      known === undefined ? visible(rule ?? 'its revision is not in force any more') : place(known),
    ),
  );
}

/** To the line itself where the configuration says how; else to the rule among those in force. */
export const place = ({ file, line, link: address, code }) =>
  address === undefined
    ? link(`#/policy/${encodeURIComponent(code)}`, `${file}:${line}`)
    : h('a', { href: address, rel: 'noreferrer', target: '_blank' }, `${file}:${line}`);

function obligations(kind, list, rules) {
  if (!Array.isArray(list) || list.length === 0) return undefined;
  return [
    h('h3', null, kind),
    h(
      'ul',
      { class: 'plain' },
      list.map(({ code, ...rest }) => {
        const known = rules.find((one) => one.code === code);
        return h(
          'li',
          null,
          h('code', null, visible(code ?? '')),
          ' ',
          visible(JSON.stringify(rest)),
          ' ',
          known && place(known),
        );
      }),
    ),
  ];
}
