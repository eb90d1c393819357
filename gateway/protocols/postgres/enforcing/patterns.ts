import { parametersProblem, patternKinds, type Decision, type PatternKind } from '#engine';
import { allKinds, kindsOf, noKinds, type Kinds } from '../../../content/index.js';
import { RewriteRefusal, type Obligations } from './rewriting.js';

/**
 * Of what policy asks: the masks of columns and filters go into the statement; a mask of whatever is returned (its
 * resource is `*`) is applied to the answer on its way.
 */
export interface Asked extends Obligations {
  readonly content: Kinds;
}

/** The resource of a mask that is on everything. */
export const everything = '*';

const known = new WeakMap<Decision['masks'], Pick<Asked, 'masks' | 'content'>>();

/** Throws RewriteRefusal for a mask on everything that is no pattern. */
export function askedOf({ masks, filters }: Pick<Decision, 'masks' | 'filters'>): Asked {
  if (!masks.some(({ resource }) => resource === everything)) return { masks, filters, content: noKinds };
  // Decisions out of the engine's cache share their masks: so do their statements.
  let found = known.get(masks);
  if (found === undefined) {
    const content = masks.reduce(
      (kinds, mask) => (mask.resource === everything ? kinds | kindsIn(mask) : kinds),
      noKinds,
    );
    found = { masks: masks.filter(({ resource }) => resource !== everything), content };
    known.set(masks, found);
  }
  return { ...found, filters };
}

function kindsIn({ with: name, parameters = {}, code }: Decision['masks'][number]): Kinds {
  const wrong =
    name === 'pattern' ? parametersProblem(name, parameters) : `"${name}" needs a column, and "*" is all of them`;
  if (wrong !== undefined) throw new RewriteRefusal('mask_unfit', `the mask ${code} on "*": ${wrong}`);
  const kinds = parameters['kinds'] as readonly PatternKind[] | undefined;
  return kinds === undefined ? allKinds : kindsOf(kinds.filter((kind) => patternKinds.includes(kind)));
}
