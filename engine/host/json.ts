import { compareTerms, writeTerm, type Term } from '../regotext.js';
import { RegoText, type Table } from './builtin.js';

/** Documents: parts of others, patched, written. */

type Composite = Exclude<Term, { readonly kind: 'scalar' | 'string' }>;
const equal = (left: Term, right: Term): boolean => compareTerms(left, right) === 0;

function valueAt(object: Term, key: Term): Term | undefined {
  return object.kind === 'object' ? object.entries.find(([name]) => equal(name, key))?.[1] : undefined;
}

/** Objects by their keys, deeply; sets by their elements; an array as an unbroken run in the other. */
function isSubset(whole: Term, part: Term): boolean {
  if (whole.kind === 'object' && part.kind === 'object')
    return part.entries.every(([key, value]) => {
      const other = valueAt(whole, key);
      return other !== undefined && (equal(other, value) || (other.kind === value.kind && isSubset(other, value)));
    });
  if (whole.kind === 'array' && part.kind === 'array') return hasRun(whole.elements, part.elements);
  if (whole.kind === 'set' && part.kind === 'set') return hasAll(whole.elements, part.elements);
  return false;
}

const hasAll = (whole: readonly Term[], part: readonly Term[]): boolean =>
  part.every((element) => whole.some((other) => equal(other, element)));

/** As OPA counts: an element that the array has twice counts twice, and nothing is part of an empty array. */
function arrayHasSet(whole: readonly Term[], part: readonly Term[]): boolean {
  let missing = part.length;
  return whole.some((element) => {
    if (part.some((other) => equal(other, element))) missing--;
    return missing === 0;
  });
}

/** A cursor that only moves forward, as OPA's does: a run that begins inside one that fails is not found. */
function hasRun(whole: readonly Term[], part: readonly Term[]): boolean {
  if (part.length > whole.length) return false;
  let [start, length] = [0, 0];
  while (length < part.length) {
    const element = whole[start + length];
    if (element === undefined) return false;
    if (equal(element, part[length]!)) length++;
    else [start, length] = [start + 1, 0];
  }
  return true;
}

const sizeOf = (term: Term): number =>
  term.kind === 'object' ? term.entries.length : 'elements' in term ? term.elements.length : 1;

/** A patch that cannot be applied. The built-in is undefined then. */
class PatchError extends Error {}

/** JSON Patch (RFC 6902). Beyond it, a path may be an array of keys of any kind, and sets have their elements as keys. */
function patched(target: Term, operations: readonly Term[]): Term {
  let document: Term | undefined = target;
  const here = (): Term => document ?? fail();
  for (const operation of operations) {
    const path = pathOf(field(operation, 'path') ?? fail());
    const op = field(operation, 'op');
    switch (op?.kind === 'string' ? op.value : fail()) {
      case 'add':
        document = insert(document, path, field(operation, 'value') ?? fail());
        break;
      case 'remove':
        document = remove(here(), path);
        break;
      case 'replace': {
        const without = remove(here(), path);
        document = insert(without, path, field(operation, 'value') ?? fail());
        break;
      }
      case 'move': {
        const from = pathOf(field(operation, 'from') ?? fail());
        const moved = read(here(), from);
        document = insert(remove(here(), from), path, moved);
        break;
      }
      case 'copy':
        document = insert(document, path, read(here(), pathOf(field(operation, 'from') ?? fail())));
        break;
      case 'test':
        if (!equal(read(here(), path), field(operation, 'value') ?? fail())) fail();
        break;
      default:
        fail();
    }
  }
  return here();
}

function fail(): never {
  throw new PatchError('the patch cannot be applied');
}

function field(operation: Term, name: string): Term | undefined {
  return operation.kind === 'object' ? valueAt(operation, { kind: 'string', value: name }) : fail();
}

function pathOf(path: Term): readonly Term[] {
  if (path.kind === 'array') return path.elements;
  if (path.kind !== 'string') return fail();
  if (path.value === '') return [];
  const parts = path.value.replace(/^\/+/, '').split('/');
  return parts.map((part) => ({ kind: 'string', value: part.replaceAll('~1', '/').replaceAll('~0', '~') }));
}

function indexOf(key: Term, length: number): number {
  const text = key.kind === 'string' ? key.value : key.kind === 'scalar' ? key.text : fail();
  if (text === '-' && key.kind === 'string') return length;
  return /^(?:0|-?[1-9]\d{0,9})$/.test(text) ? Number(text) : fail();
}

function read(document: Term, path: readonly Term[]): Term {
  return path.reduce((at, key) => {
    if (at.kind === 'object') return valueAt(at, key) ?? fail();
    if (at.kind === 'array') return at.elements[indexOf(key, at.elements.length)] ?? fail();
    if (at.kind === 'set') return at.elements.find((element) => equal(element, key)) ?? fail();
    return fail();
  }, document);
}

