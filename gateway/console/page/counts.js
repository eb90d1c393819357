import { get } from './api.js';
import { h, link, table } from './dom.js';
import { count, when } from './format.js';

/** Operations over time, as a picture and, for those who cannot see it, as a table. */

const kinds = ['allow', 'hold', 'deny'];
const width = 960;
const height = 220;

export async function counts({ query }) {
  const hours = /^([1-9]|1[0-9]|2[0-4])$/u.test(query.get('hours') ?? '') ? query.get('hours') : '24';
  const { slots, complete, since } = await get(`/counts?hours=${hours}`);
  const totals = Object.fromEntries(kinds.map((kind) => [kind, slots.reduce((sum, slot) => sum + slot[kind], 0)]));
  return {
    title: `The last ${hours} hours`,
    body: [
      h(
        'p',
        { class: 'line' },
        ['1', '6', '24'].map((value) => link(`#/counts?hours=${value}`, `${value} h`)),
      ),
      !complete && h('p', { class: 'warning' }, `Counted back to ${when(since)} only.`),
      h(
        'p',
        { class: 'line' },
        kinds.map((kind) => h('span', { class: `key ${kind}` }, `${kind} ${count(totals[kind])}`)),
      ),
      picture(slots, totals),
      kinds.map((kind) => [h('h2', null, kind), picture(slots, totals, [kind])]),
      h(
        'details',
        null,
        h('summary', null, 'The numbers'),
        table(
          'Operations by decision',
          ['From', ...kinds],
          slots.map((slot) => [when(slot.from), ...kinds.map((kind) => count(slot[kind]))]),
        ),
      ),
    ],
  };
}

function picture(slots, totals, among = kinds) {
  const most = Math.max(1, ...slots.map((slot) => among.reduce((sum, kind) => sum + slot[kind], 0)));
  const step = width / slots.length;
  const bars = slots.flatMap((slot, index) => {
    let base = height;
    return among
      .filter((kind) => slot[kind] > 0)
      .map((kind) => {
        const tall = Math.max(2, (slot[kind] / most) * (height - 20));
        base -= tall;
        return h(
          'rect',
          { class: `bar ${kind}`, x: index * step + 1, y: base, width: step - 2, height: tall },
          h('title', null, `${when(slot.from)}: ${slot[kind]} ${kind}`),
        );
      });
  });
  const said = among.map((kind) => `${count(totals[kind])} ${kind}`).join(', ');
  return h(
    'svg',
    {
      class: 'chart',
      viewBox: `0 0 ${width} ${height}`,
      role: 'img',
      'aria-label': `${said}; at most ${count(most)} at once`,
      preserveAspectRatio: 'none',
    },
    h('line', { class: 'axis', x1: 0, x2: width, y1: height, y2: height }),
    bars,
  );
}
