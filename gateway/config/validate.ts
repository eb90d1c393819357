import { Ajv, type ErrorObject } from 'ajv';
import type { ConfigDocument, KeyPath, Problem } from './document.js';
import { pathKey } from './references.js';

/** Says in words what a JSON Schema finds wrong with a document, and where. */

/** Compiles a schema once; the function returned lists what is wrong with a value. */
export function validator(schema: object): (value: unknown) => readonly ErrorObject[] {
  const ajv = new Ajv({
    allErrors: true,
    verbose: true,
    strict: true,
    // Conditions look at one key of an object whose type and other keys are checked beside them.
    strictTypes: false,
    strictRequired: false,
  });
  ajv.addKeyword({ keyword: 'x-problem', schemaType: 'string' });
  const check = ajv.compile(schema);
  return (value) => (check(value) ? [] : withoutOtherBranches(check.errors ?? []));
}

/** The path that an error is about, read off its JSON pointer with the document at hand: "0" may be key or index. */
export function errorPath(error: ErrorObject, root: unknown): KeyPath {
  const path: (string | number)[] = [];
  let value = root;
  for (const step of error.instancePath.split('/').slice(1)) {
    const name = step.replace(/~1/gu, '/').replace(/~0/gu, '~');
    const key = Array.isArray(value) ? Number(name) : name;
    path.push(key);
    value = (value as Record<string | number, unknown>)[key];
  }
  return path;
}

/**
 * Where a value may have one of several shapes, the schema complains of every shape. What a person wants to hear is what
 * is wrong with the shape that they chose: the one whose type the value has.
 */
function withoutOtherBranches(errors: readonly ErrorObject[]): ErrorObject[] {
  let kept = errors.filter(({ keyword }) => keyword !== 'if');
  const choices = kept.filter(({ keyword }) => keyword === 'anyOf');
  for (const choice of choices.sort((a, b) => a.schemaPath.length - b.schemaPath.length)) {
    if (!kept.includes(choice)) continue;
    const at = choice.instancePath;
    const inside = (error: ErrorObject) =>
      error.schemaPath.startsWith(`${choice.schemaPath}/`) &&
      (error.instancePath === at || error.instancePath.startsWith(`${at}/`));
    const branchOf = (error: ErrorObject) => error.schemaPath.slice(choice.schemaPath.length + 1).split('/')[0];
    const errorsInside = kept.filter(inside);
    let chosen = new Set(errorsInside.map(branchOf));
    for (const rulesOut of [isOfAnotherType, lacksItsKeys]) {
      const out = errorsInside.filter((error) => error.instancePath === at && rulesOut(error)).map(branchOf);
      if (chosen.size > 1) chosen = new Set([...chosen].filter((branch) => !out.includes(branch)));
    }
    kept = kept.filter((error) => {
      if (error === choice) return chosen.size !== 1;
      return !inside(error) || (chosen.size === 1 && chosen.has(branchOf(error)));
    });
  }
  return kept;
}

const isOfAnotherType = ({ keyword }: ErrorObject) => keyword === 'type';

/** {git: …} is not a {directory: …} with a mistake in it. */
const lacksItsKeys = ({ keyword }: ErrorObject) => keyword === 'required';

/** What a schema's error means to a person. `quotable` says whether the value itself may be repeated. */
export function explain(
  error: ErrorObject,
  root: unknown,
  document: ConfigDocument,
  quotable: (path: KeyPath) => boolean,
): Problem {
  const path = errorPath(error, root);
  const { keyword, params, data } = error;
  const schema = error.parentSchema as Record<string, unknown>;
  const shown = quotable(path) && (typeof data === 'string' || typeof data === 'number') ? JSON.stringify(data) : 'it';

  if (typeof schema['x-problem'] === 'string' && (keyword === 'pattern' || keyword === 'not')) {
    return document.problem(path, `${shown} ${schema['x-problem']}`);
  }
  switch (keyword) {
    case 'additionalProperties': {
      const key = params.additionalProperty as string;
      const known = Object.keys((schema.properties as object | undefined) ?? {});
      return document.keyProblem([...path, key], `unknown key${instead(key, known)}`);
    }
    case 'required':
      return path.length === 0
        ? document.problem(path, `"${params.missingProperty as string}" is missing`)
        : document.keyProblem(path, `"${params.missingProperty as string}" is missing`);
    case 'type': {
      const wanted = typeNames[String(params.type)] ?? String(params.type);
      const quotes =
        params.type === 'string' && ['number', 'boolean'].includes(typeof data) ? '; put it in quotes' : '';
      return document.problem(path, `must be ${wanted}, not ${typeName(data)}${quotes}`);
    }
    case 'enum': {
      const allowed = (params.allowedValues as unknown[]).map(String);
      return document.problem(path, `${shown} is not one of ${allowed.join(', ')}${suggestion(data, allowed)}`);
    }
    case 'anyOf': {
      const shapes = (schema.anyOf as Record<string, unknown>[]).map(({ title, type }) => String(title ?? type));
      return document.problem(path, `must be ${shapes.join(', or ')}`);
    }
    case 'minItems':
    case 'minLength':
      return document.problem(path, 'must not be empty');
    case 'uniqueItems':
      return document.problem(path, 'names the same thing twice');
    default:
      return document.problem(path, error.message ?? keyword);
  }
}

/** `; did you mean "port"?`, else the list of what there is. */
function instead(key: string, known: readonly string[]): string {
  return suggestion(key, known) || (known.length === 0 ? '' : `; known here: ${known.join(', ')}`);
}

function suggestion(value: unknown, known: readonly string[]): string {
  if (typeof value !== 'string') return '';
  const closest = known
    .map((name) => ({ name, distance: distance(value.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0];
  if (closest === undefined || closest.distance > Math.max(1, Math.floor(value.length / 3))) return '';
  return `; did you mean "${closest.name}"?`;
}

/** Levenshtein's distance, where two swapped neighbours count once. */
function distance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const above = rows[i - 1] as number[];
      const same = a[i - 1] === b[j - 1];
      let least = Math.min(
        (above[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (above[j - 1] as number) + (same ? 0 : 1),
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, ((rows[i - 2] as number[])[j - 2] as number) + 1);
      }
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]?.[b.length] ?? 0;
}

const typeNames: Record<string, string> = {
  string: 'a string',
  integer: 'a whole number',
  object: 'a mapping',
  array: 'a list',
  boolean: 'true or false',
};

function typeName(value: unknown): string {
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  switch (typeof value) {
    case 'object':
      return 'a mapping';
    case 'boolean':
      return 'true or false';
    case 'number':
      return 'a number';
    default:
      return 'a string';
  }
}

/** `value` with the text at these paths read as the whole number that the schema asks for: `port: ${PORT}`. */
export function readNumbers(value: unknown, errors: readonly ErrorObject[], substituted: ReadonlySet<string>): boolean {
  let changed = false;
  for (const error of errors) {
    const path = errorPath(error, value);
    const last = path.at(-1);
    if (error.keyword !== 'type' || error.params.type !== 'integer' || last === undefined) continue;
    if (!substituted.has(pathKey(path)) || !/^[0-9]{1,15}$/u.test(String(error.data))) continue;
    let parent = value as Record<string | number, unknown>;
    for (const step of path.slice(0, -1)) parent = parent[step] as Record<string | number, unknown>;
    parent[last] = Number(error.data);
    changed = true;
  }
  return changed;
}
