import { Choices } from './choices.js';
import { ConditionsGrammar, KeysGrammar, OpenGrammar } from './conditions.js';
import type { Step } from './grammar.js';
import { canary, ladderKind } from './ladder.js';

import { codesOf, type Received } from './run.js';
import { compare, constraintErrors, makeSides, type Sides, type Tally } from './sides.js';
import type { Kind } from './values.js';
import type { World } from './world.js';

/** Worlds whose masks are of either scope, and what holds in them by what scope `output` says of itself. */

const policy = (world: World, seed: number) => {
  const choices = Choices.fromSeed(seed + 1, 2_000);
  const scopes = Object.fromEntries(
    Object.entries(world.masks).map(([relation, columns]) => [
      relation,
      Object.fromEntries(Object.keys(columns).map((column) => [column, choices.once(3) ? 'source' : 'output'])),
    ]),
  );
  return {
    'postgres.rego': `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

_masked if not "clear" in input.principal.roles

_scope(relation, column) := "output" if {
	"outputs" in input.principal.roles
} else := data.world.scopes[relation][column]

mask contains {"code": "masked", "resource": sprintf("%s.%s", [relation, column]), "with": how, "scope": _scope(relation, column)} if {
	_masked
	some relation, columns in data.world.masks
	some column, how in columns
}

filter contains {"code": "filtered", "resource": relation, "where": predicate} if {
	_masked
	not "outputs" in input.principal.roles
	some relation, predicate in data.world.filters
}
`,
    'world/data.json': JSON.stringify({ masks: world.masks, filters: world.filters, scopes }),
  };
};

/**
 * A hash of values puts rows in an order that is none of the values', and differs for any two of them: what is joined or grouped
 * by them in a condition is sorted instead.
 */
const settings = { enable_hashjoin: 'off', enable_hashagg: 'off' };

const runs = 25;

/** With roles: none, masks of both scopes and filters; `outputs`, masks of scope `output` and nothing else; `clear`, nothing. */
export const makeConditioned = (seed: number, kind: Kind = ladderKind): Promise<Sides> =>
  makeSides(seed, { kind, policy, settings });

export const conditionsOf = (numbers: readonly number[], world: World): readonly Step[] =>
  new ConditionsGrammar(new Choices(numbers), world).script();

export const openOf = (numbers: readonly number[], world: World): readonly Step[] =>
  new OpenGrammar(new Choices(numbers), world).script();

export const keysOf = (numbers: readonly number[], world: World): readonly Step[] =>
  new KeysGrammar(new Choices(numbers), world).script();

/** Whether an answer has in it what a masked cell holds. */
export const tells = (received: readonly Received[]): boolean =>
  received.some(({ frames }) => frames.some(({ body }) => canary.test(body.toString('latin1'))));

/** The same rows in whatever order, unless either fails. */
export function sameRows(left: readonly Received[], right: readonly Received[]): boolean {
  if (codesOf(left).length > 0 || codesOf(right).length > 0) return true;
  const [here, there] = [left, right].map((received) =>
    received.map(({ frames }) =>
      frames
        .filter(({ type }) => type === 'D' || type === 'C')
        .map(({ body, type }) => type + body.toString('latin1'))
        .sort(),
    ),
  );
  return JSON.stringify(here) === JSON.stringify(there);
}

export async function checkConditions(sides: Sides, seed: number, seconds: number): Promise<Tally> {
  const sessions = [await sides.through(0, []), await sides.through(1, [])] as const;
  return compare(sides, sessions, {
    ...{ runs, seed, seconds, apart: true, excepted: constraintErrors, script: conditionsOf },
    wrong(left, right) {
      if (tells(left) || tells(right)) return 'a masked value is in the answer';
      return sides.same(left, right) ? undefined : 'the answers differ';
    },
  });
}

/** @param sides Of `mixedKind`. */
export async function checkOutputs(sides: Sides, seed: number, seconds: number): Promise<Tally> {
  const sessions = [await sides.through(0, []), await sides.through(1, [])] as const;
  return compare(sides, sessions, {
    ...{ runs, seed, seconds, apart: true, excepted: constraintErrors, script: openOf },
  });
}

export async function checkRows(sides: Sides, seed: number, seconds: number): Promise<Tally> {
  const sessions = [await sides.through(0, ['outputs']), await sides.directly(0)] as const;
  return compare(sides, sessions, {
    ...{ runs, seed, seconds, apart: false, excepted: () => false, script: keysOf },
    wrong: (left, right) => (sameRows(left, right) ? undefined : 'the rows differ'),
  });
}
