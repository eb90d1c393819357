import { h, table, terms, visible } from './dom.js';
import { count, when } from './format.js';
import { pieces } from './sql.js';

/** What an operation is, for whoever has to judge it: the exact statement, its values, what it touches, what it does. */

const shown_chars_max = 20_000;

export function statement(text) {
  const shown = String(text ?? '');
  const cut = shown.length > shown_chars_max;
  return h(
    'pre',
    { class: 'statement', tabindex: '0', 'aria-label': 'Statement' },
    h(
      'code',
      null,
      pieces(shown.slice(0, shown_chars_max)).map(({ kind, text: words }) =>
        kind === 'plain' ? visible(words) : h('span', { class: `sql-${kind}` }, visible(words)),
      ),
    ),
    cut &&
      h(
        'em',
        null,
        ` … ${count(shown.length - shown_chars_max)} more characters: read all of it with sallyport approvals show`,
      ),
  );
}

export function parameters(values) {
  if (!Array.isArray(values) || values.length === 0) return undefined;
  return h(
    'ol',
    { class: 'parameters', 'aria-label': 'Parameters' },
    values.map((value, index) =>
      h('li', null, h('code', null, `$${index + 1} = `, value === null ? 'NULL' : visible(JSON.stringify(value)))),
    ),
  );
}

export function resources(list) {
  if (!Array.isArray(list)) return undefined;
  return h(
    'ul',
    { class: 'plain' },
    list
      .slice(0, 50)
      .map(({ access, type, name }) =>
        h('li', null, h('b', null, access), ' ', type, ' ', h('code', null, visible(name))),
      ),
    list.length > 50 && h('li', null, `and ${list.length - 50} more`),
  );
}

/** docs/api.md, "The effect of a request". It may be absent, and it may change while the request waits. */
export function effect(given) {
  if (given === undefined || given === null) return undefined;
  const { basis, reason, held_until_ms, relations = [], notes = [] } = given;
  const measured = basis === 'measured';
  return h(
    'section',
    { class: 'effect', 'aria-label': 'Effect' },
    h('h2', null, 'What it does'),
    h(
      'p',
      { class: measured ? 'note' : 'warning' },
      measured
        ? 'Measured: it ran in a transaction that is not committed.'
        : ['An estimate: it did not run. ', reason === undefined ? '' : visible(reason)],
      held_until_ms !== undefined && ` Kept open until ${when(held_until_ms)}; after that it runs again when approved.`,
    ),
    table(
      'Rows written in each table',
      ['Table', 'Inserted', 'Updated', 'Deleted', ''],
      relations.map(({ relation, inserted, updated, deleted, indirect }) => [
        h('code', null, visible(relation)),
        number(inserted),
        number(updated),
        number(deleted),
        indirect ? 'by a cascade or a trigger' : '',
      ]),
    ),
    relations.filter(({ sample }) => sample?.length > 0).map(sampleOf),
    notes.length > 0 &&
      h(
        'ul',
        { class: 'notes' },
        notes.map((note) => h('li', null, visible(note))),
      ),
  );
}

const number = (value) => h('span', { class: value > 0 ? 'number loud' : 'number' }, count(value));

function sampleOf({ relation, sample }) {
  const columns = [...new Set(sample.flatMap(({ before, after }) => Object.keys({ ...before, ...after })))];
  const row = (mark, values, other) => [
    h(
      'b',
      { class: mark === '−' ? 'before' : 'after' },
      mark,
      h('span', { class: 'unseen' }, mark === '−' ? 'before' : 'after'),
    ),
    ...columns.map((name) => cell(values[name], other !== undefined && other[name] !== values[name])),
  ];
  return h(
    'details',
    { open: true },
    h('summary', null, 'Some of the rows of ', h('code', null, visible(relation))),
    table(
      `Some of the rows of ${relation}, before and after`,
      ['', ...columns],
      sample.flatMap(({ before, after }) => [
        ...(before ? [row('−', before, after)] : []),
        ...(after ? [row('+', after, before)] : []),
      ]),
    ),
  );
}

function cell(value, changed) {
  if (value === undefined) return '';
  const shown = value === null ? h('i', null, 'NULL') : visible(value);
  return h('span', { class: changed ? 'changed' : undefined }, shown);
}

/** Claimed beside observed: what the agent says of itself is never mixed with what was seen. */
export function claimed(prompt) {
  return h(
    'section',
    { class: 'claimed', 'aria-label': 'Claimed by the agent' },
    h('h2', null, 'Claimed', h('small', null, ' what the agent says of itself')),
    prompt === undefined || prompt === null
      ? h('p', null, 'It names no prompt.')
      : [
          h('blockquote', null, visible(prompt.text ?? '')),
          terms([
            ['Prompt', prompt.id],
            ['Trace', prompt.trace],
          ]),
        ],
  );
}
