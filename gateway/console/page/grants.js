import { get, post } from './api.js';
import { confirm } from './dialog.js';
import { h, link, table } from './dom.js';
import { count, span, when } from './format.js';

/** Approvals that were widened and still serve somebody: by how much, by whom, and the way to take one back. */
export async function grants({ me, act }) {
  const { grants: given } = await get('/grants');
  return {
    title: given.length === 0 ? 'No grants' : `Grants (${given.length})`,
    body: [
      h(
        'p',
        { class: 'note' },
        'A grant lets what was approved once go through again, within the policy that it was given under. A new policy, its time or its last use ends it.',
      ),
      given.length > 0 &&
        table(
          'Grants in force',
          ['Who', 'Target', 'Lets through', 'Uses left', 'Ends in', 'Given by', 'Given', 'Request', ''],
          given.map((grant) => [
            whom(grant.bound),
            grant.bound.target,
            same(grant.terms),
            `${count(grant.uses_left)} of ${count(grant.terms.uses)}`,
            h('span', { 'data-until': String(grant.expires_ms) }, span(grant.expires_ms - Date.now())),
            grant.by.join(', '),
            when(grant.given_ms),
            link(`#/approvals/${encodeURIComponent(grant.hold)}`, grant.hold),
            mayRevoke(grant, me)
              ? h(
                  'button',
                  {
                    class: 'small refuse',
                    'aria-label': `Take back the grant of ${grant.bound.principal.subject}`,
                    onclick: () => act(() => revoke(grant)),
                  },
                  'Take back',
                )
              : '',
          ]),
        ),
    ],
  };
}

const whom = ({ principal, actor, purpose }) =>
  [principal.subject, actor && `for ${actor}`, purpose && `(${purpose})`].filter(Boolean).join(' ');

/** What counts as the same, in words. */
const same = (terms) =>
  [
    terms.same === 'operation' ? 'the same operation, values included' : 'the same statement, with any values',
    terms.session ? 'in the session that asked' : 'in any session of theirs',
  ].join(', ');

/** How wide a grant is, in words. */
export const widening = (terms) => `${same(terms)}, ${count(terms.uses)} times within ${span(terms.for_ms)}`;

/** Whom it serves, who gave it, administrators. The gateway decides; this only spares people a button that says no. */
const mayRevoke = ({ bound, by }, me) =>
  me.roles.includes('administrator') ||
  by.includes(me.subject) ||
  (bound.principal.subject === me.subject && bound.principal.issuer === me.issuer);

async function revoke(grant) {
  const sure = await confirm({
    title: 'Take this grant back?',
    text: `${whom(grant.bound)} on ${grant.bound.target}: ${same(grant.terms)}, ${count(grant.uses_left)} more`,
    button: 'Take it back',
    danger: true,
  });
  if (sure === undefined) return undefined;
  await post(`/grants/${encodeURIComponent(grant.id)}/revoke`);
  return `Taken back: ${grant.id}`;
}
