import { createHmac } from 'node:crypto';
import { parametersProblem, patternKinds, type Mask, type PatternKind } from '#engine';
import {
  allKinds,
  editJson,
  JsonError,
  kindsOf,
  maskText,
  noKinds,
  readJsonPath,
  type JsonPath,
  type JsonValue,
  type Kinds,
} from '../../content/index.js';
import { RequestRefusal } from '../../web/index.js';
import type { Request } from './codec.js';

/**
 * Masks of answers: `body:users[*].email` is a field of a JSON answer, `*` is whatever looks like personal data in any text
 * (with "pattern" alone). Which requests they hold for is for the rule to say.
 */
export interface AnswerMasks {
  /** Whether fields are masked: then an answer has to be JSON. */
  readonly fields: boolean;
  readonly kinds: Kinds;
  /** Of one JSON text. Throws JsonError where it is none. */
  json(text: string): string;
  /** Of any other text, or the value of a field of the answer's head. */
  text(text: string): string;
}

/** What comes in pieces, and leaves in pieces. */
export interface Masker {
  /** Throws JsonError for what cannot be masked. */
  push(piece: Buffer): Buffer;
  finish(): Buffer;
}

/** A mask that cannot be put in force: the operation is refused. */
export class MaskRefusal extends Error {}

interface FieldMask {
  readonly path: JsonPath;
  readonly replace: (raw: string, value: JsonValue) => string;
}

const redacted = '***';
const hashed = /^hash:[0-9a-f]{32}$/;
const prefix = 'body:';

/**
 * Undefined where none is asked for.
 *
 * @param key As 64 hexadecimal digits, for `hash`.
 * @throws {MaskRefusal} where one cannot be put in force
 */
export function answerMasks(masks: readonly Mask[], key: () => string): AnswerMasks | undefined {
  if (masks.length === 0) return undefined;
  const fields = masks.filter(({ resource }) => resource !== '*').map((mask) => fieldMask(mask, key));
  const kinds = masks.filter(({ resource }) => resource === '*').reduce((all, mask) => all | kindsIn(mask), noKinds);
  const paths = fields.map(({ path }) => path);
  const found = (text: string, numbers: boolean) => (kinds === noKinds ? text : maskText(text, { kinds, numbers }));
  return {
    fields: fields.length > 0,
    kinds,
    json: (text) =>
      found(
        editJson(text, paths, (raw, value) => fields[value.path]!.replace(raw, value)),
        true,
      ),
    text: (text) => found(text, false),
  };
}

function fieldMask(mask: Mask, key: () => string): FieldMask {
  const { resource, code } = mask;
  if (!resource.startsWith(prefix)) {
    throw new MaskRefusal(`the mask ${code} is on "${resource}": write body:FIELD, as in body:users[*].email, or "*"`);
  }
  try {
    return { path: readJsonPath(resource.slice(prefix.length)), replace: replacement(mask, key) };
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new MaskRefusal(`the mask ${code}: ${error.message}`);
  }
}

/** What cannot hold the mask becomes null. */
function replacement(mask: Mask, key: () => string): FieldMask['replace'] {
  const strings =
    (change: (text: string) => string) =>
    (raw: string, { kind }: JsonValue) =>
      kind === 'string' ? JSON.stringify(change(JSON.parse(raw) as string)) : 'null';
  switch (mask.with) {
    case 'null':
      return () => 'null';
    case 'redact':
      return strings(() => redacted);
    case 'hash':
      return strings((text) => `hash:${keyed(key(), text)}`);
    case 'pattern': {
      const kinds = kindsIn(mask);
      return (raw, { kind }) =>
        kind === 'string'
          ? JSON.stringify(maskText(JSON.parse(raw) as string, { kinds, numbers: false }))
          : maskText(raw, { kinds, numbers: true });
    }
    default:
      throw new MaskRefusal(
        `the mask ${mask.code} is "${mask.with}": fields of answers can be masked with null, redact, hash or pattern`,
      );
  }
}

const keyed = (key: string, text: string): string =>
  createHmac('sha256', Buffer.from(key, 'hex')).update(text).digest('hex').slice(0, 32);

function kindsIn({ with: name, parameters = {}, code }: Mask): Kinds {
  const wrong =
    name === 'pattern' ? parametersProblem(name, parameters) : `"${name}" needs a field, and "*" is all of them`;
  if (wrong !== undefined) throw new MaskRefusal(`the mask ${code}: ${wrong}`);
  const kinds = parameters['kinds'] as readonly PatternKind[] | undefined;
  return kinds === undefined ? allKinds : kindsOf(kinds.filter((kind) => patternKinds.includes(kind)));
}

/** Of a request whose answer is masked: what brings values out by another way, or writes masks over them, is refused. */
export function checkMasked(request: Request, masks: AnswerMasks): void {
  const { fields, body, query, path } = request;
  for (const name of ['if-match', 'if-unmodified-since', 'if-range']) {
    if ((fields.forwarded.get(name) ?? '*') !== '*') {
      throw new RequestRefusal(
        403,
        'masked_condition',
        `the answer is masked for you, and its version with it: nothing can be asked on the condition of one (${name})`,
      );
    }
  }
  if (!masks.fields) return;
  const { seen } = body;
  if (seen !== undefined && writesMask(seen.json ?? seen.form ?? seen.text)) {
    throw new RequestRefusal(
      422,
      'masked_value_written',
      'the body holds a value as it was masked for you: written back, it would take the place of the real one; send only what you change',
    );
  }
  // Its answer has the names that the query gives: a field would come by another one than the mask says.
  const json = seen?.json;
  const asked = typeof json === 'object' && json !== null && 'query' in json ? json.query : undefined;
  const graphql =
    seen?.media_type === 'application/graphql' ||
    path.segments.at(-1)?.toLowerCase() === 'graphql' ||
    [asked, ...query.list.filter(({ name }) => name === 'query').map(({ value }) => value)].some(
      (text) => typeof text === 'string' && text.includes('{'),
    ) ||
    (Array.isArray(json) && json.some((one) => typeof one === 'object' && one !== null && 'query' in one));
  if (graphql) {
    throw new RequestRefusal(
      403,
      'masked_graphql',
      'fields of answers are masked for you, and a GraphQL query names the fields of its answer as it likes: it is not sent',
    );
  }
}

/** Whether any text in it is what stands in place of a masked one. */
function writesMask(value: unknown): boolean {
  if (typeof value === 'string') return value === redacted || hashed.test(value);
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).some(writesMask);
}

/** What goes on of a request whose answer is read here: it is asked for whole, as it is now, and not packed. */
export function unconditional(fields: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const changed = new Map(fields);
  for (const name of ['range', 'if-range', 'if-none-match', 'if-modified-since', 'want-digest', 'want-repr-digest']) {
    changed.delete(name);
  }
  return changed.set('accept-encoding', 'identity');
}
