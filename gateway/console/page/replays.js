import { get } from './api.js';
import { differences } from './differences.js';
import { h, link, table, terms, visible } from './dom.js';
import { count, when } from './format.js';
import { remarks } from './loosening.js';

/** What `sallyport replay --publish` has sent here, newest first. */
export async function replays() {
  const { replays: found } = await get('/replays');
  return {
    title: found.length === 0 ? 'No replays' : `Replays (${found.length})`,
    body: [
      h(
        'p',
        { class: 'note' },
        'What changes of the policy would have decided otherwise on recorded operations, as it was published from reviews.',
      ),
      found.length > 0 &&
        table(
          'Published replays',
          ['When', 'Change', 'Operations', 'Decided differently', 'Loosened', 'By'],
          found.map((one) => [
            h('span', { class: 'whole' }, when(one.published)),
            link(`#/replays/${encodeURIComponent(one.id)}`, visible(`${one.from} → ${one.to}`)),
            count(one.operations),
            count(one.changed),
            one.loosened ? (one.meant ? '! as the commits say' : '! not said to be meant') : '',
            one.by.subject,
          ]),
        ),
    ],
  };
}

export async function replay(id) {
  const { report, published, by, loosened, meant } = await get(`/replays/${encodeURIComponent(id)}`);
  const { from, to, before, after, beside, tally } = report;
  return {
    title: `Replay of ${from} → ${to}`,
    body: [
      loosened &&
        !meant &&
        h(
          'p',
          { class: 'warning' },
          'Loosened: somebody may do or see more than before, and no commit says that this is meant.',
        ),
      terms([
        ['Before', before],
        ['After', after],
        [
          beside?.role === 'team' ? 'Beneath the policy of the team' : 'Upon the base',
          beside && `${beside.revision} (${beside.from})`,
        ],
        ['Operations', count(tally.operations)],
        ['Decided differently', count(tally.changed)],
        ['Published', when(published)],
        ['By', `${by.subject} of ${by.issuer}`],
      ]),
      h(
        'ul',
        { class: 'note' },
        remarks(report).map((text) => h('li', null, visible(text))),
      ),
      tally.groups.length > 0 && differences('What would be decided otherwise', tally.groups),
    ],
  };
}
