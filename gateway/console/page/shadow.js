import { get } from './api.js';
import { differences } from './differences.js';
import { h, terms, visible } from './dom.js';
import { count, when } from './format.js';

const shown_max = 100;

/** What is tried beside the policy, and what it would have decided otherwise. */
export async function shadow() {
  const found = await get('/policy/shadow');
  const { revision, commit, source, last, report } = found;
  return h(
    'section',
    { 'aria-label': 'What is tried' },
    h('h2', null, 'Tried beside it'),
    last?.ok === false && h('p', { class: 'warning' }, 'Its last change was turned away: ', visible(last.error ?? '')),
    report.failure !== undefined && h('p', { class: 'warning' }, 'It cannot judge: ', visible(report.failure)),
    terms([
      ['Tried', revision],
      ['Subject', commit?.subject],
      ['Source', source],
      ['Since', when(report.since)],
      ['Judged by both', count(report.operations)],
      ['Decided differently', count(report.changed)],
      ['Dropped', count(report.dropped)],
      ['Enforced for the canary', count(report.canary)],
    ]),
    report.differences.length > 0 &&
      differences('What it would have decided otherwise', report.differences.slice(0, shown_max)),
  );
}
