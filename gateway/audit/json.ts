/**
 * JSON.stringify for records: the same text, but parts that are frozen to the leaves are written once and remembered.
 * Nearly everything in a record is such a part (who asks, what a statement touches), because a template and a principal
 * serve for many operations.
 */

/** A longer text is written anew each time: its memory would last as long as the object. */
const fragment_chars_max = 65_536;
/** An object around a part as large as this is put together anew each time: it is cheap, and the part may serve others. */
const part_chars_min = 512;
/** Names of fields are few; whoever makes them up gets none remembered. */
const names_max = 1_000;
/** Further down, an object of its own is rare and small. */
const depth_max = 3;

/** False: this object may change, or its text is too long. */
const fragments = new WeakMap<object, string | false>();
const names = new Map<string, string>();

/** The inside of an object that was written already: "name":value,… For who writes many that are alike. */
export class Members {
  constructor(readonly text: string) {}
}

/**
 * The same text in one piece. What was put together stays many pieces until somebody looks at it, and whoever copies it
 * into a record walks over all of them each time: what is kept is kept whole.
 */
export function whole(text: string): string {
  return Buffer.from(text).toString();
}

/** Undefined for what JSON leaves out. Throws TypeError for what it cannot say. */
export function toJson(value: unknown, depth = 0): string | undefined {
  if (typeof value === 'string') return quote(value);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const known = fragments.get(value);
  if (known !== undefined && known !== false) return known;
  const walked = depth < depth_max && isPlain(value);
  const text = walked ? `{${members(value, nameOf, depth + 1)}}` : JSON.stringify(value);
  if (known === undefined && Object.isFrozen(value)) {
    if (text.length > fragment_chars_max || !isFixed(value)) fragments.set(value, false);
    else if (!walked || !hasPart(value)) fragments.set(value, whole(text));
  }
  return text;
}

function hasPart(value: object): boolean {
  return Object.values(value).some((part: unknown) => {
    const known = typeof part === 'object' && part !== null ? fragments.get(part) : undefined;
    return typeof known === 'string' && known.length >= part_chars_min;
  });
}

/** Nothing in it has to be escaped: most names, codes and hashes. */
const plainText = /^[\x20\x21\x23-\x5b\x5d-\x7e]{0,128}$/;

export function quote(text: string): string {
  return plainText.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** The inside of an object: "name":value,… @param name Writes a name, quoted and with its colon. */
export function members(value: object, name: (name: string) => string = nameOf, depth = 1): string {
  let text = '';
  for (const key of Object.keys(value)) {
    const part = toJson((value as Record<string, unknown>)[key], depth);
    if (part === undefined) continue;
    text += text === '' ? name(key) + part : `,${name(key)}${part}`;
  }
  return text;
}

export function nameOf(name: string): string {
  const known = names.get(name);
  if (known !== undefined) return known;
  const text = `${JSON.stringify(name)}:`;
  if (names.size < names_max) names.set(name, text);
  return text;
}

/** An object of fields and nothing else, which JSON writes field by field. */
function isPlain(value: object): boolean {
  return value.constructor === Object && (value as { toJSON?: unknown }).toJSON === undefined;
}

/** Whether it can never be anything else: frozen, made of plain objects, arrays and simple values, without accessors. */
export function isFixed(value: unknown): boolean {
  if (typeof value === 'function') return false;
  if (typeof value !== 'object' || value === null) return true;
  if (typeof fragments.get(value) === 'string') return true;
  if (!Object.isFrozen(value)) return false;
  if (!isPlain(value) && !(Array.isArray(value) && (value as { toJSON?: unknown }).toJSON === undefined)) return false;
  return Object.values(Object.getOwnPropertyDescriptors(value)).every(
    (property: PropertyDescriptor) => 'value' in property && isFixed(property.value),
  );
}
