import { readPairs, readPath } from '../../web/index.js';

/** The path and query of a request, read in the one way that there is. */
export interface Address {
  /** Decoded; none is empty. */
  readonly segments: readonly string[];
  /** The query's parameters, decoded, by name. */
  readonly parameters: Readonly<Record<string, readonly string[]>>;
  /** Path and query as they leave: written anew from what was read. */
  readonly text: string;
}

/** What may be given more than once. Of all else the API server takes the first, and others might take the last. */
const repeated: ReadonlySet<string> = new Set(['command', 'dryRun', 'ports']);

/** @param url Behind the target's name: "/api/v1/pods?watch=1", or empty. Throws RequestRefusal. */
export function readAddress(url: string): Address {
  const mark = url.indexOf('?');
  const path = readPath(mark === -1 ? url : url.slice(0, mark));
  const query = readPairs(mark === -1 ? '' : url.slice(mark + 1), 'query', repeated);
  // The API server takes "/api/" for "/api".
  const closed = path.segments.at(-1) === '';
  const segments = closed ? path.segments.slice(0, -1) : path.segments;
  const text = (closed ? path.text.slice(0, -1) : path.text) || '/';
  return { segments, parameters: query.values, text: query.text === '' ? text : `${text}?${query.text}` };
}

/** The same with other values of one parameter, which it has already. */
export function withValues(address: Address, name: string, values: readonly string[]): Address {
  const [path = '', query = ''] = address.text.split('?');
  const others = query.split('&').filter((pair) => pair !== name && !pair.startsWith(`${name}=`));
  const own = values.map((value) => `${name}=${encodedValue(value)}`);
  const text = `${path}?${[...others, ...own].join('&')}`;
  return { ...address, parameters: { ...address.parameters, [name]: values }, text };
}

/** In the one form that every reader of URLs leaves as it is. */
const encodedValue = (value: string) =>
  encodeURIComponent(value).replace(/[!'()*]/g, (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`);

export const parameter = ({ parameters }: Address, name: string): string | undefined =>
  Object.hasOwn(parameters, name) ? parameters[name]![0] : undefined;

/** What the API server takes for yes: whatever is there and neither "0" nor "false". */
export function flag(address: Address, name: string): boolean {
  const value = parameter(address, name);
  return value !== undefined && value !== '0' && value.toLowerCase() !== 'false';
}
