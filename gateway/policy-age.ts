import type { PolicyKeeper } from '../bundles/index.js';

/**
 * `policy.age_max`: a policy whose source has not answered for so long may be another one by now, without anybody here knowing.
 */

/** @param layers By name. Gives why what is in force is too old, as long as it is. */
export function policyAge(
  age_ms_max: number,
  layers: ReadonlyMap<string, Pick<PolicyKeeper, 'contact'>>,
  now: () => number,
): () => string | undefined {
  return () => {
    for (const [name, layer] of layers) {
      const { answered_ms } = layer.contact();
      if (answered_ms !== undefined && now() - answered_ms <= age_ms_max) continue;
      const since =
        answered_ms === undefined ? 'has never answered' : `last answered at ${new Date(answered_ms).toISOString()}`;
      return `the source of the ${name} ${since}, and policy.age_max is over`;
    }
    return undefined;
  };
}
