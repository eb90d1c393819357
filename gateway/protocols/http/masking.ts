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
import { asksGraphql } from './graphql/asking.js';

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

/** All fields that one function masks. */
interface Pass {
  readonly paths: readonly JsonPath[];
  readonly replace: FieldMask['replace'];
}

const reading: Pass = { paths: [], replace: (raw) => raw };
const order: readonly Mask['with'][] = ['hash', 'redact', 'null', 'pattern'];
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
  const fields = masks.filter(({ resource }) => resource !== '*');
  // Without fields the text is read all the same: what is no JSON has to be told apart.
  const passes = fields.length === 0 ? [reading] : passesOf(fields, key);
  const kinds = masks.filter(({ resource }) => resource === '*').reduce((all, mask) => all | kindsIn(mask), noKinds);
  const found = (text: string, numbers: boolean) => (kinds === noKinds ? text : maskText(text, { kinds, numbers }));
  return {
    fields: fields.length > 0,
    kinds,
    json: (text) =>
      found(
        passes.reduce((edited, { paths, replace }) => editJson(edited, paths, replace), text),
        true,
      ),
    text: (text) => found(text, false),
  };
}

/**
 * One for each function, the stricter ones later: paths may lead to one value, or one of them to an object around it, and
 * then the strictest has the last word. Patterns are looked for in what is left.
 */
function passesOf(masks: readonly Mask[], key: () => string): readonly Pass[] {
  const passes = new Map<string, Pass & { readonly paths: JsonPath[] }>();
  const sorted = [...masks].sort((one, other) => order.indexOf(one.with) - order.indexOf(other.with));
  for (const mask of sorted) {
    const { path, replace } = fieldMask(mask, key);
    const name = mask.with === 'pattern' ? JSON.stringify(mask.parameters ?? {}) : mask.with;
    const pass = passes.get(name);
    if (pass === undefined) passes.set(name, { paths: [path], replace });
    else pass.paths.push(path);
  }
  return [...passes.values()];
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

/** Conditions on a version. `If-None-Match` of a read only saves its answer; of all else it is one, but for "*": nothing is there yet. */
const versions = ['if-match', 'if-unmodified-since', 'if-range'];
const reads = (method: string): boolean => method === 'GET' || method === 'HEAD';

/**
 * Of a request whose answer is masked: what brings values out by another way, or writes masks over them, is refused.
 *
 * @param servesGraphql Whether the target is known to serve GraphQL at this path.
 */
export function checkMasked(request: Request, masks: AnswerMasks, servesGraphql: boolean): void {
  const { method, fields, body } = request;
  for (const name of [...versions, ...(reads(method) ? [] : ['if-none-match'])]) {
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
  if (asksGraphql(request, servesGraphql)) {
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

/**
 * The fields that go on of a request whose answer is read here: it is asked for whole, as it is now, and not packed. What is
 * changed only under a condition is changed under that condition still.
 */
export function unconditional({ method, fields }: Pick<Request, 'method' | 'fields'>): ReadonlyMap<string, string> {
  const changed = new Map(fields.forwarded);
  const saving = reads(method) ? ['if-none-match', 'if-modified-since'] : [];
  for (const name of ['range', 'if-range', ...saving, 'want-digest', 'want-repr-digest']) changed.delete(name);
  return changed.set('accept-encoding', 'identity');
}
