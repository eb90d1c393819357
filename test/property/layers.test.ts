import { beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createEngine, layered, maskFunctions, type Decision, type Input, type Layer, type Mask } from '../../engine/index.js'; // prettier-ignore
import { inputOf, layerOf } from '../support/policy.js';

/** Whatever a team's repository says: nobody may do or see more than the organisation's base lets them. */

const actions = ['read', 'write', 'delete'] as const;

/** Rules that are data, so that one compiled policy is any small policy. What is said of no action is said of a trial. */
const interpreter = `package policy.postgres

_said[set] contains object.remove(rule, ["on"]) if {
	some set, rules in data.rules
	some rule in rules
	input.operation.action in rule.on
}

${['allow', 'deny', 'mask', 'filter', 'approval', 'limit', 'keep', 'taint', 'cost']
  .map((set) => `${set} contains element if some element in _said.${set}`)
  .join('\n')}
`;

const on = fc.subarray([...actions], { minLength: 1 });
const code = fc.constantFrom('a', 'b', 'c');
const groups = fc.subarray(['dba', 'sec', 'ops'], { minLength: 1 });
const kinds = fc.option(fc.record({ kinds: fc.subarray(['card', 'iban', 'email'], { minLength: 1 }) }), { nil: undefined }); // prettier-ignore
const parameters = fc.option(fc.record({ keep: fc.integer({ min: 0, max: 3 }) }), { nil: undefined });
const some = <T>(one: fc.Arbitrary<T>) => fc.array(one, { maxLength: 3 });
const without = (value: Record<string, unknown>) => Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)); // prettier-ignore

const mask = fc
  .record({ on, code, resource: fc.constantFrom('t.a', 't.b'), with: fc.constantFrom(...maskFunctions), scope: fc.constantFrom('source', 'output'), kinds, parameters }) // prettier-ignore
  .map(({ kinds, parameters, ...rest }) => without({ ...rest, parameters: rest.with === 'pattern' ? kinds : parameters })); // prettier-ignore
const approval = fc
  .record({
    ...{ on, code, groups, quorum: fc.integer({ min: 1, max: 2 }), expires: fc.constantFrom('5m', '1h') },
    preview: fc.constantFrom(undefined, 'effect'),
    in_transaction: fc.constantFrom(undefined, true),
    break_glass: fc.option(fc.record({ groups }), { nil: undefined }),
  })
  .map(without);
/** What the contract does not have: refused as a whole, and never taken for nothing. */
const broken = fc.constantFrom({ rows: -1 }, { rowz: 1 }, { rows: 'all' }, {});
const limit = fc.oneof(
  { weight: 9, arbitrary: fc.record({ on, rows: fc.integer({ min: 0, max: 9 }) }) },
  { weight: 1, arbitrary: fc.tuple(on, broken).map(([on, rest]) => ({ on, ...rest })) },
);
const rules = fc.record({
  // Most policies allow something: where both layers deny there is little to see.
  allow: fc.array(fc.record({ on, code }), { minLength: 1, maxLength: 2 }),
  deny: fc.array(fc.record({ on, code }), { maxLength: 1 }),
  mask: some(mask),
  filter: some(fc.record({ on, code, resource: fc.constant('app.orders'), where: fc.constantFrom('a = 1', 'b = 2') })),
  approval: fc.array(approval, { maxLength: 2 }),
  limit: fc.array(limit, { maxLength: 2 }),
  keep: fc.array(fc.record({ on, code }), { maxLength: 1 }),
  taint: fc.array(fc.record({ on, label: fc.constantFrom('pii', 'card'), for: fc.constantFrom('1h', '12h') }), { maxLength: 1 }), // prettier-ignore
  cost: fc.array(fc.record({ on, units: fc.integer({ min: 0, max: 5 }) }), { maxLength: 2 }),
});

const strictness = { allow: 0, hold: 1, deny: 2 };

