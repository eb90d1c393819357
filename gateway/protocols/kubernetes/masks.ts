import type { Decision, Operation } from '#engine';
import type { Enforced } from '../../protocol.js';
import { noKinds, type Kinds } from '../../content/index.js';
import { RequestRefusal } from '../../web/index.js';
import type { KubernetesRequest } from './codec.js';
import { fieldMasks, MaskRefusal, type FieldMasks } from './masking.js';
import { contentOf, isText } from './streams/content.js';

/** What is masked in an answer: fields of objects, and patterns in text. */
export interface Masks {
  readonly fields: FieldMasks | undefined;
  readonly kinds: Kinds;
}

export const unmasked: Masks = { fields: undefined, kinds: noKinds };
const stars = '***';

/**
 * @param key Of the target, as 64 hexadecimal digits.
 * @throws {MaskRefusal} where one cannot be put in force
 * @throws {RequestRefusal} for a request that masks and their fields do not go with
 */
export function masksOf(
  { masks }: Decision,
  request: KubernetesRequest,
  { action }: Operation,
  key: () => string,
): Masks {
  const { info, body } = request;
  const text = masks.filter(({ resource }) => isText(resource));
  // What clients find out of the API itself is nobody's data.
  const kinds = action === 'session' ? noKinds : contentOf(text, info.isResource ? info : undefined);
  if (kinds !== noKinds && body.bytes.includes(stars))
    throw new RequestRefusal(
      422,
      'masked_value_written',
      'the object holds *** as it was masked for you: written back, it would take the place of the value; send only the fields that you change',
    );
  if (!info.isResource) return { fields: undefined, kinds };
  const fields = fieldMasks(
    masks.filter(({ resource }) => !isText(resource)),
    info,
    key,
  );
  fields?.check(request);
  return { fields, kinds };
}

/** What the pipeline is told where masks cannot be put in force; undefined where they can. */
export function refusedBy(find: () => void): Enforced['refusal'] {
  try {
    find();
    return undefined;
  } catch (error) {
    if (!(error instanceof MaskRefusal || error instanceof RequestRefusal)) throw error;
    return { code: 'mask_unenforceable', message: error.message };
  }
}