/** The document with what is at the path's last but one key changed. */
function changed(document: Term, path: readonly Term[], change: (parent: Composite, key: Term) => Term): Term {
  const [key, ...rest] = path;
  if (key === undefined || document.kind === 'scalar' || document.kind === 'string') return fail();
  if (rest.length === 0) return change(document, key);
  const child = changed(read(document, [key]), rest, change);
  if (document.kind === 'object')
    return {
      kind: 'object',
      entries: document.entries.map(([name, value]) => [name, equal(name, key) ? child : value]),
    };
  const old = read(document, [key]);
  return { kind: document.kind, elements: document.elements.map((element) => (element === old ? child : element)) };
}

function insert(document: Term | undefined, path: readonly Term[], value: Term): Term {
  if (path.length === 0) return value;
  return changed(document ?? fail(), path, (parent, key) => {
    if (parent.kind === 'object')
      return { kind: 'object', entries: [...parent.entries.filter(([name]) => !equal(name, key)), [key, value]] };
    if (parent.kind === 'set')
      return equal(key, value) ? { kind: 'set', elements: [...without(parent.elements, key), value] } : fail();
    const index = indexOf(key, parent.elements.length);
    if (index < 0 || index > parent.elements.length) fail();
    return { kind: 'array', elements: parent.elements.toSpliced(index, 0, value) };
  });
}

/** Undefined: nothing is left. */
function remove(document: Term, path: readonly Term[]): Term | undefined {
  if (path.length === 0) return undefined;
  return changed(document, path, (parent, key) => {
    if (parent.kind === 'object') {
      const entries = parent.entries.filter(([name]) => !equal(name, key));
      return entries.length < parent.entries.length ? { kind: 'object', entries } : fail();
    }
    if (parent.kind === 'set') {
      const elements = without(parent.elements, key);
      return elements.length < parent.elements.length ? { kind: 'set', elements } : fail();
    }
    const index = indexOf(key, parent.elements.length);
    return parent.elements[index] === undefined
      ? fail()
      : { kind: 'array', elements: parent.elements.toSpliced(index, 1) };
  });
}

const without = (elements: readonly Term[], gone: Term): Term[] => elements.filter((element) => !equal(element, gone));

/** Go's json.Marshal: no spaces, and these characters never bare, because of HTML. */
function marshal(value: unknown, indent?: { readonly prefix: string; readonly with: string }): string {
  const text = JSON.stringify(sorted(value), undefined, indent === undefined ? undefined : '\u0001') ?? 'null';
  const escaped = text.replace(/[<>&\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
  if (indent === undefined) return escaped;
  // JSON.stringify takes ten characters of indentation at most, Go any: a mark that no JSON has stands for it.
  const lines = escaped
    .split('\n')
    .map((line) => line.replace(/^\u0001+/, (marks) => indent.with.repeat(marks.length)));
  return indent.prefix + lines.join(`\n${indent.prefix}`);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, one]) => [key, sorted(one)] as const);
  entries.sort(([left], [right]) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
  return Object.fromEntries(entries);
}

function marshalWithOptions(value: unknown, options: unknown): string | undefined {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return undefined;
  const { prefix, indent, pretty, ...unknown } = options as Record<string, unknown>;
  const wrong =
    Object.keys(unknown).length > 0 ||
    [prefix, indent].some((one) => one !== undefined && typeof one !== 'string') ||
    (pretty !== undefined && typeof pretty !== 'boolean');
  if (wrong) return undefined;
  const spread = pretty ?? (prefix !== undefined || indent !== undefined);
  return spread
    ? marshal(value, { prefix: (prefix as string | undefined) ?? '', with: (indent as string | undefined) ?? '\t' })
    : marshal(value);
}

export const json: Table = {
  'json.marshal_with_options': ([value, options]) => marshalWithOptions(value, options),
  'json.patch': (_values, call) => {
    const [document, operations] = [call.term(0), call.term(1)];
    if (operations.kind !== 'array') return undefined;
    call.charge(operations.elements.length * sizeOf(document) * 100);
    try {
      return new RegoText(writeTerm(patched(document, operations.elements)));
    } catch (error) {
      if (error instanceof PatchError) return undefined;
      throw error;
    }
  },
  'object.subset': (_values, call) => {
    const [whole, part] = [call.term(0), call.term(1)];
    call.charge(sizeOf(whole) * sizeOf(part) * 100);
    if (whole.kind === 'array' && part.kind === 'set') return arrayHasSet(whole.elements, part.elements);
    const comparable = whole.kind === part.kind && whole.kind !== 'scalar' && whole.kind !== 'string';
    return comparable ? isSubset(whole, part) : undefined;
  },
};
