import { sha256 } from './hashing.js';
import { checkOverride } from './pairs.js';
import { RequestRefusal } from './refusal.js';

/**
 * Forms with files (RFC 7578), taken apart in the one way in which they can be read. Parsers of them disagree on line ends,
 * padding behind boundaries, quotes in names, encodings and what stands before and behind: all of that is refused, so the bytes
 * go on as they came.
 */
export interface Part {
  readonly name: string;
  readonly filename?: string;
  /** Lower case, without parameters; absent where the part says none. */
  readonly media_type?: string;
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
  /** Where the part is text, and short enough to be looked at. */
  readonly text?: string;
}

const parts_max = 200;
const head_bytes_max = 2_048;
/** Of all parts that are shown to policy as text. */
const text_bytes_max = 1_048_576;
const boundary_pattern = /^multipart\/form-data[ \t]*;[ \t]*boundary=(?:"([^"]*)"|([^";,\s]+))$/i;
/** RFC 2046, 5.1.1, without what would have to be quoted. */
const boundary_characters = /^[0-9A-Za-z'+_.-]{1,70}$/;
const disposition = /^form-data; ?name="([^"\\\r\n]{1,256})"(?:; ?filename="([^"\\\r\n]{0,512})")?$/i;
const textual = /^(?:text\/[a-z0-9.+-]+|application\/(?:json|xml))$/;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * @param value Of Content-Type.
 * @param repeated Names that may come more than once; those that end in "[]" always may.
 * @throws {RequestRefusal} code `multipart`, `duplicate_field` or `method_override`
 */
export function readParts(bytes: Buffer, value: string, repeated: ReadonlySet<string>): Part[] {
  const [, quoted, plain] = boundary_pattern.exec(value) ?? [];
  const boundary = quoted ?? plain ?? '';
  if (!boundary_characters.test(boundary)) throw refused('Content-Type has no plain boundary, or says more than that');
  const pieces = piecesOf(bytes, boundary);
  let room = text_bytes_max;
  const met = new Map<string, string>();
  return pieces.map((piece) => {
    const { part, content } = partOf(piece);
    checkOverride(part.name, 'form');
    const folded = part.name.normalize('NFKC').trim().toLowerCase().replace(/[. ]/g, '_');
    const before = met.get(folded);
    const again = repeated.has(part.name) || part.name.endsWith('[]');
    if (before !== undefined && !(again && before === part.name)) {
      throw new RequestRefusal(
        400,
        'duplicate_field',
        'the form has one name twice; name it in upstream.repeated where that is meant',
      );
    }
    met.set(folded, part.name);
    const text = content.length <= room ? textIn(part, content) : undefined;
    if (text === undefined) return part;
    room -= content.length;
    return { ...part, text };
  });
}

/** Between the delimiters, each of which stands on a line of its own; nothing before the first or behind the last. */
function piecesOf(bytes: Buffer, boundary: string): Buffer[] {
  const dashes = `--${boundary}`;
  const delimiter = Buffer.from(`\r\n${dashes}`);
  if (!bytes.subarray(0, dashes.length).equals(Buffer.from(dashes)))
    throw refused('something stands before its first part');
  const pieces: Buffer[] = [];
  let at = dashes.length;
  for (;;) {
    if (bytes.subarray(at, at + 4).toString('latin1') === '--\r\n' && at + 4 === bytes.length) break;
    if (bytes.subarray(at).toString('latin1', 0, 3) === '--' && at + 2 === bytes.length) break;
    if (bytes[at] !== 0x0d || bytes[at + 1] !== 0x0a) throw refused('a boundary has something behind it');
    const end = bytes.indexOf(delimiter, at);
    if (end < 0) throw refused('its last boundary is missing');
    pieces.push(bytes.subarray(Math.min(at + 2, end), end));
    if (pieces.length > parts_max) throw refused(`it has more than ${parts_max} parts`);
    at = end + delimiter.length;
  }
  // Readers that take a line feed alone for the end of a line would find a boundary there.
  if (pieces.some((piece) => piece.includes(dashes))) throw refused('a part has the boundary in it');
  return pieces;
}

function partOf(piece: Buffer): { readonly part: Part; readonly content: Buffer } {
  const end = piece.subarray(0, head_bytes_max).indexOf('\r\n\r\n');
  if (end < 0) throw refused('a part has no head, or a long one');
  const fields = fieldsOf(piece.subarray(0, end));
  const content = piece.subarray(end + 4);
  const [, name, filename] = disposition.exec(fields.get('content-disposition') ?? '') ?? [];
  if (name === undefined) throw refused('a part does not have its name (and file name) in plain quotes');
  // Browsers write a quote or a line end in a name so; what servers make of it differs.
  if (/[\u0000-\u001f\u007f]|%(?:22|0d|0a|00)/i.test(name + (filename ?? ''))) {
    throw refused('a part has a quote or control character in its name');
  }
  const media = fields.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase();
  return {
    part: {
      name,
      ...(filename === undefined ? {} : { filename }),
      ...(media === undefined ? {} : { media_type: media }),
      bytes: content.length,
      sha256: sha256(content),
    },
    content,
  };
}

function fieldsOf(head: Buffer): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of decoded(head).split('\r\n')) {
    const [, name = '', value = ''] = /^([A-Za-z-]+): ?([^\r\n\0]*)$/.exec(line) ?? [];
    const key = name.toLowerCase();
    if (key !== 'content-disposition' && key !== 'content-type')
      throw refused('a part has a field that is not looked at');
    if (fields.has(key)) throw refused('a part has a field twice');
    fields.set(key, value.trim());
  }
  const type = fields.get('content-type');
  if (
    type !== undefined &&
    !/^[A-Za-z0-9!#$&^.+-]+\/[A-Za-z0-9!#$&^.+-]+(?:; ?charset="?(?:utf-8|us-ascii)"?)?$/i.test(type)
  ) {
    throw refused('a part has another Content-Type than one media type in UTF-8');
  }
  return fields;
}

/** A part without a type is text (RFC 7578, 4.4), unless it is a file. */
function textIn({ media_type: media, filename }: Part, content: Buffer): string | undefined {
  if (media === undefined ? filename !== undefined : !textual.test(media)) return undefined;
  const text = decoded(content);
  if (text.startsWith('\ufeff')) throw refused('a part begins with a byte order mark');
  return text;
}

function decoded(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw refused('a part that is text is no UTF-8');
  }
}

const refused = (what: string) => new RequestRefusal(400, 'multipart', `the form cannot be read in one way: ${what}`);
