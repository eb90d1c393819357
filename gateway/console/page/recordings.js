import { get } from './api.js';
import { h, link, table, visible } from './dom.js';
import { clock, short, span, when } from './format.js';

/** What was recorded of terminals and commands, and copies of what was transferred, newest first. */

const fields = [
  ['text', 'Words on the screen', 'drop table'],
  ['principal', 'Principal', 'agent:build-bot'],
  ['target', 'Target', 'build'],
  ['session', 'Session', ''],
];

export async function recordings({ query, go }) {
  const asked = new URLSearchParams([...query].filter(([, value]) => value !== ''));
  asked.set('limit', '100');
  const { found, complete } = await get(`/recordings?${asked}`);
  return {
    title: 'Recordings',
    body: [
      search(query, go),
      h('p', { class: 'note' }, 'Of this gateway. Who plays one, or looks for words in them, is recorded.'),
      !complete &&
        h('p', { class: 'warning' }, 'The time ran out before everything was looked through: narrow the search.'),
      found.length === 0
        ? h('p', null, 'Nothing was found.')
        : table('Recordings, newest first', ['When', 'Who', 'Target', 'For', 'End', 'What'], found.map(row)),
    ],
  };
}

function search(query, go) {
  const submit = (event) => {
    event.preventDefault();
    const given = [...new FormData(event.target)].filter(([, value]) => value !== '');
    go(`#/recordings?${new URLSearchParams(given)}`);
  };
  return h(
    'form',
    { class: 'search', onsubmit: submit, role: 'search' },
    fields.map(([name, label, placeholder]) =>
      h('label', null, label, h('input', { name, placeholder, maxlength: '512', value: query.get(name) ?? '' })),
    ),
    h('button', { type: 'submit' }, 'Search'),
  );
}

function row({ id, kind, path, started, principal, target, seconds, exit, command, request, masked, matches }) {
  const place = `#/recordings/${encodeURIComponent(id)}`;
  return [
    when(started),
    principal.subject,
    target,
    span(seconds * 1_000),
    exit ?? 'runs, or was cut off',
    [
      kind === 'copy'
        ? [
            h('code', null, visible(short(path ?? command ?? request, 100))),
            h('small', null, ' copy: sallyport recordings save ', visible(id)),
          ]
        : link(place, h('code', null, visible(short(command ?? request, 100)))),
      masked && h('small', null, ' masked'),
      matches.length > 0 &&
        h(
          'ul',
          { class: 'plain' },
          matches.map(({ seconds: at, line }) =>
            h('li', null, link(`${place}?at=${at}`, clock(at)), ' ', h('code', null, visible(short(line, 160)))),
          ),
        ),
    ],
  ];
}
