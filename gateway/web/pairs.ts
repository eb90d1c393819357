import { encoded, percentDecoded } from './path.js';
import { RequestRefusal } from './refusal.js';

/**
 * Names with values, as queries and forms have them (application/x-www-form-urlencoded). Which of two values of one name a
 * server takes is its own affair, so a name comes once, unless the target says that it may be repeated.
 */
export interface Pair {
  readonly name: string;
  /** Undefined: there was no "=". */
  readonly value: string | undefined;
}

export interface Pairs {
  readonly list: readonly Pair[];
  /** As the upstream gets it: written anew from the list. */
  readonly text: string;
  /** By name, all values in order: what policy sees. */
  readonly values: Readonly<Record<string, readonly string[]>>;
}

const pairs_max = 1_000;
const unreserved = /[A-Za-z0-9\-._~]/;

/** Names by which a request would be another one than its method and fields say: of frameworks, Salesforce, and Google's APIs. */
const overriding: ReadonlySet<string> = new Set([
  ...['_method', '_http_method', '_httpmethod', 'httpmethod', '$httpmethod', '$httpheaders'],
  ...['x-http-method-override', 'x-http-method', 'x-method-override'],
]);

/** Throws RequestRefusal for a name by which servers would take the request for another one. */
export function checkOverride(name: string, where: string): void {
  if (!overriding.has(fold(name))) return;
  throw new RequestRefusal(
    400,
    'method_override',
    `the ${where} says another method than the request: use that method`,
  );
}

/**
 * @param where "query" or "form", for messages and reasons.
 * @param repeated Names that may come more than once; those that end in "[]" always may.
 */
export function readPairs(raw: string, where: string, repeated: ReadonlySet<string> = none): Pairs {
  if (!/^[\x21-\x7e]*$/.test(raw) || raw.includes('#')) {
    throw new RequestRefusal(400, `${where}_character`, `the ${where} has a character that must be percent-encoded`);
  }
  const list: Pair[] = [];
  const values = new Map<string, string[]>();
  const met = new Set<string>();
  for (const piece of raw.split('&')) {
    if (piece === '') continue;
    const pair = pairOf(piece, where);
    const folded = fold(pair.name);
    checkOverride(pair.name, where);
    const again = repeated.has(pair.name) || pair.name.endsWith('[]');
    if (met.has(folded) && !(again && values.has(pair.name))) {
      throw new RequestRefusal(
        400,
        `duplicate_${where === 'form' ? 'field' : 'parameter'}`,
        `the ${where} has one name twice; name it in upstream.repeated where that is meant`,
      );
    }
    met.add(folded);
    list.push(pair);
    values.set(pair.name, [...(values.get(pair.name) ?? []), pair.value ?? '']);
    if (list.length > pairs_max) throw new RequestRefusal(400, `${where}_length`, `the ${where} has too many names`);
  }
  return { list, text: list.map(written).join('&'), values: Object.fromEntries(values) };
}

const none: ReadonlySet<string> = new Set();

function pairOf(piece: string, where: string): Pair {
  const equals = piece.indexOf('=');
  const name = decoded(equals < 0 ? piece : piece.slice(0, equals), where);
  if (/[\u0000-\u001f\u007f]/.test(name)) {
    throw new RequestRefusal(400, `${where}_control`, `the ${where} has a control character in a name`);
  }
  const value = equals < 0 ? undefined : decoded(piece.slice(equals + 1), where);
  if (value?.includes('\0') === true) {
    throw new RequestRefusal(400, `${where}_control`, `the ${where} has a zero byte in a value`);
  }
  return { name, value };
}

const decoded = (text: string, where: string) => percentDecoded(text.replaceAll('+', '%20'), where);

/** ";" is encoded as all else: some servers take it for "&". */
const written = ({ name, value }: Pair) =>
  encoded(name, unreserved) + (value === undefined ? '' : `=${encoded(value, unreserved)}`);

/** What servers that are generous take for the same name: PHP turns "." and " " into "_", others ignore case. */
const fold = (name: string) => name.normalize('NFKC').trim().toLowerCase().replace(/[. ]/g, '_');
