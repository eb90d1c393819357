import { createContext, Script } from 'node:vm';
import { Ajv, type Options, type ValidateFunction } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { RE2JS } from 're2js';
import { sha256 } from '../../web/index.js';
import type { JsonObject } from './methods.js';

/**
 * Arguments against a tool's inputSchema. The schema is the server's own text and not trusted: it is bounded, refers to nothing
 * outside itself, its patterns are matched in linear time, and whatever it takes beside that is stopped after a while.
 *
 * @see https://json-schema.org/draft/2020-12
 */
export type Check = (value: unknown) => string | undefined;

const schema_chars_max = 262_144;
const depth_max = 64;
/** Comparing each with each is quadratic. */
const unique_items_max = 1_000;
/** What fits takes far less than a millisecond; references that double with each other would take for ever, and everybody would wait. */
const check_ms_max = 2_000;

class Pattern {
  readonly #pattern: RE2JS;
  constructor(source: string) {
    this.#pattern = RE2JS.compile(source);
  }
  test(text: string): boolean {
    return this.#pattern.matcher(text).find();
  }
  toString(): string {
    return this.#pattern.pattern();
  }
}
const linear = Object.assign((source: string) => new Pattern(source), { code: 'linear' });

const options: Options = {
  strict: false,
  allErrors: false,
  validateFormats: false,
  validateSchema: true,
  addUsedSchema: false,
  ownProperties: true,
  // A large text that is referred to often would become code as often.
  inlineRefs: false,
  logger: false,
  code: { regExp: linear },
};

/** What was made of a schema's text. */
interface Compiled {
  readonly validate: ValidateFunction;
  readonly chars: number;
  /** Whether it wants elements to be different from each other. */
  readonly unique: boolean;
  /** Whether checking takes no longer than to hold each part of a value against each part of the schema. */
  readonly linear: boolean;
}

/** Of all schemas that are kept compiled: each session of a server lists the same tools. */
const kept_chars_max = 2_097_152;
let kept_chars = 0;
const kept = new Map<string, Compiled>();

/** Throws where the schema cannot be used: then nothing can be checked against it. */
export function compileSchema(schema: JsonObject): Check {
  const { validate, chars, unique, linear } = compiledOf(schema);
  let slow = false;
  return (value) => {
    if (deeperThan(value, depth_max)) return 'the arguments are too deep';
    if (unique && longerThan(value, unique_items_max)) {
      return `a list has more than ${unique_items_max} elements, and the schema wants them all different`;
    }
    const short = linear && sizeOf(value) * chars <= unwatched_work_max;
    try {
      if (!slow && (short ? validate(value) : within(check_ms_max, () => validate(value)))) return undefined;
    } catch {
      slow = true;
    }
    if (slow) return 'to check them against the schema takes too long';
    const [error] = validate.errors ?? [];
    // Words of the validator name places and what was wanted, never the value.
    return `${error?.instancePath ?? ''} ${error?.message ?? 'does not fit'}`.trim();
  };
}

function compiledOf(schema: JsonObject): Compiled {
  const text = JSON.stringify(schema);
  if (text.length > schema_chars_max) throw new Error('the schema is too large');
  const key = sha256(text);
  const known = kept.get(key);
  if (known !== undefined) return known;
  if (deeperThan(schema, depth_max)) throw new Error('the schema is too deep');
  const compiled = { ...compile(schema, text), chars: text.length };
  kept.set(key, compiled);
  kept_chars += compiled.chars;
  // The oldest go first.
  for (const [other, { chars }] of kept) {
    if (kept_chars <= kept_chars_max) break;
    kept.delete(other);
    kept_chars -= chars;
  }
  return compiled;
}

function compile(schema: JsonObject, text: string): Omit<Compiled, 'chars'> {
  const draft = schema['$schema'];
  const old = typeof draft === 'string' && /draft-0[4-7]/.test(draft);
  // One for each schema: what one declares is no business of another. "$schema" itself is not looked up.
  const { $schema: _, ...own } = schema;
  const compiler = old ? new Ajv(options) : new Ajv2020(options);
  const validate = within(check_ms_max, () => compiler.compile(own));
  // Its answer would be a promise, which is no answer here, and ends the process where it is rejected.
  if ('$async' in validate) throw new Error('the schema is asynchronous');
  return { validate, unique: text.includes('"uniqueItems'), linear: !repeating.some((word) => text.includes(word)) };
}

/** With these a part of the schema may be met more than once for a part of the value, or takes time of its own. */
const repeating = ['"$ref', '"$dynamicRef', '"$recursiveRef', '"pattern', '"uniqueItems'];
/**
 * Characters of a value times characters of its schema. Up to here nobody stands by with a clock: that is a thread for each check, and
 * a third of what a call takes.
 */
const unwatched_work_max = 10_000_000;

/** Of JSON: characters and values. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length + 1;
  if (typeof value !== 'object' || value === null) return 1;
  let size = 1;
  for (const [name, each] of Object.entries(value)) size += name.length + sizeOf(each);
  return size;
}

const room: { run?: () => unknown } = {};
createContext(room);
const entry = new Script('run()');

/** What `run` gives, or an error where it takes longer, wherever it is then. */
function within<T>(ms: number, run: () => T): T {
  room.run = run;
  try {
    return entry.runInContext(room, { timeout: ms }) as T;
  } finally {
    delete room.run;
  }
}

function deeperThan(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return depth <= 0 || Object.values(value).some((each) => deeperThan(each, depth - 1));
}

function longerThan(value: unknown, length: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value) && value.length > length) return true;
  return Object.values(value).some((each) => longerThan(each, length));
}
