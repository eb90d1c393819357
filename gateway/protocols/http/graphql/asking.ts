import { hash } from 'node:crypto';
import { findInJson, JsonError, readJsonPath } from '../../../content/index.js';
import { unambiguous, UnclearJson } from '../../../web/index.js';
import type { Request } from '../codec.js';
import { GraphqlError, parsed, readDocument } from './document.js';
import type { Graphql, GraphqlRequest } from './schema.js';

/**
 * GraphQL in a request: what is asked, by its fields. Servers take a query in the query, in a form and in JSON, and not each of
 * them looks at what type the body is said to have: so it is looked for everywhere, and read where it can only be meant in one
 * way.
 *
 * @see GraphQL over HTTP (working draft), "Request"
 */

/** Alone, or one of several at once. */
const places = ['query', '[*].query'].map(readJsonPath);
/** What is called a query and is an object is another thing (a search, for one). */
const whole = new Set(places.keys());

/** What a request says beside the document; servers that know further words may take the document from elsewhere. */
const words: ReadonlySet<string> = new Set(['query', 'variables', 'operationName', 'extensions']);
/** Of these a query of the URL speaks of GraphQL; `id` and its like name a document that the server keeps. */
const urlWords: ReadonlySet<string> = new Set([...words, 'id', 'documentId', 'queryId', 'doc_id']);
const batch_max = 50;

type Envelope = Readonly<Record<string, unknown>>;

/**
 * Whether a query of GraphQL may be in the request: its answer has the names that the query gives.
 *
 * @param served Whether the target is known to serve GraphQL at this path.
 */
export function asksGraphql(request: Request, served: boolean): boolean {
  return served || namedSo(request) || documentsIn(request).length > 0;
}

/**
 * What the request asks of GraphQL; undefined where there is nothing of it. `unreadable` where something is that servers could
 * read in several ways, or that is not in the request.
 *
 * @param served Whether the target is known to serve GraphQL at this path.
 */
export function readGraphql(request: Request, served: boolean): Graphql | undefined {
  if (!served && !mayBe(request)) return undefined;
  const requests: GraphqlRequest[] = [];
  const persisted: string[] = [];
  try {
    for (const envelope of envelopesOf(request)) {
      const read = readEnvelope(envelope);
      if (typeof read === 'string') persisted.push(read);
      else requests.push(read);
    }
  } catch (error) {
    if (!(error instanceof GraphqlError)) throw error;
    // A part of it would say less than is asked.
    return { requests: [], unreadable: error.message };
  }
  if (persisted.length === 0) return { requests };
  return { requests, persisted, unreadable: 'it names a document that the server keeps' };
}

function mayBe(request: Request): boolean {
  const { query, body } = request;
  // Paths may end so for other reasons, as long as nothing is asked there.
  if (namedSo(request) && (body.seen !== undefined || query.list.some(({ name }) => urlWords.has(name)))) return true;
  const texts = documentsIn(request);
  // So many are unreadable together, and it would take seconds to find out what each of them is.
  if (texts.length > batch_max) return true;
  return texts.some((text) => {
    try {
      return parsed(text) !== undefined;
    } catch (error) {
      if (!(error instanceof GraphqlError)) throw error;
      return true;
    }
  });
}

/** By its path or media type. */
function namedSo({ path, body }: Request): boolean {
  const last = path.segments.filter((segment) => segment !== '').at(-1) ?? '';
  return last.toLowerCase() === 'graphql' || body.seen?.media_type === 'application/graphql';
}

/** Texts that may be documents: one that asks for something has braces. */
const documentsIn = (request: Request): string[] => textsIn(request).filter((text) => text.includes('{'));

/** Every text that a server could take for a query. */
function textsIn({ query, body }: Request): string[] {
  const asked = query.list.filter(({ name }) => name === 'query').map(({ value = '' }) => value);
  const { form, json, parts = [] } = body.seen ?? {};
  const inParts = parts.flatMap(({ name, text = '' }) =>
    name === 'query' ? [text] : name === 'operations' ? queriesIn(text) : [],
  );
  const inBody = [...queriesIn(body.bytes.toString('utf8')), ...otherwiseWritten(json)];
  return [...asked, ...(form?.['query'] ?? []), ...inParts, ...inBody];
}

/** Under "Query" and its like: some readers of JSON (Go's) do not tell capitals from small letters. */
function otherwiseWritten(json: unknown): string[] {
  const list: readonly unknown[] = Array.isArray(json) ? json : [json];
  return list.filter(isObject).flatMap((one) =>
    Object.entries(one).flatMap(([name, text]) => {
      const meant = name !== 'query' && name.normalize('NFKC').toLowerCase() === 'query';
      return meant && typeof text === 'string' ? [text] : [];
    }),
  );
}

