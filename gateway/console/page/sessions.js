import { get, post } from './api.js';
import { confirm } from './dialog.js';
import { h, link, table } from './dom.js';
import { count, short, span } from './format.js';

/** What is connected now. */
export async function sessions({ me, act }) {
  const { sessions: live } = await get('/sessions');
  const may = me.roles.includes('administrator');
  return {
    title: live.length === 0 ? 'No sessions' : `Sessions (${live.length})`,
    body: [
      h('p', { class: 'note' }, 'Of all gateways that share one state. Prompts are what agents claim.'),
      live.length > 0 &&
        table(
          'Live sessions',
          ['Who', 'Purpose', 'Target', 'From', 'For', 'Rows', 'Prompt (claimed)', 'Waits for', ''],
          live.map((one) => [
            one.principal.subject,
            one.principal.purpose ?? '',
            one.target.name,
            [one.client.address, one.client.application].filter(Boolean).join(' '),
            span(Date.now() - one.started_ms),
            count(one.rows),
            short(one.prompt?.text ?? one.prompt?.id, 80),
            one.waiting === undefined ? '' : link(`#/approvals/${encodeURIComponent(one.waiting)}`, one.waiting),
            may
              ? h(
                  'button',
                  {
                    class: 'small refuse',
                    'aria-label': `End the session of ${one.principal.subject}`,
                    onclick: () => act(() => end(one)),
                  },
                  'End',
                )
              : '',
          ]),
        ),
    ],
  };
}

async function end(one) {
  const why = await confirm({
    title: 'End this session?',
    text: `${one.principal.subject} on ${one.target.name}, with what it runs`,
    label: 'Why (its client is told)',
    needed: true,
    button: 'End it',
    danger: true,
  });
  if (why === undefined) return undefined;
  const { killed } = await post('/sessions/kill', { session: one.id, why });
  return `${killed} ended`;
}