/** In what the second is looser than the first. */
function looser(base: Decision, both: Decision): string[] {
  if (both.outcome === 'deny') return [];
  const found: string[] = [];
  const demand = (holds: boolean, what: string) => void (holds || found.push(what));
  demand(strictness[both.outcome] >= strictness[base.outcome], `${base.outcome} became ${both.outcome}`);
  for (const old of base.masks)
    demand(both.masks.some((now) => showsNoMore(now, old)), `the mask ${JSON.stringify(old)}`); // prettier-ignore
  for (const { resource, where } of base.filters)
    demand(both.filters.some((now) => now.resource === resource && now.where === where), `the filter ${where}`); // prettier-ignore
  for (const { preview: _, ...old } of base.approvals)
    demand(both.approvals.some(({ preview: _, ...now }) => JSON.stringify(now) === JSON.stringify(old)), `the approval ${old.code}`); // prettier-ignore
  demand((both.limits.rows ?? Infinity) <= (base.limits.rows ?? Infinity), 'the limit');
  for (const { code } of base.keeps ?? []) demand(both.keeps?.some((now) => now.code === code) === true, `the copy ${code}`); // prettier-ignore
  for (const { label, for_ms } of base.taints ?? [])
    demand(both.taints?.some((now) => now.label === label && now.for_ms >= for_ms) === true, `the taint ${label}`);
  demand((both.cost ?? 0) >= (base.cost ?? 0), 'the cost');
  return found;
}

function showsNoMore(now: Mask, old: Mask): boolean {
  if (now.resource !== old.resource || (old.scope === 'source' && now.scope !== 'source')) return false;
  if (now.with === old.with && JSON.stringify(now.parameters) === JSON.stringify(old.parameters)) return true;
  const kindsOf = ({ parameters }: Mask) => parameters?.['kinds'] as string[] | undefined;
  if (now.with === 'pattern' && old.with === 'pattern')
    return kindsOf(now) === undefined || kindsOf(old)?.every((kind) => kindsOf(now)!.includes(kind)) === true;
  return ['null', 'redact', 'hash'].includes(now.with) && maskFunctions.indexOf(now.with) <= maskFunctions.indexOf(old.with); // prettier-ignore
}

const previews = ({ approvals }: Decision) => approvals.some(({ preview }) => preview === 'effect');
const asked = (action: (typeof actions)[number]): Input => ({ ...inputOf(), operation: { ...inputOf().operation, action } }); // prettier-ignore

describe('a policy upon a base', () => {
  let policy: Layer;
  beforeAll(async () => {
    policy = await layerOf(interpreter);
  });
  const prepare = (id: string, rules: unknown) => createEngine().prepare(id, [{ ...policy, data: { rules } }]);

  test('loosens nothing of it, whatever it says, and nothing of its own is lost', async () => {
    let allowed = 0;
    await fc.assert(
      fc.asyncProperty(rules, rules, async (organisation, team) => {
        const [base, own] = await Promise.all([prepare('git:base', organisation), prepare('git:own', team)]);
        const both = layered([base, own]);
        for (const action of actions) {
          const [alone, together, upper] = [base, both, own].map((one) => one.decide(asked(action))) as [Decision, Decision, Decision]; // prettier-ignore
          expect(looser(alone, together)).toEqual([]);
          expect(looser(upper, together)).toEqual([]);
          // Nothing runs ahead of people's answers that the base holds back until then.
          if (together.outcome === 'hold' && alone.outcome === 'hold') expect(previews(together)).toBe(previews(alone));
          if (together.outcome !== 'deny') allowed += 1;
        }
      }),
      { numRuns: 60 },
    );
    expect(allowed).toBeGreaterThan(8);
  });

  test('is named with it in every decision, and comes without a build', async () => {
    const rule = { allow: [{ on: actions, code: 'a' }] };
    const [base, own] = await Promise.all([prepare('git:base', rule), prepare('git:own', rule)]);
    expect(layered([base, own]).decide(asked('read'))).toMatchObject({
      outcome: 'allow',
      revision: 'git:base+git:own',
    });
    expect(layered([base, await prepare('git:own', {})]).decide(asked('read')).outcome).toBe('deny');
    expect(layered([await prepare('git:base', {}), own]).decide(asked('read')).outcome).toBe('deny');
  });
});
