import { createHmac } from 'node:crypto';
import { parametersProblem, patternKinds, type Mask } from '#engine';
import {
  editJson,
  findInJson,
  JsonError,
  kindsOf,
  maskText,
  noKinds,
  readJsonPath,
  type JsonPath,
  type JsonValue,
  type Kinds,
  type PatternKind,
} from '../../content/index.js';
import { isObject, type JsonObject } from './methods.js';

/**
 * Masks of what a server says: patterns in any text (`*` with `pattern`), and fields of a tool's results (`lookup:customer.email`).
 * A field is masked in the structured content and in texts that are JSON; any other content of that result could say the same in
 * other words, and is withheld.
 */
export interface Masks {
  /** Of a result or an error, as the server wrote it. */
  result(raw: string): string;
  error(raw: string): string;
  /** Of anything else that the server says meanwhile; undefined where it may not go on. */
  aside(value: JsonObject): JsonObject | undefined;
  /** The same for masks that do the same aside: there are no more than there are sets of kinds, and one. */
  readonly asideKey: string;
}

/** A mask that cannot be put in force: the operation is refused. */
export class MaskRefusal extends Error {}

interface FieldMask {
  readonly path: JsonPath;
  readonly with: 'null' | 'redact' | 'hash';
}

export const withheld = '[withheld: fields of this result are masked for you, and this part of it could show them]';
const redacted = '***';
const weakestFirst = ['hash', 'redact', 'null'] as const;

/**
 * Undefined where none holds.
 *
 * @param tool Of tools/call.
 * @param key As 64 hexadecimal digits, for `hash`.
 * @throws {MaskRefusal} where one cannot be put in force
 */
export function masksOf(masks: readonly Mask[], tool: string | undefined, key: () => string): Masks | undefined {
  let kinds: Kinds = noKinds;
  const fields: FieldMask[] = [];
  for (const mask of masks) {
    const { resource, code } = mask;
    const colon = resource.indexOf(':');
    const owner = resource.slice(0, Math.max(colon, 0));
    const isOwn = tool !== undefined && (owner === '*' || owner === tool);
    if (mask.with === 'pattern' && (resource === '*' || resource === tool)) {
      kinds |= kindsIn(mask);
      continue;
    }
    // Of another tool, whose name may have a colon in it.
    if (mask.with === 'pattern' && !isOwn) continue;
    if (colon < 1)
      throw new MaskRefusal(`the mask ${code} is on "${resource}": write TOOL:FIELD, as in lookup:customer.email`);
    const { with: how } = mask;
    if (how !== 'null' && how !== 'redact' && how !== 'hash')
      throw new MaskRefusal(`the mask ${code} is "${how}": fields of results can be masked with null, redact or hash`);
    if (!isOwn) continue;
    fields.push({ path: pathOf(resource.slice(colon + 1), code), with: how });
  }
  return kinds === noKinds && fields.length === 0 ? undefined : new ResultMasks(kinds, fields, key);
}

function kindsIn({ resource, parameters = {}, code }: Mask): Kinds {
  const wrong = parametersProblem('pattern', parameters);
  if (wrong !== undefined) throw new MaskRefusal(`the mask ${code} on "${resource}": ${wrong}`);
  return kindsOf((parameters['kinds'] as readonly PatternKind[] | undefined) ?? patternKinds);
}

function pathOf(text: string, code: string): JsonPath {
  try {
    return readJsonPath(text);
  } catch (error) {
    throw new MaskRefusal(`the mask ${code}: ${error instanceof JsonError ? error.message : 'cannot be read'}`);
  }
}

class ResultMasks implements Masks {
  readonly asideKey: string;

  constructor(
    private readonly kinds: Kinds,
    private readonly fields: readonly FieldMask[],
    private readonly key: () => string,
  ) {
    this.asideKey = fields.length > 0 ? 'withheld' : String(kinds);
  }

  result(raw: string): string {
    return this.#patterns(this.fields.length === 0 ? raw : this.#fieldsOf(raw));
  }