/** A member of that name stands there as it is, or with an escape in it. */
const mayNameQuery = (text: string): boolean => text.includes('query') || text.includes('\\');

function queriesIn(given: string): string[] {
  if (!mayNameQuery(given)) return [];
  const text = given.replace(/^\ufeff/, '');
  try {
    const found: string[] = [];
    for (const { kind, start, end } of findInJson(text, places, whole)) {
      // So many are unreadable together, and the others add nothing to that.
      if (found.length > batch_max) break;
      const query = kind === 'string' ? (JSON.parse(text.slice(start, end)) as string) : '';
      if (query.includes('{')) found.push(query);
    }
    return found;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    return [];
  }
}

/** The one place of the request in which it is said what is asked. */
function envelopesOf({ query, body: { seen } }: Request): readonly Envelope[] {
  const inUrl = Object.entries(query.values).filter(([name]) => urlWords.has(name));
  if (seen === undefined) {
    if (inUrl.length === 0) throw new GraphqlError('it asks for nothing that GraphQL knows');
    return [fromTexts(Object.fromEntries(inUrl))];
  }
  if (inUrl.length > 0) throw new GraphqlError('it is asked for in the URL and in the body');
  if (seen.kind === 'form') return [fromTexts(seen.form ?? {})];
  if (seen.kind === 'text' && seen.media_type === 'application/graphql') return [{ query: seen.text }];
  if (seen.kind !== 'json') throw new GraphqlError('the body is neither JSON nor a form');
  const { json } = seen;
  const list: readonly unknown[] = Array.isArray(json) ? json : [json];
  if (list.length === 0 || list.length > batch_max) throw new GraphqlError('it asks for nothing, or too much at once');
  if (!list.every(isObject)) throw new GraphqlError('the body is no request of GraphQL');
  return list;
}

/** In queries and forms, variables and extensions are JSON in a text. */
function fromTexts(values: Readonly<Record<string, readonly string[]>>): Envelope {
  const entries = Object.entries(values).map(([name, [text = '', ...more]]) => {
    if (more.length > 0) throw new GraphqlError('it says one thing several times');
    return [name, name === 'variables' || name === 'extensions' ? objectIn(text) : text] as const;
  });
  return Object.fromEntries(entries);
}

function objectIn(text: string): unknown {
  if (text === '') return undefined;
  try {
    return unambiguous(text);
  } catch (error) {
    if (!(error instanceof UnclearJson)) throw error;
    throw new GraphqlError('its variables or extensions cannot be read in one way');
  }
}

/** The hash of a document that is not in the request, as a text; else what is asked. */
function readEnvelope(envelope: Envelope): GraphqlRequest | string {
  if (Object.keys(envelope).some((word) => !words.has(word))) {
    throw new GraphqlError('the request says something that is not of GraphQL over HTTP');
  }
  const { query, operationName, variables, extensions } = envelope;
  if (!absent(extensions) && !isObject(extensions)) throw new GraphqlError('its extensions are no object');
  if (!absent(variables) && !isObject(variables)) throw new GraphqlError('its variables are no object');
  if (!absent(operationName) && typeof operationName !== 'string') throw new GraphqlError('operationName is no text');
  const kept = absent(extensions) ? undefined : hashIn(extensions);
  if (typeof query !== 'string' || query === '') {
    if (kept === undefined || !(absent(query) || query === '')) throw new GraphqlError('it has no document');
    return kept;
  }
  // A server that knows the hash does not read the document.
  if (kept !== undefined && kept !== hash('sha256', query)) throw new GraphqlError('its hash is of another document');
  const document = parsed(query);
  if (document === undefined) throw new GraphqlError('the document is no GraphQL');
  // To some servers an empty name is none, to others it is a name that no operation has.
  const name = absent(operationName) || operationName === '' ? undefined : operationName;
  return readDocument(document, name, variables ?? {});
}

/** Automatic persisted queries: {"persistedQuery": {"version": 1, "sha256Hash": "…"}} */
function hashIn(extensions: Envelope): string | undefined {
  const { persistedQuery } = extensions;
  if (absent(persistedQuery)) return undefined;
  const found = isObject(persistedQuery) ? persistedQuery['sha256Hash'] : undefined;
  if (typeof found !== 'string' || !/^[0-9a-f]{64}$/.test(found)) {
    throw new GraphqlError('it names a document by something else than a hash');
  }
  return found;
}

const absent = (value: unknown): value is undefined | null => value === undefined || value === null;
const isObject = (value: unknown): value is Envelope =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
