/** What a difference between two policies means, without a page: gateway/replay/compare.ts has the kinds. */

const loosening = new Set([
  'newly_allowed',
  'hold_removed',
  'approval_weakened',
  'mask_lost',
  'filter_lost',
  'limit_raised',
  'preview_lost',
  'copy_lost',
  'taint_lost',
  'cost_lowered',
]);

/** Whoever asks may do or see more than before. */
export const loosens = (kind) => loosening.has(kind);

export const named = (kind) => String(kind).replaceAll('_', ' ');

/** The rule, and what it is about. */
export const subject = ({ rule, on }) => (on === undefined ? rule : `${rule} on ${on}`);

/** What a reader has to know beside the differences, a sentence each; what is to be heeded first. */
export function remarks({ tally, meant, unseen, shortened }) {
  const said = [];
  const left = Object.entries(tally.beyond).map(([kind, count]) => `${count} more operations ${named(kind)}`);
  if (shortened.groups > 0) said.push(`Shortened: ${shortened.groups} kinds of difference are left out.`);
  if (shortened.texts > 0) said.push(`Shortened: ${shortened.texts} texts have no end here.`);
  if (left.length > 0) said.push(`Not in the list: ${left.join(', ')}.`);
  for (const why of meant) said.push(`Meant, as the commits say: ${why}`);
  if (unseen.length > 0) said.push(`Not seen: the policies read ${unseen.join(', ')}, which records do not have.`);
  if (tally.unlike_recorded > 0)
    said.push(`${tally.unlike_recorded} operations were decided otherwise when they came.`);
  if (tally.unmeasured > 0)
    said.push(
      `${tally.unmeasured} operations cannot be decided for certain: what was used by then is not in their records.`,
    );
  if (tally.unproven > 0)
    said.push(
      `${tally.unproven} operations cannot be decided for certain: only the target's catalog tells whether a filter can be put in.`,
    );
  if (tally.upon_base > 0) said.push(`${tally.upon_base} operations were judged upon a base that this was not given.`);
  if (tally.erased > 0) said.push(`${tally.erased} records were passed by: erased, or withheld.`);
  return said;
}
