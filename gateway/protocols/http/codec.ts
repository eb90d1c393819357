import {
  bodyOf,
  readFields,
  readPairs,
  readPath,
  RequestRefusal,
  type Body,
  type Fields,
  type Pairs,
  type Path,
} from '../../web/index.js';

/**
 * From the bytes of a request to what is meant by it, in the one way in which it can be read; what can be read in two is
 * refused. Pure: no network, no clock.
 */

/** "/http/TARGET/…" taken apart. */
export interface Addressed {
  readonly target: string;
  /** Behind the target: empty, or beginning with a slash. */
  readonly path: string;
  /** Without the question mark. */
  readonly query: string;
}

/** A request as it leaves, but for the credential. */
export interface Request {
  readonly method: string;
  readonly path: Path;
  readonly query: Pairs;
  readonly fields: Fields;
  readonly body: Body;
}

export interface Reading {
  /** The path of the upstream's own URL, before every path. */
  readonly base: string;
  readonly repeated: ReadonlySet<string>;
  readonly encodedSlashes: boolean;
}

const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE']);
const target_pattern = /^\/[a-z]+\/([A-Za-z0-9][A-Za-z0-9._-]{0,62})(?=[/?]|$)/;

/** @param raw The target of the request line, as it was sent. */
export function addressed(raw: string): Addressed {
  const found = target_pattern.exec(raw);
  if (found === null) throw new RequestRefusal(404, 'unknown_target', 'name a target: /http/TARGET/…');
  const rest = raw.slice(found[0].length);
  if (rest.includes('#')) throw new RequestRefusal(400, 'path_form', 'the request has a fragment ("#")');
  const mark = rest.indexOf('?');
  return {
    target: found[1]!,
    path: mark < 0 ? rest : rest.slice(0, mark),
    query: mark < 0 ? '' : rest.slice(mark + 1),
  };
}

/** Throws RequestRefusal. */
export function readRequest(
  method: string,
  { path, query }: Addressed,
  fields: Fields,
  bytes: Buffer,
  { base, repeated, encodedSlashes }: Reading,
): Request {
  if (!methods.has(method)) {
    throw new RequestRefusal(501, 'method', `the method is none of ${[...methods].join(', ')}`);
  }
  if (bytes.length > 0 && (method === 'GET' || method === 'HEAD' || method === 'OPTIONS')) {
    throw new RequestRefusal(400, 'body_unexpected', `${method} has no body: servers disagree on what one would mean`);
  }
  // The base is the operator's own and read by the same rules: so what policy sees is the whole path.
  return {
    method,
    path: readPath(base + path, { encodedSlashes }),
    query: readPairs(query, 'query', repeated),
    fields,
    body: bodyOf(bytes, fields.forwarded, { repeated }),
  };
}

export { readFields };
