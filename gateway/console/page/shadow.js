import { get } from './api.js';
import { badge, h, table, terms, visible } from './dom.js';
import { count, when } from './format.js';

const loosening = new Set([
  'newly_allowed',
  'hold_removed',
  'approval_weakened',
  'mask_lost',
  'filter_lost',
  'limit_raised',
  'taint_lost',
  'cost_lowered',
]);
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
      table(
        'What it would have decided otherwise',
        ['What', 'Operations', 'Rule', 'Who', 'Target', 'Example'],
        report.differences
          .slice(0, shown_max)
          .map((one) => [
            badge(`${loosening.has(one.kind) ? '! ' : ''}${one.kind.replaceAll('_', ' ')}`),
            count(one.count),
            h('code', null, visible(one.on === undefined ? one.rule : `${one.rule} on ${one.on}`)),
            one.principal,
            one.target,
            h('a', { href: `#/decisions/${encodeURIComponent(one.example)}` }, visible(one.example)),
          ]),
      ),
  );
}
