import { RequestRefusal } from './refusal.js';

/**
 * A path of which there is one reading (RFC 3986, 3.3). Servers disagree on dot segments, empty segments, encoded slashes,
 * what is encoded twice, and on what stands behind a semicolon: all of that is refused or written so that it means one thing.
 * What leaves is written anew from the segments that policy sees, so it is what was judged.
 */
export interface Path {
  /** As the upstream gets it: every segment decoded and encoded again in one way. */
  readonly text: string;
  /** Decoded. A path that ends in a slash has an empty last segment. */
  readonly segments: readonly string[];
}

export interface PathOptions {
  /** Keep "%2F" as a part of a segment (GitLab's project names). Absent: refused. */
  readonly encodedSlashes?: boolean | undefined;
}

const allowed = /^[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*$/;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** What stays as it is in a segment: ";" and "+" do not, as some servers read them as more than themselves. */
const plain = /[A-Za-z0-9\-._~!$&'()*,=:@]/;
const segments_max = 256;

/** @param raw As it was sent: empty, or beginning with a slash. Throws RequestRefusal. */
export function readPath(raw: string, options: PathOptions = {}): Path {
  if (raw === '') return { text: '', segments: [] };
  if (!raw.startsWith('/')) throw refused('path_form', 'the path has to begin with a slash');
  if (!allowed.test(raw)) {
    throw refused('path_character', 'the path has a character that must be percent-encoded');
  }
  const pieces = raw.slice(1).split('/');
  if (pieces.length > segments_max) throw refused('path_length', `the path has more than ${segments_max} segments`);
  const segments = pieces.map((piece, index) => segmentOf(piece, index === pieces.length - 1, options));
  return { text: segments.map((segment) => `/${encodeSegment(segment)}`).join(''), segments };
}

function segmentOf(piece: string, last: boolean, { encodedSlashes = false }: PathOptions): string {
  if (piece === '' && !last) throw refused('path_empty_segment', 'the path has an empty segment ("//")');
  const segment = percentDecoded(piece, 'path');
  if (/%[0-9A-Fa-f]{2}/.test(segment)) throw refused('path_double_encoding', 'the path is encoded twice');
  // What a server makes of compatibility characters (a full-width slash, a two-dot leader) is looked at, too.
  for (const form of [segment, segment.normalize('NFKC')]) {
    if (form.includes('\\')) throw refused('path_backslash', 'the path has a backslash');
    if (form.includes('/') && !(encodedSlashes && form === segment)) {
      throw refused('path_encoded_slash', 'the path has an encoded slash; upstream.encoded_slashes allows them');
    }
    if (form.split('/').some((part) => part !== '' && /^[.\s]+(;.*)?$/.test(part))) {
      throw refused('path_dot_segment', 'the path has a segment of dots ("..")');
    }
    if (/[\u0000-\u001f\u007f]/.test(form)) throw refused('path_control', 'the path has a control character');
  }
  return segment;
}

/** Throws where a percent sign starts no byte, or the bytes are no UTF-8 (overlong forms included). */
export function percentDecoded(piece: string, where: string): string {
  if (!piece.includes('%')) return piece;
  if (/%(?![0-9A-Fa-f]{2})/.test(piece)) {
    throw refused(`${where}_encoding`, `the ${where} has a percent sign that encodes nothing`);
  }
  const bytes = Buffer.from(
    piece.replace(/%([0-9A-Fa-f]{2})/g, (_all, code: string) => String.fromCharCode(parseInt(code, 16))),
    'latin1',
  );
  try {
    return utf8.decode(bytes);
  } catch {
    throw refused(`${where}_encoding`, `the ${where} is no UTF-8 once it is decoded`);
  }
}

const encodeSegment = (segment: string): string => encoded(segment, plain);

/** Every byte that `keep` does not match as %XX. */
export function encoded(text: string, keep: RegExp): string {
  let out = '';
  for (const character of text) {
    out += keep.test(character)
      ? character
      : [...Buffer.from(character)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
  }
  return out;
}

const refused = (reason: string, message: string) => new RequestRefusal(400, reason, message);
