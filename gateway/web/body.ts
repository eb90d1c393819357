import type { IncomingMessage } from 'node:http';
import { sha256 } from './hashing.js';
import { JsonError, unambiguous } from './json.js';
import { readParts, type Part } from './multipart.js';
import { checkOverride, readPairs } from './pairs.js';
import { RequestRefusal } from './refusal.js';

/** The body of a request: held whole, since all of it is judged, and what is judged is bound to its hash. */
export interface Body {
  /** What goes on to the upstream. */
  readonly bytes: Buffer;
  /** What policy sees of it; absent where there is none. */
  readonly seen?: SeenBody;
}

export interface SeenBody {
  /** binary: nothing of it is understood. */
  readonly kind: 'json' | 'form' | 'multipart' | 'text' | 'binary';
  readonly media_type: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly json?: unknown;
  readonly form?: Readonly<Record<string, readonly string[]>>;
  readonly text?: string;
  readonly parts?: readonly Part[];
}

export interface BodyOptions {
  readonly repeated: ReadonlySet<string>;
}

/** What all requests together may hold in memory while they are read and judged. */
const held_bytes_max = 268_435_456;
/** Of JSON, forms and text: more is not shown to policy, and so is opaque. */
export const judged_bytes_max = 1_048_576;
let held_bytes = 0;

const nothing = { bytes: Buffer.alloc(0), release: () => undefined } as const;

/** Reads it whole. `release` has to be called once it is of no use any more. */
export async function readBody(
  request: IncomingMessage,
  bytes_max: number,
): Promise<{ readonly bytes: Buffer; release(): void }> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > bytes_max) throw tooLarge(bytes_max);
  // It has come whole, and there was nothing: most requests have no body.
  if (request.complete && request.readableLength === 0) return nothing;
  const chunks: Buffer[] = [];
  let length = 0;
  const release = () => {
    held_bytes -= length;
    length = 0;
  };
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      held_bytes += chunk.length;
      if (length > bytes_max) throw tooLarge(bytes_max);
      if (held_bytes > held_bytes_max) {
        throw new RequestRefusal(503, 'busy', 'too many requests with large bodies are on their way; try again');
      }
      chunks.push(chunk);
    }
  } catch (error) {
    release();
    throw error;
  }
  return { bytes: Buffer.concat(chunks), release };
}

const tooLarge = (bytes_max: number) =>
  new RequestRefusal(413, 'body_too_large', `the body has more than ${bytes_max} bytes (upstream.body_bytes_max)`);

/** Throws RequestRefusal for what its media type says it is and it is not, or what can be read in more than one way. */
export function bodyOf(bytes: Buffer, fields: ReadonlyMap<string, string>, options: BodyOptions): Body {
  if (bytes.length === 0) return { bytes };
  checkUnpacked(fields);
  const type = fields.get('content-type');
  const { essence, charset } = mediaType(type);
  const known = kindOf(essence);
  const seen = { media_type: essence, bytes: bytes.length, sha256: sha256(bytes) };
  if (known === 'multipart') {
    return { bytes, seen: { kind: known, ...seen, parts: readParts(bytes, type ?? '', options.repeated) } };
  }
  if (known === 'binary' || bytes.length > judged_bytes_max) return { bytes, seen: { kind: 'binary', ...seen } };
  if (charset !== undefined && !['utf-8', 'utf8', 'us-ascii'].includes(charset)) {
    throw new RequestRefusal(415, 'charset', 'the body is in another character set than UTF-8');
  }
  const text = textOf(bytes);
  switch (known) {
    case 'json':
      return { bytes, seen: { kind: 'json', ...seen, json: jsonOf(text) } };
    case 'form': {
      const pairs = readPairs(text, 'form', options.repeated);
      // Written anew, as queries are: what leaves is what was read.
      const written = Buffer.from(pairs.text);
      return {
        bytes: written,
        seen: { kind: 'form', ...seen, bytes: written.length, sha256: sha256(written), form: pairs.values },
      };
    }
    case 'text':
      return { bytes, seen: { kind: 'text', ...seen, text } };
  }
}

/** Throws RequestRefusal. */
export function checkUnpacked(fields: ReadonlyMap<string, string>): void {
  const encoding = fields.get('content-encoding');
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new RequestRefusal(415, 'content_encoding', 'the body is compressed: send it as it is (no Content-Encoding)');
  }
}

/** Whether there is something in it of which nothing is understood. */
export const isOpaque = ({ kind, parts = [] }: SeenBody): boolean =>
  kind === 'binary' || parts.some(({ text }) => text === undefined);

function jsonOf(text: string): unknown {
  try {
    const value = unambiguous(text);
    // Frameworks that read forms and JSON alike look for it in both; their other names for it are words of APIs as well.
    if (typeof value === 'object' && value !== null && Object.hasOwn(value, '_method'))
      checkOverride('_method', 'body');
    return value;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new RequestRefusal(400, 'json', `the body cannot be read in one way: ${error.message}`);
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(bytes: Buffer): string {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new RequestRefusal(400, 'charset', 'the body is no UTF-8');
  }
  if (text.startsWith('\ufeff')) throw new RequestRefusal(400, 'charset', 'the body begins with a byte order mark');
  return text;
}

function kindOf(essence: string): SeenBody['kind'] {
  if (essence === 'application/json' || /^[a-z]+\/[a-z0-9.+-]+\+json$/.test(essence)) return 'json';
  if (essence === 'application/x-amz-json-1.0' || essence === 'application/x-amz-json-1.1') return 'json';
  if (essence === 'application/x-www-form-urlencoded') return 'form';
  if (essence === 'multipart/form-data') return 'multipart';
  if (essence.startsWith('text/') || essence === 'application/graphql' || essence === 'application/xml') return 'text';
  return 'binary';
}

/** Parameters as they are to be written, without spaces around "=": readers differ on those. */
const media_type =
  /^([A-Za-z0-9!#$&^.+-]+\/[A-Za-z0-9!#$&^.+-]+)((?:[ \t]*;(?:[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+=(?:"[^"\\]*"|[^";\s]*))?)*)[ \t]*$/;

/** RFC 9110, 8.3.1; one type, and a charset at most once. */
function mediaType(value: string | undefined): { readonly essence: string; readonly charset: string | undefined } {
  if (value === undefined) return { essence: '', charset: undefined };
  const [, essence = '', parameters = ''] = media_type.exec(value) ?? [];
  const charsets = [...parameters.matchAll(/;[ \t]*charset="?([^";,\s]*)"?/gi)].map(([, name = '']) =>
    name.toLowerCase(),
  );
  // "charset*", and what stands in quotes: readers differ on whether it is one.
  const others = (parameters.match(/charset/gi) ?? []).length - charsets.length;
  if (essence === '' || charsets.length > 1 || others > 0 || parameters.includes(',')) {
    throw new RequestRefusal(415, 'content_type', 'the field Content-Type does not name one media type');
  }
  return { essence: essence.toLowerCase(), charset: charsets[0] };
}