  error(raw: string): string {
    if (this.fields.length === 0) return this.#patterns(raw);
    const { code } = JSON.parse(raw) as JsonObject;
    return JSON.stringify({ code: typeof code === 'number' ? code : 0, message: withheld });
  }

  aside(value: JsonObject): JsonObject | undefined {
    if (this.fields.length > 0) return undefined;
    return JSON.parse(this.#patterns(JSON.stringify(value))) as JsonObject;
  }

  /** Written anew from what can be masked; what else there is stays away. */
  #fieldsOf(raw: string): string {
    const { content, isError } = JSON.parse(raw) as JsonObject;
    const blocks = (Array.isArray(content) ? (content as unknown[]) : []).map((block) => {
      const text = isObject(block) && block['type'] === 'text' ? block['text'] : undefined;
      return { type: 'text', text: typeof text === 'string' ? this.#inText(text) : withheld };
    });
    const [structured] = findInJson(raw, [[{ member: 'structuredContent' }]], new Set([0])).filter(
      ({ kind }) => kind === 'tree',
    );
    const parts = [`"content":${JSON.stringify(blocks)}`];
    if (structured !== undefined)
      parts.push(`"structuredContent":${this.#inJson(raw.slice(structured.start, structured.end))}`);
    if (isError === true) parts.push('"isError":true');
    return `{${parts.join(',')}}`;
  }

  #inText(text: string): string {
    if (!/^\s*[[{]/.test(text)) return withheld;
    try {
      return this.#inJson(text);
    } catch {
      return withheld;
    }
  }

  #inJson(text: string): string {
    // Paths may lead to one value, or one of them to an object around it: the strictest has the last word.
    return weakestFirst.reduce((edited, how) => {
      const paths = this.fields.filter((field) => field.with === how).map(({ path }) => path);
      return paths.length === 0 ? edited : editJson(edited, paths, (raw, { kind }) => this.#masked(raw, kind, how));
    }, text);
  }

  #masked(raw: string, kind: JsonValue['kind'], how: FieldMask['with']): string {
    // A type that cannot hold the mask gets null.
    if (how === 'null' || kind !== 'string') return 'null';
    if (how === 'redact') return JSON.stringify(redacted);
    const hashed = createHmac('sha256', Buffer.from(this.key(), 'hex')).update(JSON.parse(raw) as string);
    return JSON.stringify(`hash:${hashed.digest('hex').slice(0, 32)}`);
  }

  #patterns(raw: string): string {
    if (this.kinds === noKinds) return raw;
    const looking = { kinds: this.kinds, numbers: false };
    const edited = editJson(raw, [[]], (value, { kind }) => {
      if (kind === 'literal') return value;
      if (kind === 'number') return maskText(value, { kinds: this.kinds, numbers: true });
      const text = JSON.parse(value) as string;
      const masked = maskedText(text, looking);
      return masked === text ? value : JSON.stringify(masked);
    });
    return withKeys(edited, (name) => maskText(name, looking));
  }
}

type Looking = Parameters<typeof maskText>[1];

/** A text, and a text that stands in it as base64. */
function maskedText(text: string, looking: Looking): string {
  const masked = maskText(text, looking);
  if (masked !== text || text.length < 8 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return masked;
  const inside = Buffer.from(text, 'base64').toString('utf8');
  if (inside.includes('\ufffd')) return text;
  const clear = maskText(inside, looking);
  return clear === inside ? text : Buffer.from(clear).toString('base64');
}

/** Names may hold what values hold. Written anew only where one does. */
function withKeys(raw: string, mask: (name: string) => string): string {
  let found = false;
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk);
    if (!isObject(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, each]) => {
        const masked = mask(name);
        found ||= masked !== name;
        return [masked, walk(each)];
      }),
    );
  };
  const rewritten = walk(JSON.parse(raw));
  return found ? JSON.stringify(rewritten) : raw;
}
