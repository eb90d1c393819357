import { h, table, visible } from './dom.js';
import { count } from './format.js';
import { loosens, named, subject } from './loosening.js';

/** Differences between two policies, by what, rule, principal and target; what loosens has a mark. */
export function differences(caption, groups) {
  return table(
    caption,
    ['What', 'Operations', 'Rule', 'Who', 'Target', 'Example'],
    groups.map((one) => [
      h(
        'span',
        { class: loosens(one.kind) ? 'badge loosens' : 'badge' },
        `${loosens(one.kind) ? '! ' : ''}${named(one.kind)}`,
      ),
      count(one.count),
      h('code', null, visible(subject(one))),
      one.principal,
      one.target,
      h('a', { class: 'whole', href: `#/decisions/${encodeURIComponent(one.example)}` }, visible(one.example)),
    ]),
  );
}
