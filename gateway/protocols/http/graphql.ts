import { findInJson, JsonError, readJsonPath } from '../../content/index.js';
import type { Request } from './codec.js';

/** Alone, or one of several at once. */
const places = ['query', '[*].query'].map(readJsonPath);
/** What is called a query and is an object is another thing (a search, for one). */
const whole = new Set(places.keys());

/**
 * Whether a query of GraphQL may be in the request: its answer has the names that the query gives. Servers take one in the
 * query, in a form and in JSON, and not each of them looks at what type the body is said to have.
 *
 * @see GraphQL over HTTP (working draft), "Request"
 */
export function asksGraphql({ path, query, body }: Request): boolean {
  const last = path.segments.filter((segment) => segment !== '').at(-1) ?? '';
  if (last.toLowerCase() === 'graphql' || body.seen?.media_type === 'application/graphql') return true;
  const asked = query.list.filter(({ name }) => name === 'query').map(({ value = '' }) => value);
  return [...asked, ...(body.seen?.form?.['query'] ?? []), ...queriesIn(body.bytes)].some((text) => text.includes('{'));
}

function queriesIn(bytes: Buffer): string[] {
  const text = bytes.toString('utf8').replace(/^\ufeff/, '');
  try {
    return findInJson(text, places, whole)
      .filter(({ kind }) => kind === 'string')
      .map(({ start, end }) => JSON.parse(text.slice(start, end)) as string);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    return [];
  }
}
