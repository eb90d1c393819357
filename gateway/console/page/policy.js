import { get } from './api.js';
import { shadow } from './shadow.js';
import { badge, h, table, terms, visible } from './dom.js';
import { count, when } from './format.js';
import { place } from './timeline.js';

/** What is in force, how it came there, and its rules. `code` is the rule that somebody came for. */
export async function policy(code) {
  const {
    revision,
    base,
    since,
    commit,
    restored,
    pinned,
    last,
    history = [],
    source,
    rules = [],
    replicas = [],
    in_force: enforced,
    tried,
  } = await get('/policy');
  return {
    title: 'Policy',
    focus: code === undefined ? undefined : `rule-${code}`,
    body: [
      revision === undefined && h('p', { class: 'warning' }, 'No policy is in force: everything is refused.'),
      restored && h('p', { class: 'warning' }, 'It came from the disk: its source could not be built.'),
      pinned &&
        h('p', { class: 'warning' }, `It was rolled back and stays until its source changes: ${pinned.revision}`),
      base?.last?.ok === false &&
        h(
          'p',
          { class: 'warning', role: 'alert' },
          'The last change of the base was turned away: ',
          visible(base.last.error ?? ''),
        ),
      last?.ok === false &&
        h(
          'div',
          { class: 'warning', role: 'alert' },
          h('p', null, 'The last change was turned away: ', visible(last.error ?? '')),
          h(
            'ul',
            null,
            (last.problems ?? []).map((one) =>
              h('li', null, visible([one.file, one.line, one.message].filter(Boolean).join(': '))),
            ),
          ),
        ),
      terms([
        ['In force', revision],
        ["The organisation's base", base?.revision],
        ['Since', when(since)],
        ['Commit', commit?.hash],
        ['Subject', commit?.subject],
        ['Author', commit?.author],
        ['Source', source],
        [
          'Tests',
          last?.tests &&
            `${count(last.tests.passed)} passed, ${count(last.tests.failed)} failed, ${count(last.tests.skipped)} skipped`,
        ],
        [
          'From commit to force',
          last?.commit_to_force_ms === undefined ? undefined : `${count(last.commit_to_force_ms)} ms`,
        ],
      ]),
      replicas.some((one) => one.revision !== enforced) &&
        h(
          'p',
          { class: 'warning' },
          'Not all replicas enforce the same: each asks the source by itself, which takes a moment.',
        ),
      replicas.length > 0 &&
        table(
          'What other replicas enforce',
          ['Replica', 'Revision', 'Since'],
          replicas.map((one) => [h('code', null, visible(one.replica)), visible(one.revision), when(one.since)]),
        ),
      tried && (await shadow()),
      h('h2', null, `Rules (${rules.length})`),
      table(
        'Rules in force',
        ['Set', 'Code', 'Title', 'Where'],
        rules.map((rule) => [
          badge(rule.set),
          h('code', { id: `rule-${rule.code}`, tabindex: '-1' }, visible(rule.code)),
          rule.title ?? '',
          rule.link === undefined
            ? `${rule.layer === undefined ? '' : `${rule.layer}: `}${rule.file}:${rule.line}`
            : place(rule),
        ]),
      ),
      h('h2', null, 'History'),
      table(
        'What was in force before',
        ['When', 'How', 'Revision', 'Commit'],
        history.map((one) => [when(one.at), one.how, one.revision, one.commit?.subject ?? '']),
      ),
    ],
  };
}
