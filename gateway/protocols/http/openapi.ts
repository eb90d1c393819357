import { parseDocument } from 'yaml';
import { ConfigError } from '../../errors.js';

/**
 * The document of an API (OpenAPI 3.x): which operation a request is, by method and path. Nothing is assumed of a path that
 * it does not have, and where two of its paths fit equally well it is neither.
 *
 * @see OpenAPI specification 3.1, "Paths Object" and "Path Templating Matching"
 */
export interface ApiOperation {
  /** As the document has it: "/machines/{id}". */
  readonly template: string;
  readonly operationId?: string;
  /** Values of the path's parameters, decoded. */
  readonly parameters: Readonly<Record<string, string>>;
}

export interface ApiDocument {
  /** @param segments Decoded, behind the target's own URL. */
  find(method: string, segments: readonly string[]): ApiOperation | undefined;
}

interface Known {
  readonly template: string;
  readonly segments: readonly Segment[];
  /** By method, in capitals. */
  readonly operationIds: ReadonlyMap<string, string | undefined>;
}

interface Segment {
  /** How much of it is fixed: of two that fit, the one with more is meant. */
  readonly fixed: 0 | 1 | 2;
  readonly names: readonly string[];
  readonly pattern: RegExp;
}

const methods = ['get', 'head', 'options', 'post', 'put', 'patch', 'delete'];
const document_chars_max = 16_777_216;
const paths_max = 20_000;
/** Of a segment with several parameters: in longer ones there are too many places where one could end and the next begin. */
const parted_chars_max = 256;
const parameter = /\{([^{}/]+)\}/g;

/** Throws ConfigError for what is no such document. */
export function readApiDocument(text: string): ApiDocument {
  const document = objectOf(parsed(text), 'the document');
  if (!/^3\.\d+(\.\d+)?$/.test(String(document['openapi']))) {
    throw new ConfigError('the file of upstream.openapi is no OpenAPI document of version 3 ("openapi: 3.…")');
  }
  const paths = Object.entries(objectOf(document['paths'] ?? {}, 'paths'));
  if (paths.length > paths_max) throw new ConfigError(`upstream.openapi has more than ${paths_max} paths`);
  const known = paths
    .filter(([template]) => template.startsWith('/'))
    .map(([template, item]) => knownOf(template, item, document));
  const byLength = grouped(known);
  return { find: (method, segments) => find(byLength.get(segments.length) ?? [], method, segments) };
}

function parsed(text: string): unknown {
  if (text.length > document_chars_max) throw new ConfigError('the file of upstream.openapi has more than 16 MiB');
  const document = parseDocument(text, { uniqueKeys: true });
  const [error] = document.errors;
  if (error !== undefined) {
    throw new ConfigError(
      `the file of upstream.openapi is neither YAML nor JSON: ${error.message.split('\n', 1)[0] ?? ''}`,
    );
  }
  return document.toJS({ maxAliasCount: 100 });
}

function knownOf(template: string, value: unknown, document: Readonly<Record<string, unknown>>): Known {
  const item = itemOf(value, template, document);
  const names = [...template.matchAll(parameter)].map(([, name]) => name ?? '');
  if (new Set(names).size < names.length) throw new ConfigError(`upstream.openapi: ${template} has a parameter twice`);
  const operationIds = new Map<string, string | undefined>();
  for (const method of methods) {
    if (item[method] === undefined) continue;
    const { operationId } = objectOf(item[method], `${method} of ${template}`);
    operationIds.set(method.toUpperCase(), typeof operationId === 'string' ? operationId : undefined);
  }
  return { template, segments: template.slice(1).split('/').map(segmentOf), operationIds };
}

/** A path may be described elsewhere in the document; what is in another file is not read. */
function itemOf(
  value: unknown,
  template: string,
  document: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const item = objectOf(value, template);
  const reference = item['$ref'];
  if (reference === undefined) return item;
  const place = typeof reference === 'string' ? reference : '';
  const [, name = ''] = /^#\/components\/pathItems\/([^/]+)$/.exec(place) ?? [];
  const items = objectOf(objectOf(document['components'] ?? {}, 'components')['pathItems'] ?? {}, 'pathItems');
  if (name === '' || !Object.hasOwn(items, name)) {
    throw new ConfigError(`upstream.openapi: ${template} is described elsewhere (${place}): put it into the file`);
  }
  return objectOf(items[name], name);
}

function segmentOf(text: string): Segment {
  const names = [...text.matchAll(parameter)].map(([, name]) => name ?? '');
  const literals = text.split(/\{[^{}/]+\}/).map((part) => decoded(part).replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  const fixed = names.length === 0 ? 2 : literals.some((part) => part !== '') ? 1 : 0;
  return { fixed, names, pattern: new RegExp(`^${literals.join('(.+?)')}$`, 's') };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function find(known: readonly Known[], method: string, segments: readonly string[]): ApiOperation | undefined {
  let best: { readonly one: Known; readonly parameters: Record<string, string> } | undefined;
  let tied = false;
  for (const one of known) {
    const parameters = fits(one, segments);
    if (parameters === undefined) continue;
    const order = best === undefined ? -1 : compared(one, best.one);
    if (order < 0) best = { one, parameters };
    tied = order === 0 || (tied && order > 0);
  }
  if (best === undefined || tied || !best.one.operationIds.has(method)) return undefined;
  const operationId = best.one.operationIds.get(method);
  const { template } = best.one;
  return { template, parameters: best.parameters, ...(operationId === undefined ? {} : { operationId }) };
}

function fits({ segments }: Known, given: readonly string[]): Record<string, string> | undefined {
  const found: [string, string][] = [];
  for (const [index, { pattern, names }] of segments.entries()) {
    const text = given[index] ?? '';
    if (names.length > 1 && text.length > parted_chars_max) return undefined;
    const values = pattern.exec(text);
    if (values === null) return undefined;
    names.forEach((name, at) => found.push([name, values[at + 1] ?? '']));
  }
  return Object.fromEntries(found);
}

/** Negative where the first is the more concrete one. */
function compared(one: Known, other: Known): number {
  for (const [index, { fixed }] of one.segments.entries()) {
    const difference = (other.segments[index]?.fixed ?? 0) - fixed;
    if (difference !== 0) return difference;
  }
  return 0;
}

function grouped(known: readonly Known[]): Map<number, Known[]> {
  const groups = new Map<number, Known[]>();
  for (const one of known) groups.set(one.segments.length, [...(groups.get(one.segments.length) ?? []), one]);
  return groups;
}

function objectOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new ConfigError(`upstream.openapi: ${what} is no object`);
}
