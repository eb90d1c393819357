import { parametersProblem, patternKinds, type Decision, type PatternKind } from '#engine';
import { allKinds, kindsOf, noKinds, type Kinds } from '../../../content/index.js';
import { MaskRefusal } from '../masking.js';
import { resourceName } from '../operation.js';
import type { ResourceRequest } from '../request-info.js';

/** What is looked for in the text of an answer: masks of `*`, and of `pods/log`, `pods/exec`, `pods/attach`. */

type Masks = Decision['masks'];

/** Resources of a mask on text: everything that is returned, or a subresource whose answer is text. */
export const isText = (resource: string): boolean => resource === '*' || /^[a-z0-9.-]+\/[a-z]+$/.test(resource);

/** The kinds that are masked for this request; `noKinds` where none is. Throws MaskRefusal for a mask that does not fit text. */
export function contentOf(masks: Masks, info: ResourceRequest | undefined): Kinds {
  const own = info === undefined ? undefined : `${resourceName(info)}/${info.subresource}`;
  return masks.reduce((kinds, { resource, with: name, parameters = {}, code }) => {
    if (resource !== '*' && resource !== own) return kinds;
    if (info?.subresource === 'portforward')
      throw new MaskRefusal(`the mask ${code} on "${resource}": what goes through a port-forward is not looked into`);
    const wrong = name === 'pattern' ? parametersProblem(name, parameters) : `"${name}" needs a field: text has none`;
    if (wrong !== undefined) throw new MaskRefusal(`the mask ${code} on "${resource}": ${wrong}`);
    const named = parameters['kinds'] as readonly PatternKind[] | undefined;
    return kinds | (named === undefined ? allKinds : kindsOf(named.filter((kind) => patternKinds.includes(kind))));
  }, noKinds);
}
